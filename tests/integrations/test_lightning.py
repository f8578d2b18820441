"""Lightning's trainer, reporting its steps by a callback."""

from __future__ import annotations

import time

import pytest

lightning = pytest.importorskip("lightning.pytorch", reason="needs the group 'integrations'")
torch = pytest.importorskip("torch")

from tests.integrations import training  # noqa: E402
from torch import nn  # noqa: E402

import powertrain as pt  # noqa: E402
from powertrain.integrations.lightning import PowerTrainCallback  # noqa: E402

STEP_S = 0.002


class Module(lightning.LightningModule):
    """A little classifier that takes its time, and far longer to be validated."""

    def __init__(self, *, compiled: bool = False, fails_at: int = -1) -> None:
        super().__init__()
        self.model, self.losses, self.fails_at = training.model(), [], fails_at
        self.forward_pass = torch.compile(self.model, backend=slow_compiler()) if compiled else self.model

    def training_step(self, batch, index):
        inputs, truth = batch
        loss = nn.functional.cross_entropy(self.forward_pass(inputs), truth)
        self.losses.append(loss.item())
        self.log("loss", loss)
        if len(self.losses) == self.fails_at:
            raise ZeroDivisionError("the loss is nan")
        time.sleep(STEP_S)
        return loss

    def validation_step(self, batch, index):
        time.sleep(100 * STEP_S)
        self.log("val_loss", 1.0)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def slow_compiler():
    def compile_slowly(graph, inputs):
        time.sleep(0.3)
        return graph.forward

    return compile_slowly


def fit(*callbacks, module=None, validates=False, n=320, wrap=lambda batches: batches, **options):
    training.seed_everything()
    module = module or Module()
    trainer = lightning.Trainer(
        **{"max_epochs": 2, "accelerator": "cpu", "logger": False, "enable_checkpointing": False, **options},
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, wrap(training.loader(n)), training.loader(10) if validates else None)
    return training.trained(module.losses, module.model.parameters())


def test_a_training_is_the_same_to_the_last_bit_whether_it_is_measured_or_not(measuring):
    plain = fit()
    assert len(plain.losses) == 128
    fit(PowerTrainCallback()).assert_same_as(plain)
    with measuring() as found:
        fit(PowerTrainCallback()).assert_same_as(plain)
    assert len(found) == 3
    for profile in found:
        assert profile.time_ms >= 2
        assert profile.power_w > 0


@pytest.mark.parametrize("device", ["cpu?cpu_cores=1", "emulated:orin-nano@jp6?gpu_mhz=306,612"])
def test_it_is_the_same_on_other_devices_as_well(measuring, device):
    plain = fit(max_epochs=4)
    with measuring(device=device) as found:
        fit(PowerTrainCallback(), max_epochs=4).assert_same_as(plain)
    assert found


def test_a_measured_loader_beside_the_callback_counts_once(measuring):
    with measuring() as found:
        fit(PowerTrainCallback(), wrap=pt.measured)
    assert len(found) == 3
    assert all(profile.time_ms >= 1e3 * STEP_S for profile in found)


@pytest.mark.parametrize("options", [{"val_check_interval": 4}, {}])
def test_validation_within_and_after_an_epoch_does_not_count(measuring, options):
    # A busy machine may interrupt a step; a validation would do so every time.
    for _ in range(3):
        with measuring(2) as found:
            fit(PowerTrainCallback(), validates=True, n=80, **options)
        assert len(found) == 2
        if all(p.time_ms < 100 * 1e3 * STEP_S and "interrupted" not in p.flags for p in found):
            break
    else:
        pytest.fail(f"validation was measured: {found}")


def test_epochs_of_two_steps_are_enough(measuring):
    with measuring(1) as found:
        fit(PowerTrainCallback(), n=10, max_epochs=20)
    assert len(found) == 1


def test_a_step_is_one_of_the_optimiser_where_gradients_are_accumulated(measuring):
    with measuring() as found:
        fit(PowerTrainCallback(), accumulate_grad_batches=4, max_epochs=4)
    assert len(found) == 3
    assert all(profile.time_ms >= 4 * 1e3 * STEP_S for profile in found)


