from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.evaluation import coverage90, excess_w, mape, p95_ape, time_penalty

NAN = float("nan")
positive = st.floats(0.1, 1e6)


def test_mape_is_the_mean_of_the_relative_errors_in_per_cent():
    assert mape(np.array([100.0, 200.0]), np.array([110.0, 180.0])) == pytest.approx(10.0)


def test_truths_that_were_not_measured_are_left_out():
    assert mape(np.array([100.0, NAN]), np.array([110.0, 1.0])) == pytest.approx(10.0)


@pytest.mark.parametrize("score", [mape, p95_ape])
def test_a_score_without_data_or_without_predictions_is_nan(score):
    assert math.isnan(score(np.array([NAN]), np.array([1.0])))
    assert math.isnan(score(np.empty(0), np.empty(0)))
    assert math.isnan(score(np.array([1.0, 2.0]), np.array([NAN, 2.0])))


@given(st.lists(positive, min_size=1, max_size=20), st.floats(0.5, 2))
def test_scaling_every_prediction_gives_that_error_everywhere(truth, factor):
    true = np.array(truth)

    expected = 100 * abs(factor - 1)
    assert mape(true, factor * true) == pytest.approx(expected, abs=1e-9)
    assert p95_ape(true, factor * true) == pytest.approx(expected, abs=1e-9)


@given(st.lists(positive, min_size=1, max_size=50))
def test_wide_intervals_cover_everything_and_none_covers_a_miss(truth):
    true = np.array(truth)

    assert coverage90(true, 1.1 * true, np.full(len(true), 10.0)) == 100.0
    assert coverage90(true, 1.1 * true, np.full(len(true), 0.01)) == 0.0


def test_nine_in_ten_draws_lie_in_the_ninety_per_cent_interval():
    rng = np.random.default_rng(0)
    predicted = rng.uniform(1, 100, 20_000)
    true = predicted * np.exp(0.2 * rng.standard_normal(20_000))

    assert coverage90(true, predicted, np.full(20_000, 0.2)) == pytest.approx(90, abs=1)


def test_coverage_of_a_method_without_error_bars_is_nan():
    assert math.isnan(coverage90(np.ones(3), np.ones(3), np.full(3, NAN)))


def test_a_choice_that_breaks_the_limit_may_be_faster_than_the_best():
    assert time_penalty(time_ms=90, best_time_ms=100) == pytest.approx(-10)
    assert time_penalty(time_ms=100, best_time_ms=100) == 0


@given(positive, positive)
def test_excess_is_zero_where_the_limit_is_kept_and_the_difference_elsewhere(power_w, limit_w):
    excess = excess_w(power_w=power_w, limit_w=limit_w)

    assert excess >= 0
    assert excess == (power_w - limit_w if power_w > limit_w else 0)
