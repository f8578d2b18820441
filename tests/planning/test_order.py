"""The order in which modes are measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.opening import open_device
from powertrain.planning import order_modes, plan_space
from powertrain.records import ModeTable
from powertrain.space import ModeSpace

SPACE = ModeSpace.of(
    {"cpu_cores": (1, 2, 3, 4), "batch_size": (8, 16, 32), "precision": (16, 32), "gpu_mhz": (300, 600, 900)}
)


def changes(modes: ModeTable, knob: str) -> int:
    return int((np.diff(modes.column(knob)) != 0).sum())


@settings(deadline=None)
@given(st.integers(1, 60), st.integers(0, 5))
def test_every_mode_comes_once(n, seed):
    modes = plan_space(SPACE, n, seed=seed)
    assert sorted(order_modes(modes, seed=seed)) == list(range(n))


@pytest.mark.parametrize("seed", range(5))
def test_knobs_that_are_dear_to_change_change_as_rarely_as_can_be(seed):
    grid = SPACE.table()
    ordered = grid.take(order_modes(grid, seed=seed))
    assert changes(ordered, "batch_size") + changes(ordered, "precision") <= 6
    assert changes(ordered, "gpu_mhz") + changes(ordered, "cpu_cores") <= len(grid) - 1


def test_the_same_seed_gives_the_same_order_and_others_start_elsewhere():
    modes = plan_space(open_device("sim:orin-agx").space, 50)
    orders = {tuple(order_modes(modes, seed=seed)) for seed in range(6)}
    assert tuple(order_modes(modes, seed=3)) in orders
    assert len(orders) > 3


@pytest.mark.parametrize("seed", range(3))
def test_power_changes_less_from_mode_to_mode_than_as_drawn(seed):
    board = open_device("sim:orin-agx")
    modes = plan_space(board.space, 50, seed=seed)
    ordered = modes.take(order_modes(modes, seed=seed))
    as_drawn, as_ordered = (
        np.abs(np.diff(board.truth("resnet18", some).power_w)).mean() for some in (modes, ordered)
    )
    assert as_ordered < 0.7 * as_drawn


def test_a_large_grid_is_walked_in_rows():
    grid = open_device("sim:orin-agx").space.thinned(cpu_mhz=3).table()
    ordered = grid.take(order_modes(grid, seed=1))
    assert len(np.unique(ordered.values, axis=0)) == len(grid)
    assert changes(ordered, "mem_mhz") == 3
    ranks = np.stack([np.unique(ordered.values[:, j], return_inverse=True)[1] for j in range(4)], axis=1)
    assert (np.abs(np.diff(ranks, axis=0)).sum(axis=1) == 1).all()


def test_many_modes_with_many_knobs_are_each_measured_once():
    modes = plan_space(ModeSpace.of({f"k{i}": range(10) for i in range(30)}), 2_500)

    assert sorted(order_modes(modes)) == list(range(2_500))


def test_a_large_grid_with_odd_and_even_numbers_of_values_is_walked_by_single_steps():
    grid = ModeSpace.of({"mem_mhz": range(1, 5), "gpu_mhz": range(1, 28), "cpu_mhz": range(1, 21)}).table()

    ordered = grid.take(order_modes(grid))

    assert (np.abs(np.diff(ordered.values, axis=0)).sum(axis=1) == 1).all()
