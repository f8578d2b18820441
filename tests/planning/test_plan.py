import os
import signal
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.errors import TooFewProfilesError
from powertrain.planning import plan_modes, plan_space
from powertrain.records import ModeTable, Prediction
from powertrain.space import ModeSpace

GRID = ModeSpace.of(
    {"cpu_cores": range(1, 5), "gpu_mhz": [114.75, 318.75, 624.75, 1300.5], "mem_mhz": [204, 2133]}
)


@pytest.mark.parametrize("sampling", ["spread", "random"])
@given(n=st.integers(1, len(GRID)), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_plan_has_as_many_distinct_modes_as_were_asked_for(sampling, n, seed):
    rows = plan_modes(GRID.table(), n, sampling=sampling, seed=seed)

    assert len(set(rows.tolist())) == n
    assert rows.min() >= 0
    assert rows.max() < len(GRID)


@pytest.mark.parametrize("sampling", ["spread", "random"])
def test_the_same_seed_gives_the_same_plan_and_another_seed_another(sampling):
    first, again, other = (plan_modes(GRID.table(), 8, sampling=sampling, seed=s).tolist() for s in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("knobs", ["ab", "abcd"])
@pytest.mark.parametrize("seed", range(5))
def test_sixteen_spread_modes_reach_both_outer_quarters_and_the_middle_of_each_knob(knobs, seed):
    modes = ModeSpace.of({name: range(1, 9) for name in knobs}).table()

    chosen = modes.values[plan_modes(modes, 16, seed=seed)]

    for column in chosen.T:
        assert column.min() <= 2
        assert column.max() >= 7
        assert ((column >= 3) & (column <= 6)).any()


@pytest.mark.parametrize("seed", range(5))
def test_few_spread_modes_lie_inside_where_each_tells_of_more_modes(seed):
    modes = ModeSpace.of({name: range(1, 12) for name in "ab"}).table()

    chosen = modes.values[plan_modes(modes, 3, seed=seed)]

    assert not np.isin(chosen, [1, 11]).all(axis=1).any()


@pytest.mark.parametrize("sampling", ["spread", "random"])
def test_from_ten_modes_on_a_larger_plan_begins_with_the_smaller(sampling):
    modes = ModeSpace.of({name: range(1, 12) for name in "abc"}).table()

    plans = [plan_modes(modes, n, sampling=sampling, seed=1).tolist() for n in (10, 20, 90)]

    assert plans[1][:10] == plans[0]
    assert plans[2][:20] == plans[1]


@pytest.mark.parametrize("knobs", ["ab", "abc"])
def test_a_spread_plan_leaves_smaller_gaps_than_a_random_one(knobs):
    modes = ModeSpace.of({name: np.arange(1, 13) for name in knobs}).table()

    def largest_gap(sampling: str, seed: int) -> float:
        chosen = modes.values[plan_modes(modes, 12, sampling=sampling, seed=seed)]
        return np.linalg.norm(modes.values[:, None] - chosen, axis=2).min(axis=1).max()

    spread = np.mean([largest_gap("spread", s) for s in range(5)])
    random = np.mean([largest_gap("random", s) for s in range(5)])
    assert spread < random


def test_three_modes_along_one_knob_are_the_centres_of_thirds():
    modes = ModeSpace.of({"gpu_mhz": 76.8 * np.arange(1, 13)}).table()

    assert sorted(plan_modes(modes, 3)) == [1, 5, 9]


def test_knobs_that_never_vary_do_not_matter():
    modes = ModeTable(knobs=("a", "b"), values=np.column_stack([np.arange(1.0, 7), np.full(6, 3.0)]))

    assert sorted(plan_modes(modes, 6)) == list(range(6))


def test_modes_that_are_all_the_same_can_still_be_planned():
    modes = ModeTable(knobs=("a",), values=np.ones((4, 1)))

    assert len(set(plan_modes(modes, 3).tolist())) == 3


def test_asking_for_more_modes_than_exist_is_refused():
    with pytest.raises(TooFewProfilesError, match="there are 32"):
        plan_modes(GRID.table(), 33)


@pytest.mark.parametrize(("n", "sampling"), [(0, "spread"), (3, "everywhere")])
def test_a_senseless_request_is_a_value_error(n, sampling):
    with pytest.raises(ValueError, match=r"ask for 1 or more|use 'spread' or 'random'"):
        plan_modes(GRID.table(), n, sampling=sampling)


def test_a_space_of_a_billion_modes_is_planned_without_listing_it():
    space = ModeSpace.of({f"k{i}": range(1, 1001) for i in range(3)})

    plan = plan_space(space, 10, seed=0)

    assert len(plan) == 10
    assert all(mode in space for mode in plan)


# Spaces too large to list

SWITCHES = ModeSpace.of({f"switch{i}": (0, 1) for i in range(15)})
VAST = ModeSpace.of({f"k{i}": range(1, 11) for i in range(40)})


@pytest.mark.parametrize("sampling", ["spread", "random"])
@pytest.mark.parametrize("space", [SWITCHES, VAST], ids=["switches", "vast"])
@pytest.mark.parametrize("n", [1, 10, 1000])
def test_a_plan_of_a_large_space_has_as_many_distinct_modes_as_were_asked_for(space, n, sampling):
    plan = plan_space(space, n, sampling=sampling, seed=0)

    assert len({tuple(row) for row in plan.values}) == n
    assert all(mode in space for mode in plan)


@pytest.mark.parametrize("space", [SWITCHES, VAST], ids=["switches", "vast"])
def test_a_spread_plan_of_a_large_space_takes_no_value_of_a_knob_twice_or_half_as_often_as_its_share(space):
    plan = plan_space(space, 640, seed=1)

    for column, knob in zip(plan.values.T, space.knobs, strict=True):
        often = np.array([(column == value).sum() for value in knob.values])
        assert often.min() > 0.5 * 640 / len(knob.values)
        assert often.max() < 2.0 * 640 / len(knob.values)


@pytest.mark.parametrize("sampling", ["spread", "random"])
def test_the_same_seed_gives_the_same_plan_of_a_large_space(sampling):
    first, again, other = (plan_space(VAST, 8, sampling=sampling, seed=s).values.tolist() for s in (1, 1, 2))

    assert first == again
    assert first != other


def test_almost_all_modes_of_a_space_can_be_planned():
    plan = plan_space(SWITCHES, 30_000, sampling="random")

    assert len({tuple(row) for row in plan.values}) == 30_000


@pytest.mark.parametrize("space", [VAST, GRID], ids=["vast", "small"])
def test_only_modes_that_exist_are_planned(space):
    first = space.knobs[0]

    plan = plan_space(space, 6, exist=lambda modes: modes.column(first.name) > first.values[1])

    assert len(plan) == 6
    assert plan.column(first.name).min() > first.values[1]


def test_a_large_space_of_which_almost_nothing_exists_is_refused_with_what_was_found():
    with pytest.raises(TooFewProfilesError, match="5 modes were asked for, and 0 that exist were found"):
        plan_space(VAST, 5, exist=lambda modes: np.zeros(len(modes), dtype=bool))


@pytest.mark.parametrize("knobs", ["a", "ab"])
def test_a_plan_over_one_or_two_long_knobs_reaches_both_outer_fifths(knobs):
    space = ModeSpace.of({name: range(1, 1_000_001) for name in knobs})

    plan = plan_space(space, 8, seed=2)

    for column in plan.values.T:
        assert column.min() < 200_000
        assert column.max() > 800_000


@pytest.mark.parametrize(("n", "sampling"), [(0, "spread"), (0, "random"), (3, "everywhere")])
def test_a_senseless_request_of_a_large_space_is_a_value_error(n, sampling):
    with pytest.raises(ValueError, match=r"ask for 1 or more|use 'spread' or 'random'"):
        plan_space(VAST, n, sampling=sampling)


def test_asking_a_large_space_for_more_modes_than_it_has_is_refused():
    with pytest.raises(TooFewProfilesError, match="there are 32,768"):
        plan_space(SWITCHES, 32_769)


class Steep:
    """A reference whose time rises steeply at one end of knob `a`, by as much as `size`."""

    def __init__(self, size: float) -> None:
        self.size = size

    def glance(self, modes: ModeTable) -> Prediction:
        time_ms = np.exp(self.size * (modes.column("a") == 1))
        return Prediction(time_ms=time_ms, time_rel_sd=np.full(len(modes), 0.1))


def test_a_plan_with_references_looks_where_they_differ():
    modes = ModeSpace.of({"a": range(1, 31), "b": range(1, 11)}).table()

    plain = modes.values[plan_modes(modes, 5, seed=0)]
    informed = modes.values[plan_modes(modes, 5, seed=0, references=[Steep(0.0), Steep(3.0)])]

    assert 1 not in plain[:, 0]
    assert 1 in informed[:, 0]


def test_one_reference_alone_changes_no_plan():
    modes = ModeSpace.of({"a": range(1, 31), "b": range(1, 11)}).table()

    np.testing.assert_array_equal(plan_modes(modes, 5), plan_modes(modes, 5, references=[Steep(1.0)]))


def test_a_signal_during_planning_is_delivered_after_it_and_changes_no_plan():
    table = ModeSpace.of({"cpu_mhz": range(100, 2200, 100), "gpu_mhz": range(100, 1400, 100)}).table()
    undisturbed = plan_modes(table, 8, seed=3)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    came: list[float] = []

    def plan_under_fire() -> None:
        timer = threading.Timer(0.005, os.kill, (os.getpid(), signal.SIGINT))
        try:
            timer.start()
            while True:  # until the signal comes, however slow this machine is
                assert (plan_modes(table, 8, seed=3) == undisturbed).all()
        except KeyboardInterrupt:
            came.append(1.0)
        timer.join()

    try:
        for _ in range(3):
            plan_under_fire()
        assert len(came) == 3
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