def test_saving_does_not_count(measuring, tmp_path):
    class Slow(Module):
        def on_save_checkpoint(self, checkpoint):
            time.sleep(100 * STEP_S)

    saves = lightning.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=4)
    with measuring(1) as found:
        fit(PowerTrainCallback(), saves, module=Slow(), enable_checkpointing=True)
    assert found[0].time_ms < 100 * 1e3 * STEP_S


def test_mixed_precision_is_the_same_to_the_last_bit(measuring):
    plain = fit(precision="bf16-mixed")
    with measuring() as found:
        fit(PowerTrainCallback(), precision="bf16-mixed").assert_same_as(plain)
    assert len(found) == 3


def test_the_slow_first_step_of_a_compiled_model_is_discarded(measuring):
    # On a busy machine a step may be slow by chance; the first of a compiled model is slow every time.
    for _ in range(3):
        with measuring() as found:
            fit(PowerTrainCallback(), module=Module(compiled=True))
        clean = [p.time_ms < 50 and "interrupted" not in p.flags for p in found]
        if all(clean):
            break
    assert all(clean), found


def test_an_exception_in_the_loop_leaves_the_device_as_it_was(measuring, board):
    before = board.mode
    with pytest.raises(ZeroDivisionError), measuring() as found:
        fit(PowerTrainCallback(), module=Module(fails_at=9))
    assert board.mode == before
    assert len(found) == 1


def test_a_trainer_that_stops_early_leaves_the_device_as_it_was(measuring, board):
    before = board.mode
    stops = lightning.callbacks.EarlyStopping("val_loss", patience=1)
    with measuring(50) as found:
        losses = fit(PowerTrainCallback(), stops, validates=True, n=80, max_epochs=100).losses
        assert board.mode != before
    assert board.mode == before
    assert len(losses) == 32
    assert 1 <= len(found) < 50


def test_a_training_after_one_that_failed_is_measured_with_the_same_callback(measuring):
    callback = PowerTrainCallback()
    with measuring(2) as found:
        with pytest.raises(ZeroDivisionError):
            fit(callback, module=Module(fails_at=9))
        time.sleep(0.5)
        fit(callback)
    assert len(found) == 2
    assert all(profile.time_ms < 50 for profile in found)


def test_the_older_package_name_takes_the_same_callback(measuring):
    older = pytest.importorskip("pytorch_lightning")

    class Older(older.LightningModule):
        training_step, configure_optimizers = Module.training_step, Module.configure_optimizers

        def __init__(self) -> None:
            super().__init__()
            self.model, self.losses, self.fails_at = training.model(), [], -1
            self.forward_pass = self.model

    with measuring() as found:
        older.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            callbacks=[PowerTrainCallback()],
        ).fit(Older(), training.loader())
    assert len(found) == 3


def test_a_training_is_tuned_by_the_callback_alone_and_is_the_same_to_the_last_bit(goal, board):
    plain, before, callback = fit(), board.mode, PowerTrainCallback(**goal)
    fit(callback).assert_same_as(plain)
    report = callback.report()
    assert len(report.trials) == 3
    assert report.state == "held"
    assert report.decision.values["power_w"] <= 30
    assert board.mode == before


def test_a_tuned_training_that_fails_leaves_the_device_as_it_was(goal, board):
    before, callback = board.mode, PowerTrainCallback(**goal)
    with pytest.raises(ZeroDivisionError):
        fit(callback, module=Module(fails_at=30))
    assert board.mode == before
    assert fit(callback) is not None  # and the next one is tuned again
    assert callback.report().decision.mode is not None


def test_a_callback_with_a_goal_reports_to_what_measures_already(goal, measuring):
    with measuring() as found:
        callback = PowerTrainCallback(**goal)
        fit(callback)
    assert len(found) == 3
    assert callback.report() is None


def test_a_goal_that_makes_no_sense_is_refused_at_once():
    with pytest.raises(ValueError, match="max_power_w"):
        PowerTrainCallback(max_power_w=-1)
