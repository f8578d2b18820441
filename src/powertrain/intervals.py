"""Intervals and quantiles of what is predicted, defined once.

A predicted value is log-normal: the logarithm of the truth is normal around the logarithm of the value, with
the standard deviation `rel_sd`.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from powertrain.records import FloatArray, Interval

__all__ = ["CENTRAL", "Z_CENTRAL", "central_interval", "central_intervals", "quantile"]

CENTRAL = 0.9
"""Probability that the truth lies in the intervals that are shown."""
Z_CENTRAL = NormalDist().inv_cdf((1 + CENTRAL) / 2)
"""Half-width of that interval of a standard normal distribution."""


def quantile(value: FloatArray, rel_sd: FloatArray, probability: float) -> FloatArray:
    """Return what the true values `(n,)` stay below with a probability.

    A `rel_sd` of NaN (a method without error bars) counts as 0. A NaN value stays NaN.
    """
    z = NormalDist().inv_cdf(probability)
    if z == 0:
        return value
    with np.errstate(over="ignore"):  # an error bar without end gives an infinite bound
        return value * np.exp(z * np.where(np.isnan(rel_sd), 0.0, rel_sd))


def central_intervals(value: FloatArray, rel_sd: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the central 90 % intervals, `(n,)` each; NaN for a method without error bars."""
    with np.errstate(over="ignore"):
        factor = np.exp(Z_CENTRAL * rel_sd)
        return value / factor, value * factor


def central_interval(value: FloatArray, rel_sd: FloatArray, row: int) -> Interval:
    """Return one of the values with its central 90 % interval, whose ends are NaN without an error bar."""
    low, high = central_intervals(value[[row]], rel_sd[[row]])
    return Interval(value=float(value[row]), low=float(low[0]), high=float(high[0]))
