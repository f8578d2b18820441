"""The log-linear baseline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.errors import DataError
from powertrain.models import predictor_class
from powertrain.records import ModeTable, ProfileTable
from powertrain.testing import example_table

LINEAR = predictor_class("linear")


def power_law(
    n: int, *, time_slopes: tuple[float, ...] = (-0.7, -0.2), noise: float = 0.0, seed: int = 0
) -> ProfileTable:
    """Return profiles whose time and power are products of powers of the knobs, with log-normal noise."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(100, 2000, (n, len(time_slopes)))
    logs = np.log(values)
    errors = np.exp(noise * rng.standard_normal((2, n)))
    return ProfileTable(
        device="board",
        workload="job",
        modes=ModeTable(knobs=tuple(f"k{j}_mhz" for j in range(len(time_slopes))), values=values),
        time_ms=np.exp(9.0 + logs @ np.array(time_slopes)) * errors[0],
        power_w=np.exp(1.0 + logs @ np.full(len(time_slopes), 0.3)) * errors[1],
    )


@given(slopes=st.lists(st.floats(-2, 2), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_product_of_powers_of_the_knobs_is_learned_exactly(slopes, seed):
    table = power_law(40, time_slopes=tuple(slopes), seed=seed)
    found = LINEAR.fit(table.take(np.arange(12))).predict(table.modes)
    np.testing.assert_allclose(found.time_ms, table.time_ms, rtol=1e-9)
    np.testing.assert_allclose(found.power_w, table.power_w, rtol=1e-9)


def test_the_error_bar_is_the_noise_where_there_are_many_profiles():
    table = power_law(5000, noise=0.05)
    found = LINEAR.fit(table).predict(table.modes)
    np.testing.assert_allclose(found.time_rel_sd, 0.05, rtol=0.05)
    np.testing.assert_allclose(found.power_rel_sd, 0.05, rtol=0.05)


@pytest.mark.parametrize("freedom", [1, 2, 9])
def test_central_intervals_hold_nine_times_in_ten_however_few_the_profiles(freedom):
    inside = []
    for seed in range(2000):
        table = power_law(freedom + 4, noise=0.1, seed=seed)
        found = LINEAR.fit(table.take(np.arange(freedom + 3))).predict(table.modes.take([freedom + 3]))
        low, high = found.of("time").intervals()
        inside.append(low[0] <= table.time_ms[-1] <= high[0])
    assert 0.88 < np.mean(inside) < 0.92  # 0.9 to three standard errors


@pytest.mark.parametrize(("n", "known"), [(2, False), (3, False), (4, True)])
def test_without_degrees_of_freedom_the_error_bar_is_nan_and_the_profiles_are_met(n, known):
    table = power_law(n, noise=0.1)
    found = LINEAR.fit(table).predict(table.modes)
    assert np.isfinite(found.time_rel_sd).all() == known
    if not known:
        np.testing.assert_allclose(found.time_ms, table.time_ms)


def test_a_knob_that_is_zero_in_a_profile_is_taken_as_it_is():
    table = power_law(20)
    workers = np.arange(20.0) % 4
    modes = ModeTable(
        knobs=(*table.modes.knobs, "loader_workers"), values=np.column_stack([table.modes.values, workers])
    )
    slowed = replace(table, modes=modes, time_ms=table.time_ms * np.exp(-0.1 * workers))
    np.testing.assert_allclose(LINEAR.fit(slowed).predict(modes).time_ms, slowed.time_ms)


def test_a_zero_where_only_values_above_it_were_profiled_is_refused_by_name():
    table = power_law(10)
    zero = ModeTable(knobs=table.modes.knobs, values=np.array([[500.0, 0.0]]))
    with pytest.raises(DataError, match=r"a mode has k1_mhz=0, .* leave such modes out"):
        LINEAR.fit(table).predict(zero)


def test_a_knob_that_was_constant_in_the_profiles_does_not_matter():
    table = example_table()
    made = LINEAR.fit(table)
    more_cores = table.modes.values.copy()
    more_cores[:, table.modes.knobs.index("cpu_cores")] = 12
    modes = ModeTable(knobs=table.modes.knobs, values=more_cores)
    np.testing.assert_array_equal(made.predict(modes).time_ms, made.predict(table.modes).time_ms)


def test_far_away_the_prediction_is_still_a_positive_number():
    made = LINEAR.fit(power_law(10, time_slopes=(-3.0,)))
    far = ModeTable(knobs=("k0_mhz",), values=np.array([[1e-300], [1e300]]))
    assert np.isfinite(made.predict(far).time_ms).all()
    assert (made.predict(far).time_ms > 0).all()


def test_references_and_seed_change_nothing():
    table, modes = example_table(), example_table(20, seed=2).modes
    alone = LINEAR.fit(table).predict(modes)
    other = LINEAR.transfer([LINEAR.fit(example_table(30, gpu_share=0.2))], table, seed=9).predict(modes)
    np.testing.assert_array_equal(alone.time_ms, other.time_ms)
