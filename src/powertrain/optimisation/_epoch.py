"""Totals of an epoch: what a choice of one minibatch adds up to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from powertrain.records import Choice, Interval
from powertrain.units import energy_j, hours_from_ms, watt_hours_from_joules

__all__ = ["EpochTotals", "epoch_totals", "epoch_totals_at"]


@final
@dataclass(frozen=True, kw_only=True)
class EpochTotals:
    """Time and energy of one epoch with 90 % intervals."""

    minibatches: int
    """Minibatches in the epoch."""
    time_h: Interval
    """Duration of the epoch [h]."""
    energy_j: Interval
    """Energy of the epoch [J]."""
    energy_wh: Interval
    """The same energy [Wh]."""


def epoch_totals(choice: Choice, *, minibatches: int) -> EpochTotals:
    """Return what an epoch of `minibatches` costs in the chosen mode.

    The error of a prediction is the same in every minibatch of a mode, so the intervals grow in proportion.
    What was not measured is NaN.

    Raises:
        ValueError: when `minibatches` is not at least 1.
    """
    return _totals(time_ms=choice.time_ms, energy=choice.energy_j, minibatches=minibatches)


def epoch_totals_at(*, time_ms: float, power_w: float, minibatches: int) -> EpochTotals:
    """Return what an epoch costs at a known minibatch time [ms] and mean power [W]; no interval has ends.

    Raises:
        ValueError: when `minibatches` is not at least 1.
    """
    one_j = energy_j(power_w=power_w, time_ms=time_ms)
    return _totals(time_ms=_point(time_ms), energy=_point(one_j), minibatches=minibatches)


def _point(value: float) -> Interval:
    return Interval(value=value, low=math.nan, high=math.nan)


def _totals(*, time_ms: Interval, energy: Interval, minibatches: int) -> EpochTotals:
    if minibatches < 1:
        raise ValueError(f"{minibatches} minibatches: an epoch has at least 1")
    total_j = _mapped(energy, lambda one_j: minibatches * one_j)
    return EpochTotals(
        minibatches=minibatches,
        time_h=_mapped(time_ms, lambda one_ms: hours_from_ms(minibatches * one_ms)),
        energy_j=total_j,
        energy_wh=_mapped(total_j, watt_hours_from_joules),
    )


def _mapped(interval: Interval, convert: Callable[[float], float]) -> Interval:
    return Interval(value=convert(interval.value), low=convert(interval.low), high=convert(interval.high))
