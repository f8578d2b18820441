import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.errors import TooFewProfilesError
from powertrain.planning import plan_modes, plan_space
from powertrain.records import ModeTable
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
