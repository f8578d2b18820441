"""Choosing in spaces that are too large to predict in full."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from powertrain.errors import DataError
from powertrain.optimisation import choose, search_modes
from powertrain.records import Choice, Limits, ModeTable, Prediction
from powertrain.space import ModeSpace

VAST = ModeSpace.of({f"part{j}_mhz": range(100, 1100, 100) for j in range(25)})
SMALL = ModeSpace.of({f"part{j}_mhz": range(100, 1100, 100) for j in range(4)})
MIDDLE = ModeSpace.of({f"part{j}_mhz": range(100, 1050, 50) for j in range(4)})


def stages(knobs: int, seed: int = 0):
    """Return a predictor of work that passes through one stage a knob."""
    shares = np.random.default_rng(seed).dirichlet(np.ones(knobs))

    def predict(modes: ModeTable) -> Prediction:
        clocks = modes.values / 1000
        time_ms = 10 * (shares / clocks).sum(axis=1)
        power_w = 5 + 20 * (shares * clocks**2).sum(axis=1)
        sd = np.full(len(modes), 0.02)
        return Prediction(time_ms=time_ms, power_w=power_w, time_rel_sd=sd, power_rel_sd=sd)

    return predict


def chosen(predict, modes: ModeTable, **how):
    return choose(predict(modes), modes, **how)


@given(st.integers(0, 200), st.floats(7, 24), st.sampled_from(["time", "energy", "edp"]))
@settings(max_examples=15, deadline=None)
def test_in_a_small_space_the_best_of_all_modes_is_found(seed, max_power_w, objective):
    predict = stages(4, seed)

    looked_at = search_modes(
        predict, SMALL, objective=objective, limits=Limits(max_power_w=max_power_w), seed=seed
    )

    how = {"objective": objective, "max_power_w": max_power_w}
    assert chosen(predict, looked_at, **how).mode == chosen(predict, SMALL.table(), **how).mode


def reached(choice: Choice) -> float:
    """Return the value of the objective that a choice was made by."""
    time_ms, energy_j = choice.time_ms.value, choice.energy_j.value
    return {"time": time_ms, "energy": energy_j, "edp": energy_j * time_ms}[choice.objective]


@given(st.integers(0, 200), st.floats(7, 24), st.sampled_from(["time", "energy", "edp"]))
@settings(max_examples=10, deadline=None)
def test_in_a_larger_space_a_mode_within_5_per_cent_of_the_best_of_all_is_found(seed, max_power_w, objective):
    predict, how = stages(4, seed), {"objective": objective, "max_power_w": max_power_w}

    looked_at = search_modes(
        predict, MIDDLE, objective=objective, limits=Limits(max_power_w=max_power_w), seed=seed
    )

    found, best = (chosen(predict, modes, **how) for modes in (looked_at, MIDDLE.table()))
    assert len(looked_at) < MIDDLE.size / 2
    assert reached(found) < 1.05 * reached(best)


def test_without_a_limit_the_fastest_mode_of_a_vast_space_is_found():
    looked_at = search_modes(stages(25), VAST)

    assert chosen(stages(25), looked_at).mode == VAST.ends()[1]


@pytest.mark.parametrize("max_power_w", [10.0, 15.0, 20.0])
def test_in_a_vast_space_the_choice_is_close_to_the_optimum_of_clocks_without_steps(max_power_w):
    # By Lagrange's rule all clocks are equal there, and their power is at the limit.
    kept_w = max_power_w / np.exp(0.02 * NormalDist().inv_cdf(0.95))
    optimum_ms = 10 / ((kept_w - 5) / 20) ** 0.5

    looked_at = search_modes(stages(25), VAST, limits=Limits(max_power_w=max_power_w))

    # What a search looks at is a speck of the space, and no more than a computer predicts in seconds.
    assert len(looked_at) < 500_000
    best = chosen(stages(25), looked_at, max_power_w=max_power_w)
    assert best.power_w.value < max_power_w
    assert optimum_ms <= best.time_ms.value < 1.03 * optimum_ms


def test_a_limit_that_hardly_any_mode_keeps_is_reached():
    predict = stages(25)

    looked_at = search_modes(predict, VAST, limits=Limits(max_power_w=5.3))

    assert chosen(predict, looked_at, max_power_w=5.3, risk=0.5).power_w.value <= 5.3


def test_knobs_with_very_many_values_are_searched():
    fine = ModeSpace.of({"a_mhz": range(1, 30_001), "b_mhz": range(1, 30_001)})

    def predict(modes: ModeTable) -> Prediction:
        a, b = modes.values.T / 30_000
        off = 1 + (a - 0.3) ** 2 + (b - 0.7) ** 2
        return Prediction(time_ms=off, power_w=off, time_rel_sd=0 * off, power_rel_sd=0 * off)

    best = chosen(predict, search_modes(predict, fine)).mode

    assert best["a_mhz"] == pytest.approx(9_000, abs=1)
    assert best["b_mhz"] == pytest.approx(21_000, abs=1)


def test_only_modes_that_exist_are_looked_at():
    def exist(modes: ModeTable) -> np.ndarray:
        return modes.column("part0_mhz") != 1000

    looked_at = search_modes(stages(25), VAST, exist=exist)

    assert exist(looked_at).all()
    assert chosen(stages(25), looked_at).mode["part0_mhz"] == 900


def test_each_mode_is_looked_at_once_and_the_same_seed_looks_at_the_same():
    first, again = (search_modes(stages(4), MIDDLE, seed=3).values for _ in range(2))

    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first, axis=0)) == len(first)


def test_an_objective_that_was_never_measured_is_refused():
    def time_alone(modes: ModeTable) -> Prediction:
        full, nothing = np.ones(len(modes)), np.full(len(modes), np.nan)
        return Prediction(time_ms=full, power_w=nothing, time_rel_sd=nothing, power_rel_sd=nothing)

    with pytest.raises(DataError, match="profile power"):
        search_modes(time_alone, VAST, objective="energy")
