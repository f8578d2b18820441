"""What a trial is worth: how much it is expected to improve the decision, and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.special import ndtr, ndtri

from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records import FloatArray, ModeTable, PowerMode, Prediction
from powertrain.tuning._bounds import Bounds
from powertrain.tuning._goal import Budget, Goal
from powertrain.tuning._trials import Trials
from powertrain.units import s_from_ms

__all__ = ["COST_POWER", "Acquisition", "Again", "below", "scaled"]


COST_POWER = 0.3
"""How much a trial's cost counts in choosing it: 1 is improvement per second, 0 is improvement alone."""
NOTHING = 1e-30
"""Stands for no gain at all, where its logarithm is taken."""
LEAST_NOISE, MOST_NOISE = 0.002, 0.006
"""Of a measurement [log], where it is asked whether a second one would keep a limit."""
SAFETY = 1.5
"""Factor on error bars where a hard limit is at stake."""
CAUTION = 0.5
"""How much more each trial that broke a limit, after the last that kept them, makes the chance count."""


@final
@dataclass(frozen=True, kw_only=True)
class Again:
    """A second measurement of a mode, and what it is worth."""

    mode: PowerMode
    gain: float
    cost_s: float
    weight: float


@final
class Acquisition:
    """Weighs modes by one or more predictions of them."""

    def __init__(
        self,
        goal: Goal,
        budget: Budget,
        trials: Trials,
        *,
        noise: Mapping[str, float] | None = None,
        references: int = 0,
    ) -> None:
        """Weigh by what was measured; `noise` is its standard deviation [log] by quantity.

        With two predictions the second learned from so many references.
        """
        self._references = references
        self._goal, self._budget, self._trials, self._noise = goal, budget, trials, noise
        self._objective = goal.quantity
        best = trials.best()
        self._best = None if best is None else float(trials.value(self._objective)[best])
        times = None if trials.table is None else trials.table.time_ms
        self._best_ms = float("nan") if best is None or times is None else float(times[best])

    def gain(self, modes: ModeTable, predictions: Sequence[Prediction]) -> FloatArray:
        """Return the expected improvement of the decision, `(n,)`, as a share of the best so far.

        While no mode keeps the limits it is the chance that this one does, more of a good one.
        """
        return self._each(modes, predictions, caution=0.0).mean(axis=0)

    def cost_s(self, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what a trial of each mode costs, `(n,)` [s]: the delay, and the overhead."""
        times_ms = np.mean([np.log(p.of(TIME).value) for p in predictions], axis=0)
        slower_ms = np.exp(times_ms) - (self._best_ms if np.isfinite(self._best_ms) else 0.0)
        slower_ms = np.where(np.isfinite(slower_ms), np.maximum(slower_ms, 0.0), 0.0)
        return self._budget.overhead_s + s_from_ms(self._budget.minibatches * slower_ms)

    def weight(self, modes: ModeTable, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what decides which trial is next, `(n,)`: the gain, tempered by the cost."""
        # The geometric mean: a mode that one way of seeing things thinks nothing of is seldom a good trial.
        each = np.maximum(self._each(modes, predictions, caution=CAUTION), NOTHING)
        weight = np.exp(self._shares(len(each)) @ np.log(each)) / self.cost_s(predictions) ** COST_POWER
        if not np.isfinite(self._goal.hard_limit_w):
            return weight
        # Where nothing is safe, the mode that draws the least is the next step up.
        highest = np.max([self._highest(prediction, modes) for prediction in predictions], axis=0)
        return np.where(highest <= np.log(self._goal.hard_limit_w), weight, -1.0 - np.maximum(highest, 0.0))

    def again(self, predicted: Callable[[ModeTable], Sequence[Prediction]]) -> Again | None:
        """Return the mode that is most worth measuring again; None where none is.

        A mode that came out just above a limit may be the best one: noise put it there. After one more
        measurement the mean of both decides.
        """
        table = self._trials.table
        if table is None or self._best is None:
            return None
        chance = np.ones(len(table))
        for quantity, limit in self._goal.limits.by_quantity().items():
            chance = chance * self._trials.chance_of_keeping(quantity, limit, self._noise_of(quantity))
        value, best, log = self._trials.value(self._objective), self._best, self._objective.is_log
        better = np.log(best) - np.log(value) if log else best - value
        over = ~self._trials.keeps() & (better > 0)
        gain = np.where(over, better, 0.0) * chance
        row = int(np.argmax(gain))
        if not gain[row] > 0:
            return None
        modes = table.modes.take([row])
        cost_s = float(self.cost_s(predicted(modes))[0])
        weight = float(gain[row]) / cost_s**COST_POWER
        return Again(mode=modes[0], gain=float(gain[row]), cost_s=cost_s, weight=weight)

    def _noise_of(self, quantity: Quantity) -> float:
        """Return the standard deviation of one measurement of a quantity [log], as the predictions see it."""
        noise = self._noise or {}
        parts = quantity.powers or {quantity.name: 1}
        each = [
            power * min(max(noise.get(name, 0.0), LEAST_NOISE), MOST_NOISE) for name, power in parts.items()
        ]
        return float(np.hypot.reduce(each)) if each else 0.0

    def _shares(self, views: int) -> FloatArray:
        """Return how much each view counts: the one that learned from references more, the more there are."""
        if views == 1:
            return np.ones(1)
        learned = self._references / (self._references + 1.0)
        return np.array([1.0 - learned, learned])

    def safe(self, modes: ModeTable, predictions: Sequence[Prediction]) -> np.ndarray:
        """Mark the modes that keep the hard limit with the probability that was asked, by all predictions."""
        limit_w = self._goal.hard_limit_w
        if not np.isfinite(limit_w):
            return np.ones(len(modes), dtype=np.bool_)
        highest = np.max([self._highest(prediction, modes) for prediction in predictions], axis=0)
        return np.asarray(highest <= np.log(limit_w))

    def _highest(self, prediction: Prediction, modes: ModeTable) -> FloatArray:
        """Return the power [log] that a mode exceeds with no more than the accepted probability, `(n,)`."""
        estimate = prediction.of(POWER)
        sd = SAFETY * np.where(np.isnan(estimate.sd), np.inf, estimate.sd)
        bounds = Bounds.of(modes, self._trials.table, self._noise)
        z = -float(ndtri(self._goal.hard_risk))
        # A mode at or below a measured one draws no more than that, whatever a prediction says.
        high = np.minimum(np.log(estimate.value) + z * sd, bounds.high[POWER.name])
        return np.maximum(high, bounds.low[POWER.name])

    def _each(self, modes: ModeTable, predictions: Sequence[Prediction], *, caution: float) -> FloatArray:
        """Return what each prediction says of the gain, `(predictions, n)`."""
        bounds = Bounds.of(modes, self._trials.table, self._noise)
        each = np.array([self._one(prediction, bounds, caution) for prediction in predictions])
        each = np.where(np.isfinite(each), each, 0.0)
        return np.where(self.safe(modes, predictions), each, 0.0)

    def _one(self, prediction: Prediction, bounds: Bounds, caution: float) -> FloatArray:
        chance = np.ones(len(prediction))
        for quantity, limit in self._goal.limits.by_quantity().items():
            chance = chance * below(prediction, quantity, limit, bounds)
        # The best-looking modes are those whose power is underrated most: misses call for a better chance.
        sure = chance ** (1 + caution * self._trials.misses())
        mean, sd = scaled(prediction, self._objective, bounds)
        if self._best is None:
            # Any mode that keeps the limits will do, and of two such the better one.
            return sure * (0.05 + np.nanmax(mean) - mean)
        best = np.log(self._best) if self._objective.is_log else self._best
        off = (best - mean) / sd
        return sd * (off * ndtr(off) + np.exp(-0.5 * off**2) / np.sqrt(2 * np.pi)) * sure


def scaled(
    prediction: Prediction, quantity: Quantity, bounds: Bounds | None
) -> tuple[FloatArray, FloatArray]:
    """Return a quantity on the scale of its errors, within its bounds."""
    estimate = prediction.of(quantity)
    sd = np.maximum(np.where(np.isnan(estimate.sd), 0.0, estimate.sd), 1e-6)
    mean = np.log(estimate.value) if quantity.is_log else estimate.value
    return (mean, sd) if bounds is None else bounds.apply(quantity, mean, sd)


def below(prediction: Prediction, quantity: Quantity, limit: float, bounds: Bounds | None) -> FloatArray:
    """Return the probability that a quantity keeps a limit, `(n,)`."""
    mean, sd = scaled(prediction, quantity, bounds)
    return ndtr(((np.log(limit) if quantity.is_log else limit) - mean) / sd)
