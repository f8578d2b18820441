"""Measuring modes one after the other."""

from __future__ import annotations

from typing import final

import numpy as np
import pytest

from powertrain.errors import DeviceError, MissingKnobError
from powertrain.opening import open_device
from powertrain.planning import ModeSource
from powertrain.profiling import Procedure, RunKeywords, RunOptions, profile_modes
from powertrain.records import ModeTable


def test_a_mode_is_measured_by_the_papers_forty_minibatches_after_three_seconds():
    board = open_device("sim:orin-agx?off=all")
    modes = board.space.table([0, len(board.space) - 1])
    slow, fast = profile_modes(board, "resnet18", modes, procedure=Procedure.paper())
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


@pytest.mark.parametrize("precision", [0.005, 0.02, 0.1])
def test_measuring_ends_when_the_means_are_known_well_enough(precision):
    board = open_device("sim:orin-agx?seed=4")
    how = Procedure(precision=precision, most_minibatches=10_000)
    found = list(profile_modes(board, "resnet18", board.space.table([3_000, 15_000]), procedure=how))
    assert len(found) == 2
    for profile in found:
        # The interval is at least 1.96 standard errors to each side.
        assert 1.96 * profile.time_rel_se <= precision
        assert 1.96 * profile.power_rel_se <= precision


def test_more_precision_costs_more_minibatches():
    costs = []
    for precision in (0.1, 0.01, 0.004):
        board = open_device("sim:orin-nano?seed=1")
        how = Procedure(precision=precision, most_minibatches=10_000)
        (profile,) = profile_modes(board, "lstm", board.space.table([900]), procedure=how)
        costs.append(profile.duration_s)
    assert costs == sorted(costs)
    assert costs[2] > 2 * costs[0]


def test_a_slow_mode_ends_early_with_a_wider_interval():
    board = open_device("sim:xavier-agx")
    slowest = board.space.table([0])
    (profile,) = profile_modes(board, "unet", slowest, procedure=Procedure(limit_s=60.0))
    minibatch_s = board.truth("unet", slowest).time_ms[0] / 1e3
    assert minibatch_s > 60
    # Eight times as long for the first, two that agree, and two that count.
    assert profile.duration_s == pytest.approx((8 + 2 + 2) * minibatch_s, rel=0.1)
    assert profile.flags == ()


def test_what_does_not_become_steady_is_flagged_and_kept():
    board = open_device("sim:orin-nano?off=quantisation")
    how = Procedure(power_tolerance=1e-9, stabilise_limit_s=5.0)
    (profile,) = profile_modes(board, "lstm", board.space.table([900]), procedure=how)
    assert profile.flags == ("unsteady",)
    assert profile.duration_s < 15


@pytest.mark.parametrize("spec", ["sim:orin-agx", "sim:xavier-agx", "sim:orin-nano"])
def test_measuring_until_it_is_enough_costs_half_of_the_papers_way_and_is_as_close(spec):
    board = open_device(spec)
    modes = board.space.table(np.linspace(0, len(board.space) - 1, 30).astype(int))
    truth = board.truth("mobilenet_v3", modes)
    cost_s, error = [], []
    for how in (Procedure.paper(), Procedure()):
        measured = list(profile_modes(open_device(spec), "mobilenet_v3", modes, procedure=how))
        cost_s.append(sum(profile.duration_s for profile in measured))
        time_ms, power_w = np.array([(p.time_ms, p.power_w) for p in measured]).T
        error.append(np.abs(time_ms / truth.time_ms - 1).mean() + np.abs(power_w / truth.power_w - 1).mean())
        assert all(p.flags == () for p in measured)
    assert cost_s[1] < 0.5 * cost_s[0]
    assert error[1] < error[0] + 0.01


@pytest.mark.parametrize(
    "wrong",
    [
        {"most_minibatches": 4},
        {"least_minibatches": 0},
        {"discarded": -1},
        {"stabilise_s": -1.0},
        {"stabilise_s": 20.0},
        {"sample_period_s": 0.0},
        {"precision": 0.0},
        {"limit_s": -3.0},
    ],
)
def test_a_procedure_that_measures_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"count at least one|0 s or more|above 0"):
        Procedure(**wrong)


@final
class Halving(ModeSource):
    """Looks for the fastest GPU clock that keeps a limit, by halving what is left."""

    def __init__(self, modes: ModeTable, limit_w: float) -> None:
        self.knobs, self._modes, self._limit_w = modes.knobs, modes, limit_w
        self._low, self._high = -1, len(modes)
        self.told = []

    @property
    def left(self) -> int:
        return (self._high - self._low - 1).bit_length()

    def recall(self, profiles) -> int:
        return 0

    def ask(self):
        return self._modes[(self._low + self._high) // 2] if self._high - self._low > 1 else None

    def tell(self, profile) -> None:
        self.told.append(profile)
        middle = (self._low + self._high) // 2
        if profile.power_w <= self._limit_w:
            self._low = middle
        else:
            self._high = middle


def test_a_source_chooses_the_next_mode_by_what_came_of_the_last():
    board = open_device("sim:orin-agx?off=noise")
    top = board.space[len(board.space) - 1]
    modes = ModeTable.of([top.replace(gpu_mhz=mhz) for mhz in board.space.knob("gpu_mhz").values])
    source = Halving(modes, 35.0)
    steps = []
    found = list(profile_modes(board, "resnet18", source, progress=lambda d, n, _: steps.append((d, n))))
    assert source.told == found
    assert 3 <= len(found) <= 4  # of 13 clocks
    assert [done for done, _ in steps] == list(range(len(found)))
    assert all(done < total for done, total in steps)
    fits = board.truth("resnet18", modes).power_w <= 35.0
    kept = [p.mode["gpu_mhz"] for p in found if p.power_w <= 35.0]
    assert max(kept) == modes.column("gpu_mhz")[fits].max()


def test_keywords_of_a_run_are_the_fields_of_its_record():
    assert set(RunKeywords.__annotations__) == set(RunOptions.__dataclass_fields__)
    assert RunOptions().changed({"seed": 3}) == RunOptions(seed=3)
    with pytest.raises(TypeError, match="sed"):
        RunOptions().changed({"sed": 3})  # type: ignore[typeddict-unknown-key]
