"""Measuring from below, and no further than a limit."""

from __future__ import annotations

import math

import numpy as np
import pytest

import powertrain as pt
from powertrain.opening import open_device
from powertrain.profiling import profile_modes
from powertrain.records import Profile
from powertrain.tuning import Climb

LIMIT_W = 9.0


@pytest.fixture
def board():
    return open_device("sim:orin-nano?off=noise")


def below(mode, other) -> bool:
    return all(mode[knob] <= other[knob] for knob in mode)


def test_nothing_above_a_mode_that_exceeded_the_limit_is_measured(board):
    modes = pt.plan(board, 60)
    found = list(profile_modes(board, "resnet18", Climb(modes, hard_limit_w=LIMIT_W)))
    for later, profile in enumerate(found):
        assert not any(below(p.mode, profile.mode) for p in found[:later] if p.power_w > LIMIT_W)
    truth_w = board.truth("resnet18", modes).power_w
    measured = {profile.mode for profile in found}
    kept = {mode for mode, power_w in zip(modes, truth_w, strict=True) if power_w < 0.97 * LIMIT_W}
    assert kept <= measured  # no mode that keeps the limit is missed
    over_w = [profile.power_w for profile in found if profile.power_w > LIMIT_W]
    assert len(over_w) < np.sum(truth_w > LIMIT_W) / 2


def test_it_starts_at_the_bottom_and_forgets_nothing_that_was_measured_before(board):
    modes = board.space.table(np.arange(0, len(board.space), 150))
    source = Climb(modes, hard_limit_w=5.0)
    assert source.ask() == board.space[0]
    again = Climb(modes, hard_limit_w=5.0)
    over = Profile(device="x", workload="w", mode=modes[3], time_ms=1.0, power_w=6.0)
    assert again.recall([over]) == 1
    rest = [again.ask() for _ in range(again.left)]
    assert modes[3] not in rest
    assert not any(below(modes[3], mode) for mode in rest)
    assert again.ask() is None


def test_a_profile_without_power_tells_nothing(board):
    source = Climb(board.space.table([0, 5, 900]), hard_limit_w=5.0)
    first = source.ask()
    source.tell(Profile(device="x", workload="w", mode=first, flags=("unreachable",), power_w=math.nan))
    assert source.left == 2


def test_a_limit_of_nothing_is_refused(board):
    with pytest.raises(ValueError, match="above 0 W"):
        Climb(board.space.table([0]), hard_limit_w=0.0)


def test_a_run_that_was_stopped_goes_on_below_the_limit(board, tmp_path):
    modes = pt.plan(board, 30)
    with pt.open_store(tmp_path / "p.db") as store:
        whole = pt.profile(board, "lstm", Climb(modes, hard_limit_w=LIMIT_W), store)
        again = pt.profile(board, "lstm", Climb(modes, hard_limit_w=LIMIT_W), store)
    assert 0 < whole.measured < 30
    assert (again.measured, again.kept) == (0, whole.measured)
