"""What a node tells of its board, and in which mode it holds it, free of any cluster."""

from __future__ import annotations

import re

import numpy as np
import pytest

import powertrain as pt
from powertrain.errors import DataError, DeviceError, MissingKnobError
from powertrain.fleet import NodeModes, budget_w_of, known_modes, label_value
from powertrain.records import ModeTable, Prediction
from powertrain.workflow import Candidates


def known(workload: str, modes, time_ms, power_w, *, sd: float = 0.0) -> Candidates:
    n = len(modes)
    prediction = Prediction(
        time_ms=np.array(time_ms, dtype=float),
        power_w=np.array(power_w, dtype=float),
        time_rel_sd=np.zeros(n),
        power_rel_sd=np.full(n, sd),
    )
    table = ModeTable(knobs=("gpu_mhz",), values=np.array(modes, dtype=float)[:, None])
    return Candidates(
        device="board", workload=workload, method="gp", modes=table, prediction=prediction, basis="Known."
    )


def test_a_mode_draws_what_the_hungriest_workload_draws_and_is_as_slow_as_they_are_on_average():
    one = known("one", [300, 600, 900], [40, 20, 10], [10, 15, 30])
    other = known("other", [900, 600], [10, 11], [25, 20])
    both = NodeModes.of([one, other])
    assert [mode["gpu_mhz"] for mode in both.modes] == [600, 900]
    assert both.power_w.tolist() == [20, 30]
    assert np.allclose(both.slowness, [(np.log(2) + np.log(1.1)) / 2, 0])
    assert (both.lowest_w, both.highest_w) == (20, 30)


def test_the_fastest_mode_under_a_budget_is_taken_and_the_thriftiest_where_there_is_none():
    one = NodeModes.of([known("one", [300, 600, 900], [20, 20, 10], [15, 10, 30])])
    assert one.under(29.9).mode == {"gpu_mhz": 600}
    assert one.under(30).mode == {"gpu_mhz": 900}
    nothing = one.under(3)
    assert (nothing.mode, nothing.keeps, nothing.power_w) == ({"gpu_mhz": 600}, False, 10)


def test_an_error_bar_counts_against_a_budget():
    sure = NodeModes.of([known("one", [300, 900], [20, 10], [10, 30])])
    unsure = NodeModes.of([known("one", [300, 900], [20, 10], [10, 30], sd=0.1)], risk=0.05)
    assert sure.under(31).mode == {"gpu_mhz": 900}
    assert unsure.under(31).mode == {"gpu_mhz": 300}
    assert np.allclose(unsure.power_w, np.exp(0.1 * 1.6449) * np.array([10, 30]), rtol=1e-3)


def test_workloads_that_cannot_be_joined_are_refused_in_one_line():
    one, nan = known("one", [300], [20], [10]), float("nan")
    with pytest.raises(DataError, match="no mode is known for all workloads"):
        NodeModes.of([one, known("other", [600], [20], [10])])
    with pytest.raises(DataError, match="other: its power was never measured"):
        NodeModes.of([one, known("other", [300], [20], [nan])])
    batch = Candidates(
        device="board",
        workload="other",
        method="gp",
        modes=ModeTable(knobs=("batch_size",), values=np.array([[8.0]])),
        prediction=one.prediction,
        basis="",
    )
    with pytest.raises(MissingKnobError, match="batch_size, which a training sets"):
        NodeModes.of([batch])
    with pytest.raises(MissingKnobError, match="one was profiled with gpu_mhz and other with batch_size"):
        NodeModes.of([one, batch])


def test_a_board_of_which_nothing_is_known_needs_a_power_limit():
    board = pt.open_device("sim:orin-nano")
    with pytest.raises(DeviceError, match=r"has no power limit to set; .* give --predictor, or --db"):
        known_modes(board)


@pytest.mark.parametrize(("text", "watts"), [("30", 30), (" 12.5 W ", 12.5), ("7w", 7)])
def test_a_budget_is_a_number_of_watts(text, watts):
    assert budget_w_of(text) == watts


@pytest.mark.parametrize("text", ["", "W", "0", "-3", "1e3", "nan", "inf", "30 mW", "3\n0", "٣٠", "9" * 30])
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(ValueError, match="is no number of watts: give one such as 30") as refused:
        budget_w_of(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["Jetson AGX Orin (64 GB)", "-x-", "", "ß", "NVIDIA H100 80GB HBM3", "a" * 62 + " b", "../../etc"]
)
def test_a_label_is_what_kubernetes_allows(text):
    value = label_value(text)
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)
