"""What was measured or chosen, in the loggers of experiments."""

from __future__ import annotations

import math

import pytest

import powertrain as pt

MODE = pt.PowerMode(cpu_cores=4, gpu_mhz=612.5)
PROFILE = pt.Profile(
    device="board",
    workload="mine",
    mode=MODE,
    time_ms=20.0,
    power_w=15.0,
    duration_s=3.0,
    flags=("drifting",),
)
EXPECTED = {
    "powertrain/time_ms": 20.0,
    "powertrain/power_w": 15.0,
    "powertrain/energy_j": 0.3,
    "powertrain/duration_s": 3.0,
    "powertrain/mode/cpu_cores": 4.0,
    "powertrain/mode/gpu_mhz": 612.5,
}


@pytest.fixture(scope="module")
def choice():
    board = pt.open_device("sim:orin-nano")
    predictor = pt.fit(board.measure("lstm", pt.plan(board, 10)))
    return pt.choose(predictor, board.modes(), max_power_w=9)


def chosen(choice) -> dict[str, float]:
    """Return a few of the numbers that a choice has to have."""
    return {
        "powertrain/power_w": choice.power_w.value,
        "powertrain/power_w_high": choice.power_w.high,
        "powertrain/energy_j": choice.energy_j.value,
        "powertrain/time_ms_low": choice.time_ms.low,
        "powertrain/mode/gpu_mhz": choice.mode["gpu_mhz"],
    }


def test_mlflow_has_numbers_as_metrics_and_words_as_tags(choice):
    mlflow = pytest.importorskip("mlflow", reason="needs the group 'integrations'")
    from powertrain.integrations.mlflow import log

    with mlflow.start_run() as run:
        log(PROFILE, step=3)
    kept = mlflow.get_run(run.info.run_id).data
    assert kept.metrics == pytest.approx(EXPECTED)
    assert kept.tags["powertrain.mode"] == "cpu_cores=4 gpu_mhz=612.5"
    assert kept.tags["powertrain.flags"] == "drifting"
    with mlflow.start_run() as run:
        log(choice)
    kept = mlflow.get_run(run.info.run_id).data
    assert kept.metrics.items() >= chosen(choice).items()
    assert kept.tags["powertrain.limits"] == "max_power_w=9"
    assert kept.tags["powertrain.mode"] == str(choice.mode)


def test_wandb_has_numbers_as_metrics_and_words_in_the_summary(choice):
    wandb = pytest.importorskip("wandb", reason="needs the group 'integrations'")
    from powertrain.integrations.wandb import log

    with pytest.raises(ValueError, match=r"wandb\.init"):
        log(PROFILE)
    with wandb.init(project="powertrain", mode="offline") as run:
        log(PROFILE)
        assert {name: run.summary[name] for name in EXPECTED} == pytest.approx(EXPECTED)
        log(choice, run=run)
        found = chosen(choice)
        assert {name: run.summary[name] for name in found} == pytest.approx(found)
        assert run.summary["powertrain/mode"] == str(choice.mode)


def test_tensorboard_has_numbers_as_scalars_and_words_as_texts(choice, tmp_path):
    pytest.importorskip("tensorboard", reason="needs the group 'integrations'")
    pytest.importorskip("torch")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    from powertrain.integrations.tensorboard import log

    with SummaryWriter(str(tmp_path)) as writer:
        log(PROFILE, writer, step=7)
        log(choice, writer, step=8)
    kept = EventAccumulator(str(tmp_path)).Reload()
    scalars = {tag: {e.step: e.value for e in kept.Scalars(tag)} for tag in kept.Tags()["scalars"]}
    assert {name: scalars[name][7] for name in EXPECTED} == pytest.approx(EXPECTED)
    assert {name: scalars[name][8] for name in chosen(choice)} == pytest.approx(chosen(choice))
    assert "powertrain/mode/text_summary" in kept.Tags()["tensors"]


def test_what_is_not_known_is_left_out():
    pytest.importorskip("tensorboard", reason="needs the group 'integrations'")
    from powertrain.integrations.tensorboard import log

    class Writer:
        numbers, texts = {}, {}

        def add_scalar(self, tag, value, step=None):
            self.numbers[tag] = value

        def add_text(self, tag, text, step=None):
            self.texts[tag] = text

    writer = Writer()
    log(pt.Profile(device="cpu", workload="mine", mode=pt.PowerMode(cpu_cores=2), time_ms=5.0), writer)
    assert writer.numbers == {"powertrain/time_ms": 5.0, "powertrain/mode/cpu_cores": 2.0}
    assert set(writer.texts) == {"powertrain/device", "powertrain/workload", "powertrain/mode"}
    assert all(map(math.isfinite, writer.numbers.values()))
