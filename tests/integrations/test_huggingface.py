"""The Trainer of transformers, reporting its steps by a callback; the model is a tiny BERT."""

from __future__ import annotations

import time

import pytest

transformers = pytest.importorskip("transformers", reason="needs the group 'integrations'")
pytest.importorskip("accelerate", reason="needs the group 'integrations'")
torch = pytest.importorskip("torch")

from tests.integrations import training  # noqa: E402

from powertrain.integrations.huggingface import PowerTrainCallback  # noqa: E402

STEP_S = 0.002


class Texts(torch.utils.data.Dataset):
    """Token numbers that tell their label."""

    def __init__(self, n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(0, 64, (n, 8), generator=generator)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row):
        return {"input_ids": self.tokens[row], "labels": (self.tokens[row, 0] > 32).long()}


class Trainer(transformers.Trainer):
    """Takes its time for a step, and far longer for an evaluation."""

    fails_at = -1

    def training_step(self, *args, **keywords):
        loss = super().training_step(*args, **keywords)
        self.seen.append(loss.item())
        if len(self.seen) == self.fails_at:
            raise ZeroDivisionError("the loss is nan")
        time.sleep(STEP_S)
        return loss

    def prediction_step(self, *args, **keywords):
        time.sleep(50 * STEP_S)
        return super().prediction_step(*args, **keywords)

    def _save_checkpoint(self, *args, **keywords):
        time.sleep(50 * STEP_S)
        return super()._save_checkpoint(*args, **keywords)


def tiny_bert():
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=64, **sizes))


def train(*callbacks, n=160, fails_at=-1, **options):
    training.seed_everything()
    arguments = transformers.TrainingArguments(
        **{
            "output_dir": "trainer",
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4,
            "save_strategy": "no",
            **options,
        },
        logging_steps=4,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=tiny_bert(),
        args=arguments,
        train_dataset=Texts(n),
        eval_dataset=Texts(8),
        callbacks=list(callbacks),
    )
    trainer.seen, trainer.fails_at = [], fails_at
    trainer.train()
    return training.trained(trainer.seen, trainer.model.parameters())


def test_a_training_is_the_same_to_the_last_bit_whether_it_is_measured_or_not(measuring):
    plain = train()
    assert len(plain.losses) == 80
    train(PowerTrainCallback()).assert_same_as(plain)
    with measuring() as found:
        train(PowerTrainCallback()).assert_same_as(plain)
    assert len(found) == 3
    for profile in found:
        assert profile.time_ms >= 2
        assert profile.power_w > 0


@pytest.mark.parametrize(
    "options",
    [
        {"eval_strategy": "steps", "eval_steps": 4},
        {"eval_strategy": "epoch", "num_train_epochs": 6},
        {"save_strategy": "steps", "save_steps": 4},
    ],
)
def test_evaluations_and_saving_do_not_count(measuring, options):
    # A busy machine may interrupt a step; what does not count would do so every time.
    for _ in range(3):
        with measuring(2) as found:
            train(PowerTrainCallback(), n=64, **options)
        assert len(found) == 2
        if all(p.time_ms < 50 * 1e3 * STEP_S and "interrupted" not in p.flags for p in found):
            break
    else:
        pytest.fail(f"what does not count was measured: {found}")


def test_epochs_of_two_steps_are_enough(measuring):
    with measuring(1) as found:
        train(PowerTrainCallback(), n=8, num_train_epochs=20)
    assert len(found) == 1


def test_a_step_is_one_of_the_optimiser_where_gradients_are_accumulated(measuring):
    with measuring(2) as found:
        train(PowerTrainCallback(), gradient_accumulation_steps=4)
    assert len(found) == 2
    assert all(profile.time_ms >= 4 * 1e3 * STEP_S for profile in found)


def test_mixed_precision_is_the_same_to_the_last_bit(measuring):
    plain = train(bf16=True)
    with measuring() as found:
        train(PowerTrainCallback(), bf16=True).assert_same_as(plain)
    assert len(found) == 3


def test_an_exception_in_the_loop_leaves_the_device_as_it_was(measuring, board):
    before = board.mode
    with pytest.raises(ZeroDivisionError), measuring() as found:
        train(PowerTrainCallback(), fails_at=9)
    assert board.mode == before
    assert len(found) == 1


def test_a_trainer_that_stops_early_leaves_the_device_as_it_was(measuring, board):
    class Stops(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            control.should_training_stop = state.global_step == 20

    before = board.mode
    with measuring(50) as found:
        losses = train(PowerTrainCallback(), Stops(), num_train_epochs=100).losses
        assert board.mode != before
    assert board.mode == before
    assert len(losses) == 20
    assert 1 <= len(found) < 50


def test_a_training_is_tuned_by_the_callback_alone_and_is_the_same_to_the_last_bit(goal, board):
    plain, before, callback = train(), board.mode, PowerTrainCallback(**goal)
    train(callback).assert_same_as(plain)
    report = callback.report()
    assert len(report.trials) == 3
    assert report.state == "held"
    assert report.decision.values["power_w"] <= 30
    assert board.mode == before


def test_after_a_tuned_training_that_failed_the_next_one_is_tuned_and_the_device_is_as_it_was(goal, board):
    before, callback = board.mode, PowerTrainCallback(**goal)
    with pytest.raises(ZeroDivisionError):
        train(callback, fails_at=30)
    train(callback)  # nobody told the callback that the first had ended
    assert callback.report().decision.mode is not None
    assert board.mode == before


def test_a_callback_with_a_goal_reports_to_what_measures_already(goal, measuring):
    with measuring() as found:
        callback = PowerTrainCallback(**goal)
        train(callback)
    assert len(found) == 3
    assert callback.report() is None


def test_a_goal_that_makes_no_sense_is_refused_at_once():
    with pytest.raises(ValueError, match="max_power_w"):
        PowerTrainCallback(max_power_w=-1)
