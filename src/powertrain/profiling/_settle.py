"""When a measurement may begin, and when it may end: tests on what has been seen so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

__all__ = ["drift", "interval_half_width", "is_level", "last_two_agree"]

Z95 = 1.959963984540054
"""Half-width of the central 95 % interval of a standard normal distribution."""
NORMAL_FROM = 30
"""Values from which on Student's t is taken for a normal distribution."""
# Two-sided 95 % quantiles of Student's t for 1 to 29 degrees of freedom.
T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145),
    *(
        2.131,
        2.120,
        2.110,
        2.101,
        2.093,
        2.086,
        2.080,
        2.074,
        2.069,
        2.064,
        2.060,
        2.056,
        2.052,
        2.048,
        2.045,
    ),
)


def is_level(values: Sequence[float], *, tolerance: float) -> bool:
    """Tell whether the second half of some values, none negative, has the mean of the first.

    To within `tolerance`, relative; of fewer than four values nothing can be told, so they are not level.
    """
    if len(values) < 4:
        return False
    array = np.asarray(values, dtype=np.float64)
    half = len(array) // 2
    first, second = float(array[:half].mean()), float(array[half:].mean())
    return abs(second - first) <= tolerance * first


def drift(values: Sequence[float]) -> float:
    """Return by how much some values, none negative, rose or fell from first to last, relative to their mean.

    Along the least-squares line; what four standard errors of its slope could explain is taken off, so that
    noise is not a drift. Of fewer than three values, or of zeros, it is 0.
    """
    n = len(values)
    if n < 3 or not any(values):
        return 0.0
    array, place = np.asarray(values, dtype=np.float64), np.arange(n) - (n - 1) / 2
    spread = float((place**2).sum())
    slope = float((place * array).sum()) / spread
    rest = array - array.mean() - slope * place
    slope_se = math.sqrt(float((rest**2).sum()) / (n - 2) / spread)
    return max(abs(slope) - 4 * slope_se, 0.0) * (n - 1) / float(array.mean())


def last_two_agree(values: Sequence[float], *, tolerance: float) -> bool:
    """Tell whether the last two of some values, none negative, agree to within `tolerance`, relative."""
    return len(values) >= 2 and abs(values[-1] - values[-2]) <= tolerance * values[-2]


def interval_half_width(values: Sequence[float]) -> float:
    """Return half the width of the 95 % confidence interval of a mean, relative to it.

    Values are taken as independent; of fewer than two, or around zero, the width is infinite.
    """
    n = len(values)
    array = np.asarray(values, dtype=np.float64)
    if n < 2 or not array.mean() > 0:
        return math.inf
    quantile = T95[n - 2] if n < NORMAL_FROM + 1 else Z95
    return float(quantile * array.std(ddof=1) / math.sqrt(n) / array.mean())
