"""Errors, coverage and the cost of a decision, as plain functions of arrays.

Everything is in per cent unless its name says otherwise. A truth that was not measured (NaN) is left out; a
score without any data is NaN.
"""

from __future__ import annotations

import numpy as np

from powertrain.records import Z90, FloatArray

__all__ = [
    "absolute_percentage_errors",
    "coverage90",
    "excess_w",
    "mape",
    "mean_absolute_error",
    "p95_ape",
    "percentage",
    "time_penalty",
]


def absolute_percentage_errors(true: FloatArray, predicted: FloatArray) -> FloatArray:
    """Return `100 |predicted / true - 1|` where the truth is known; a missing prediction gives NaN."""
    known = np.isfinite(true)
    return 100.0 * np.abs(predicted[known] / true[known] - 1.0)


# A method that leaves out hard modes must not look better for it: one missing prediction makes a score NaN.
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


def mean_absolute_error(true: FloatArray, predicted: FloatArray) -> float:
    """Return the mean absolute error in the unit of the quantity, NaN as in `mape`."""
    known = np.isfinite(true)
    return float(np.abs(predicted[known] - true[known]).mean()) if known.any() else float("nan")


def coverage90(true: FloatArray, predicted: FloatArray, sd: FloatArray, *, is_log: bool = True) -> float:
    """Return the share of truths inside the central 90 % interval.

    The interval is that of `powertrain.records.Estimate`: normal in the logarithm with `is_log`. Without
    error bars, or with one missing, NaN.
    """
    known = np.isfinite(true)
    if not known.any() or not np.isfinite(sd[known]).all() or not np.isfinite(predicted[known]).all():
        return float("nan")
    # The interval is symmetric on the quantity's own scale, so its two ends are one comparison.
    off = np.log(true[known] / predicted[known]) if is_log else true[known] - predicted[known]
    return percentage(np.abs(off) <= Z90 * sd[known])


def time_penalty(*, time_ms: float, best_time_ms: float) -> float:
    """Return by how much the chosen mode is slower than the true optimum.

    It is negative where the choice broke the limit that the optimum keeps, and is faster for that reason.
    """
    return 100.0 * (time_ms / best_time_ms - 1.0)


def excess_w(*, power_w: float, limit_w: float) -> float:
    """Return the power above the limit [W], 0 where the limit is kept."""
    return max(0.0, power_w - limit_w)


def percentage(which: object) -> float:
    """Return the share of true entries of a boolean array; NaN of an empty one."""
    array = np.asarray(which, dtype=bool)
    return float(100.0 * array.mean()) if array.size else float("nan")
