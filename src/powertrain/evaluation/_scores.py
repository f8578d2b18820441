"""Errors, coverage and the cost of a decision, as plain functions of arrays.

Everything is in per cent unless its name says otherwise. A truth that was not measured (NaN) is left out; a
score without any data is NaN.
"""

from __future__ import annotations

import numpy as np

from powertrain.intervals import Z_CENTRAL
from powertrain.records import FloatArray

__all__ = [
    "absolute_percentage_errors",
    "coverage90",
    "excess_w",
    "mape",
    "p95_ape",
    "percentage",
    "time_penalty",
]


def absolute_percentage_errors(true: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return `100 |predicted / true - 1|` where the truth is known; a missing prediction gives NaN."""
    known = np.isfinite(true)
    return 100.0 * np.abs(predicted[known] / true[known] - 1.0)


def mape(true: FloatArray, predicted: FloatArray) -> float:
    """Return the mean absolute percentage error; NaN where no truth is known or a prediction is missing."""
    errors = absolute_percentage_errors(true, predicted)
    return float(errors.mean()) if errors.size else float("nan")


def p95_ape(true: FloatArray, predicted: FloatArray) -> float:
    """Return the 95th percentile of the absolute percentage error, NaN as in `mape`."""
    errors = absolute_percentage_errors(true, predicted)
    if not errors.size or np.isnan(errors).any():
        return float("nan")
    return float(np.percentile(errors, 95))


def coverage90(true: FloatArray, predicted: FloatArray, rel_sd: FloatArray) -> float:
    """Return the share of truths inside the central 90 % interval.

    The interval is that of `powertrain.records.Prediction`: normal in the logarithm. Without error bars, or
    with one missing, NaN.
    """
    known = np.isfinite(true)
    if not known.any() or not np.isfinite(rel_sd[known]).all() or not np.isfinite(predicted[known]).all():
        return float("nan")
    distance = np.abs(np.log(true[known] / predicted[known]))
    return percentage(distance <= Z_CENTRAL * rel_sd[known])


def time_penalty(*, time_ms: float, best_time_ms: float) -> float:
    """Return by how much the chosen mode is slower than the true optimum.

    Negative where the choice broke the limit that the optimum keeps, and is faster for it.
    """
    return 100.0 * (time_ms / best_time_ms - 1.0)


def excess_w(*, power_w: float, limit_w: float) -> float:
    """Return the power above the limit [W], 0 where the limit is kept."""
    return max(0.0, power_w - limit_w)


def percentage(which: object) -> float:
    """Return the share of true entries of a boolean array; NaN of an empty one."""
    array = np.asarray(which, dtype=bool)
    return float(100.0 * array.mean()) if array.size else float("nan")
