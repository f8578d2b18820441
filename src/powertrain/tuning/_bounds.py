"""What was measured bounds what was not, by the one thing that is sure of clocks and limits.

Raising a speed never makes the work slower nor the board draw less. So a mode at or above a measured one
draws at least as much and takes at most as long, and one at or below it the other way round. Measurements
have noise, so the bounds have slack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.special import ndtr

from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records import FloatArray, ModeTable, ProfileTable
from powertrain.space import is_speed

__all__ = ["Bounds", "truncated"]

LEAST_SLACK = {TIME.name: 0.01, POWER.name: 0.003}
MOST_SLACK = {TIME.name: 0.06, POWER.name: 0.03}
"""By how much noise may make a measurement break the order [log], at least and at most."""
SLACK_PER_SD = 1.0
"""Between these it is as large as the noise that the predictions see."""


@final
@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Least and greatest logarithm of time and power of some modes, `(n,)` each."""

    low: dict[str, FloatArray]
    high: dict[str, FloatArray]

    @classmethod
    def of(
        cls, modes: ModeTable, table: ProfileTable | None, noise: Mapping[str, float] | None = None
    ) -> Bounds:
        """Return what a table of measurements says of modes; `noise` is its standard deviation [log]."""
        n = len(modes)
        low = {q.name: np.full(n, -np.inf) for q in (TIME, POWER)}
        high = {q.name: np.full(n, np.inf) for q in (TIME, POWER)}
        if table is None:
            return cls(low=low, high=high)
        above, below = _order(modes, table.modes)
        for quantity, rises in ((TIME, False), (POWER, True)):
            logs = np.log(table.columns[quantity.column])
            name, sd = quantity.name, (noise or {}).get(quantity.name, 0.0)
            slack = min(max(SLACK_PER_SD * sd, LEAST_SLACK[name]), MOST_SLACK[name])
            for j in np.flatnonzero(np.isfinite(logs)):
                at_least, at_most = (above, below) if rises else (below, above)
                low[name] = np.where(at_least[:, j], np.maximum(low[name], logs[j] - slack), low[name])
                high[name] = np.where(at_most[:, j], np.minimum(high[name], logs[j] + slack), high[name])
        return cls(low=low, high=high)

    def apply(self, quantity: Quantity, mean: FloatArray, sd: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return a prediction [log] within the bounds."""
        if quantity.name not in self.low:
            return mean, sd
        return truncated(mean, sd, self.low[quantity.name], self.high[quantity.name])


def _order(modes: ModeTable, others: ModeTable) -> tuple[np.ndarray, np.ndarray]:
    """Mark which modes are at or above others in every speed, and at or below, `(n, m)` each.

    Knobs that are no speeds have to be the same.
    """
    above = np.ones((len(modes), len(others)), dtype=np.bool_)
    below = above.copy()
    for j, knob in enumerate(modes.knobs):
        own, other = modes.values[:, j][:, None], others.select((knob,))[:, 0][None]
        if is_speed(knob):
            above &= own >= other
            below &= own <= other
        else:
            above &= own == other
            below &= own == other
    return above, below


def truncated(
    mean: FloatArray, sd: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of normals that are cut off at both ends, `(n,)` each.

    Bounds that contradict each other, and such that leave next to nothing of a normal, give the place
    between them, or the nearer one.
    """
    wrong = low > high
    between = (np.where(wrong, low, 0.0) + np.where(wrong, high, 0.0)) / 2
    middle = np.where(wrong, between, np.clip(mean, low, high))
    low, high = np.minimum(low, high), np.maximum(low, high)
    a, b = (low - mean) / sd, (high - mean) / sd
    inside = ndtr(b) - ndtr(a)
    clear = inside > 1e-4
    safe = np.where(clear, inside, 1.0)
    pa, pb = _density(a), _density(b)
    shift = (pa - pb) / safe
    part = (np.where(np.isfinite(a), a, 0.0) * pa - np.where(np.isfinite(b), b, 0.0) * pb) / safe
    variance = np.maximum(1 + part - shift**2, 1e-4)
    cut_mean, cut_sd = mean + sd * shift, sd * np.sqrt(variance)
    return np.where(clear, cut_mean, middle), np.where(clear, cut_sd, np.minimum(sd, 0.01))


def _density(z: FloatArray) -> FloatArray:
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
