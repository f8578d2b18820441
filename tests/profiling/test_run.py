"""Measuring modes one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from powertrain.devices import open_device
from powertrain.errors import DeviceError, MissingKnobError
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import ModeTable


def test_a_mode_is_measured_by_the_papers_forty_minibatches_after_three_seconds():
    board = open_device("sim:orin-agx?off=all")
    modes = board.space.table([0, len(board.space) - 1])
    slow, fast = profile_modes(board, "resnet18", modes)
    slow_s, fast_s = board.truth("resnet18", modes).time_ms / 1e3
    # One slow minibatch outlasts the 3 s; of the fast ones some seventy fit in.
    assert slow.duration_s == pytest.approx(39 * slow_s + np.ceil(3 / slow_s) * slow_s)
    assert fast.duration_s == pytest.approx(39 * fast_s + np.ceil(3 / fast_s) * fast_s)


def test_each_profile_comes_as_soon_as_it_is_finished_with_its_spread():
    board = open_device("sim:orin-nano")
    seen: list[tuple[int, int]] = []
    run = profile_modes(
        board, "lstm", board.space.table([1, 2]), progress=lambda done, total, _: seen.append((done, total))
    )
    first = next(run)
    assert seen == [(0, 2)]
    assert first.mode == board.space[1]
    assert 0 < first.time_rel_se < 0.02
    assert len(list(run)) == 1


def test_no_modes_give_no_profiles():
    board = open_device("sim:orin-nano")
    assert list(profile_modes(board, "lstm", board.space.table([]))) == []


def test_wrong_knobs_and_modes_are_refused():
    board = open_device("sim:orin-nano")
    with pytest.raises(MissingKnobError, match="give exactly these"):
        next(profile_modes(board, "lstm", ModeTable(knobs=("gpu_mhz",), values=np.array([[306.0]]))))
    with pytest.raises(DeviceError, match="the nearest is 306"):
        next(profile_modes(board, "lstm", ModeTable.of([board.space[0].replace(gpu_mhz=300)])))


@pytest.mark.parametrize(
    "wrong", [{"minibatches": 1}, {"discarded": -1}, {"stabilise_s": -1.0}, {"sample_period_s": 0.0}]
)
def test_a_procedure_that_measures_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"leave at least one|at least 0 s"):
        Procedure(**wrong)
