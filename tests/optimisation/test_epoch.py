"""Totals of an epoch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.optimisation import choose, epoch_totals, epoch_totals_at
from powertrain.records import ModeTable, Prediction


def chosen(*, rel_sd):
    one = np.ones(1)
    prediction = Prediction(
        time_ms=36.0 * one, power_w=20.0 * one, time_rel_sd=rel_sd * one, power_rel_sd=rel_sd * one
    )
    return choose(prediction, ModeTable.of([{"gpu_mhz": 1.0}]))


def test_minibatches_add_up_to_hours_and_watt_hours():
    totals = epoch_totals(chosen(rel_sd=0.1), minibatches=100_000)

    assert totals.minibatches == 100_000
    assert totals.time_h.value == pytest.approx(1.0)
    assert totals.energy_j.value == pytest.approx(72_000.0)
    assert totals.energy_wh.value == pytest.approx(20.0)


def test_the_intervals_grow_with_the_epoch():
    choice = chosen(rel_sd=0.1)
    totals = epoch_totals(choice, minibatches=1_000)

    assert totals.energy_j.low == pytest.approx(1_000 * choice.energy_j.low)
    assert totals.energy_j.high == pytest.approx(1_000 * choice.energy_j.high)
    assert totals.time_h.high / totals.time_h.value == pytest.approx(
        choice.time_ms.high / choice.time_ms.value
    )


def test_without_error_bars_the_intervals_have_no_ends():
    totals = epoch_totals(chosen(rel_sd=np.nan), minibatches=10)

    assert totals.energy_wh.value == pytest.approx(0.002)
    assert math.isnan(totals.energy_wh.low)
    assert math.isnan(totals.time_h.high)


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e3), st.integers(1, 10**6))
def test_a_measured_time_and_power_have_the_totals_of_a_choice(time_ms, power_w, minibatches):
    totals = epoch_totals_at(time_ms=time_ms, power_w=power_w, minibatches=minibatches)

    assert totals.time_h.value == pytest.approx(time_ms * minibatches / 3.6e6)
    assert totals.energy_wh.value == pytest.approx(power_w * totals.time_h.value)


@pytest.mark.parametrize("minibatches", [0, -1])
def test_an_epoch_has_at_least_one_minibatch(minibatches):
    with pytest.raises(ValueError, match=f"{minibatches} minibatches: an epoch has at least 1"):
        epoch_totals_at(time_ms=1.0, power_w=1.0, minibatches=minibatches)
