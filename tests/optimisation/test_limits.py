"""Limits that hold with a probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powertrain.errors import DataError
from powertrain.optimisation import feasible_mask, upper_quantile
from powertrain.records import Limits, Prediction

positive = st.floats(1e-3, 1e6)
columns = hnp.arrays(np.float64, st.shared(st.integers(0, 20), key="n"), elements=positive)
rel_sds = hnp.arrays(np.float64, st.shared(st.integers(0, 20), key="n"), elements=st.floats(0, 2))
risks = st.floats(0.001, 0.999)


def prediction(time_ms=(), power_w=(), *, time_rel_sd=np.nan, power_rel_sd=np.nan, **noise):
    time_ms, power_w = np.array(time_ms, dtype=float), np.array(power_w, dtype=float)
    return Prediction(
        time_ms=time_ms,
        power_w=power_w,
        time_rel_sd=np.broadcast_to(time_rel_sd, time_ms.shape),
        power_rel_sd=np.broadcast_to(power_rel_sd, time_ms.shape),
        **noise,
    )


def test_the_upper_quantile_is_that_of_a_log_normal_distribution():
    draws = 20.0 * np.exp(0.3 * np.random.default_rng(0).normal(size=200_000))

    bound = upper_quantile(np.array([20.0]), np.array([0.3]), risk=0.05)

    assert (draws > bound).mean() == pytest.approx(0.05, abs=0.003)
    assert bound[0] == pytest.approx(20.0 * np.exp(1.6448536269514722 * 0.3))


@given(columns, rel_sds)
def test_risk_one_half_is_the_point_prediction(value, rel_sd):
    np.testing.assert_array_equal(upper_quantile(value, rel_sd, risk=0.5), value)


@given(columns, rel_sds, risks, risks)
def test_less_risk_never_lowers_a_bound(value, rel_sd, one, other):
    careful, careless = sorted((one, other))

    assert (upper_quantile(value, rel_sd, risk=careful) >= upper_quantile(value, rel_sd, risk=careless)).all()


@given(columns, risks)
def test_without_error_bars_the_bound_is_the_point_prediction(value, risk):
    np.testing.assert_array_equal(upper_quantile(value, np.full_like(value, np.nan), risk=risk), value)


def test_an_error_bar_without_end_gives_an_infinite_bound():
    assert upper_quantile(np.array([1.0, 1.0]), np.array([1e4, np.inf]), risk=0.05).tolist() == [np.inf] * 2


def test_a_quantity_that_is_not_predicted_has_no_bound():
    assert np.isnan(upper_quantile(np.array([np.nan]), np.array([0.1]), risk=0.05)).all()


@pytest.mark.parametrize("risk", [0.0, 1.0, -0.1, 1.5, np.nan])
def test_a_risk_outside_of_0_to_1_is_refused(risk):
    with pytest.raises(ValueError, match=r"risk is .*: give a number between 0 and 1"):
        upper_quantile(np.ones(1), np.ones(1), risk=risk)
    with pytest.raises(ValueError, match=r"risk is .*: give a number between 0 and 1"):
        feasible_mask(prediction([1], [1]), Limits(), risk=risk)


@given(columns, columns, rel_sds, rel_sds, risks, positive, positive, positive)
def test_a_mode_is_feasible_when_every_bound_keeps_its_limit(
    time_ms, power_w, time_rel_sd, power_rel_sd, risk, max_power_w, max_time_ms, max_energy_j
):
    limits = Limits(max_power_w=max_power_w, max_time_ms=max_time_ms, max_energy_j=max_energy_j)
    predicted = prediction(time_ms, power_w, time_rel_sd=time_rel_sd, power_rel_sd=power_rel_sd)

    expected = (
        (upper_quantile(power_w, power_rel_sd, risk=risk) <= max_power_w)
        & (upper_quantile(time_ms, time_rel_sd, risk=risk) <= max_time_ms)
        & (upper_quantile(predicted.energy_j, predicted.energy_rel_sd, risk=risk) <= max_energy_j)
    )
    np.testing.assert_array_equal(feasible_mask(predicted, limits, risk=risk), expected)


@given(columns, rel_sds, positive, positive)
def test_a_higher_limit_never_takes_a_mode_away(power_w, power_rel_sd, one, other):
    predicted = prediction(power_w, power_w, power_rel_sd=power_rel_sd)
    tight, loose = (feasible_mask(predicted, Limits(max_power_w=limit)) for limit in sorted((one, other)))

    assert (loose | ~tight).all()


def test_a_limit_is_kept_at_its_very_value():
    mask = feasible_mask(prediction([1, 1, 1], [29.9, 30.0, 30.1]), Limits(max_power_w=30.0))

    assert mask.tolist() == [True, True, False]


def test_the_noise_of_one_measurement_does_not_count_against_a_limit():
    noisy = prediction([1], [28], power_rel_sd=0.05, power_noise_rel_sd=np.array([0.05]))
    unsure = prediction([1], [28], power_rel_sd=0.05)

    assert feasible_mask(noisy, Limits(max_power_w=29)).all()
    assert not feasible_mask(unsure, Limits(max_power_w=29)).any()


def test_without_limits_all_modes_are_feasible_even_those_that_are_not_predicted():
    assert feasible_mask(prediction([1, np.nan], [np.nan, 1]), Limits()).all()


def test_a_mode_without_a_prediction_keeps_no_limit():
    predicted = prediction([1, 1], [np.nan, 5])

    assert feasible_mask(predicted, Limits(max_power_w=30)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (
            Limits(max_power_w=30),
            "a power limit was asked, but the predictor has only time: "
            "profile power, or ask for something else",
        ),
        (
            Limits(max_energy_j=30),
            "an energy limit was asked, but the predictor has only time: profile power",
        ),
    ],
)
def test_a_limit_on_what_was_never_measured_is_refused(limits, message):
    with pytest.raises(DataError, match=message):
        feasible_mask(prediction([1, 2], [np.nan, np.nan]), limits)


def test_no_modes_have_an_empty_mask():
    assert feasible_mask(prediction(), Limits(max_power_w=30)).shape == (0,)
