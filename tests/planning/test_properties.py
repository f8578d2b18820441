"""What holds for every plan and every order, whatever the space."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.errors import UnknownNameError
from powertrain.planning import order_modes, paper_grid, plan_modes, plan_space
from powertrain.records import ModeTable
from powertrain.space import ModeSpace

ORIN = ModeSpace.of(
    {
        "cpu_cores": range(1, 13),
        "cpu_mhz": 115.2 + 76.8 * np.arange(29),
        "gpu_mhz": 102 * np.arange(1, 14),
        "mem_mhz": [204, 665.6, 2133, 3199],
    }
)
HUGE = ModeSpace.of({f"k{i}": range(1, 9) for i in range(25)})
SMALL_SPACES = st.dictionaries(
    st.sampled_from(["cpu_mhz", "gpu_mhz", "mem_mhz", "batch_size"]),
    st.lists(st.integers(1, 4000), min_size=1, max_size=6, unique=True),
    min_size=1,
).map(ModeSpace.of)


# Plans


@pytest.mark.parametrize(("sampling", "counts"), [("spread", (10, 11, 13)), ("random", (4, 7, 13))])
@pytest.mark.parametrize("names", [("gpu_mhz",), ("gpu_mhz", "mem_mhz"), ORIN.names])
def test_a_shorter_plan_is_the_beginning_of_a_longer_one(names, sampling, counts):
    table = ModeSpace(tuple(ORIN.knob(name) for name in names)).table()

    longer = plan_modes(table, 13, sampling=sampling, seed=4)

    # Fewer than ten spread modes are placed anew for each number of them.
    for n in counts:
        assert plan_modes(table, n, sampling=sampling, seed=4).tolist() == longer[:n].tolist()


def test_a_shorter_plan_of_a_huge_space_is_the_beginning_of_a_longer_one():
    longer = plan_space(HUGE, 200, seed=4)

    for n in (1, 10, 130):
        np.testing.assert_array_equal(plan_space(HUGE, n, seed=4).values, longer.values[:n])


@given(SMALL_SPACES, st.integers(0, 1000), st.sampled_from(["spread", "random"]))
@settings(max_examples=40, deadline=None)
def test_a_plan_of_all_modes_is_a_permutation_of_them(space, seed, sampling):
    rows = plan_modes(space.table(), space.size, sampling=sampling, seed=seed)

    assert sorted(rows.tolist()) == list(range(space.size))


@given(st.sampled_from([1e-3, 1e3, 1e6]), st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_the_units_of_the_knobs_do_not_change_a_plan_over_many_knobs(factor, seed):
    table = ORIN.table().take(np.arange(0, 18_096, 35))
    scaled = ModeTable(knobs=table.knobs, values=table.values * factor)

    assert plan_modes(scaled, 12, seed=seed).tolist() == plan_modes(table, 12, seed=seed).tolist()


def test_random_plans_take_every_mode_about_equally_often():
    table = ORIN.limited(cpu_cores=(12, 12), cpu_mhz=(2000, 3000)).table()

    drawn = np.concatenate([plan_modes(table, 10, sampling="random", seed=seed) for seed in range(1000)])

    often = np.bincount(drawn, minlength=len(table)) * len(table) / len(drawn)
    assert often.min() > 0.5
    assert often.max() < 1.5


# The grid of the paper


def test_the_grid_of_the_paper_has_4368_of_the_modes_of_an_orin():
    grid = paper_grid(ORIN)

    assert grid.shape == (6, 14, 13, 4)
    assert grid.size == 4368
    assert grid.ends()[1] == ORIN.ends()[1]
    assert all(mode in ORIN for mode in (grid[0], grid[2000], grid[4367]))


def test_of_an_even_number_of_clocks_the_grid_of_the_paper_takes_half():
    assert paper_grid(ORIN.limited(cpu_mhz=(150, 3000))).shape[1] == 14


def test_a_space_without_a_cpu_clock_has_no_grid_of_the_paper():
    with pytest.raises(UnknownNameError, match="unknown knob 'cpu_mhz'"):
        paper_grid(ModeSpace.of({"gpu_mhz": [1, 2]}))


# Orders


@given(SMALL_SPACES, st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_an_order_is_a_permutation_whatever_the_modes(space, seed):
    assert sorted(order_modes(space.table(), seed=seed).tolist()) == list(range(space.size))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_one_or_two_modes_keep_their_order(n):
    assert order_modes(ORIN.table([0, 5]).take(np.arange(n))).tolist() == list(range(n))


def test_modes_that_are_equal_are_each_in_the_order():
    modes = ORIN.table([7, 7, 7, 9])

    assert sorted(order_modes(modes).tolist()) == [0, 1, 2, 3]


def test_the_memory_clock_changes_as_rarely_as_it_can_in_a_long_order():
    modes = ORIN.thinned(cpu_mhz=2).table()

    ordered = modes.take(order_modes(modes, seed=2))

    assert int((np.diff(ordered.column("mem_mhz")) != 0).sum()) == 3


# Plans and orders together


@pytest.mark.parametrize("sampling", ["spread", "random"])
def test_the_modes_of_a_plan_are_measured_in_smaller_steps_once_they_are_ordered(sampling):
    table = plan_space(HUGE, 60, sampling=sampling, seed=3)
    ordered = table.take(order_modes(table, seed=3))

    as_planned, as_ordered = (np.abs(np.diff(modes.values, axis=0)).sum() for modes in (table, ordered))

    assert as_ordered < as_planned


def test_a_spread_plan_of_a_huge_space_visits_the_ends_of_every_knob():
    plan = plan_space(HUGE, 64, seed=5)

    smallest, largest = HUGE.ends().values
    assert (plan.values.min(axis=0) == smallest).all()
    assert (plan.values.max(axis=0) == largest).all()
