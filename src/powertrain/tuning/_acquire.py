"""What a trial is worth: how much it is expected to improve the decision, for each second of its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from scipy.special import ndtr

from powertrain.quantities import POWER, TIME, Quantity, find
from powertrain.records import FloatArray, ModeTable, PowerMode, Prediction
from powertrain.space import is_speed
from powertrain.tuning._goal import Budget, Goal
from powertrain.tuning._trials import Trials
from powertrain.units import s_from_ms

__all__ = ["Acquisition", "Ruled"]

WIDEN = 1.25
"""Factor on error bars: a few profiles do not know how little they know."""
CLEARLY_ABOVE = 1.01
"""A mode above the limit by less may have been measured high by chance."""
RULED_OUT = 1e-6
"""What is left of the worth of a mode that cannot be better: it is tried when nothing else is left."""


@final
class Ruled:
    """Modes that what was measured rules out, by the one thing that is sure of clocks and limits.

    Raising a speed never makes the work slower nor the board draw less. So a mode at or above one that
    clearly exceeds a limit on power exceeds it, too; and one at or below a mode that keeps the limits takes
    longer.
    """

    def __init__(self, trials: Trials, goal: Goal) -> None:
        self._trials, self._goal = trials, goal

    def out(self, modes: ModeTable) -> np.ndarray:
        """Mark the modes that cannot be better, `(n,)` booleans."""
        mask = np.zeros(len(modes), dtype=np.bool_)
        table = self._trials.table
        if table is None:
            return mask
        limit_w = self._goal.limits.max_power_w
        above = table.power_w > CLEARLY_ABOVE * limit_w
        for row in np.flatnonzero(above):
            mask |= _not_below(modes, table.modes[int(row)])
        if self._goal.objective == TIME.name:
            for row in np.flatnonzero(self._trials.keeps()):
                mask |= _not_above(modes, table.modes[int(row)])
        return mask


def _not_below(modes: ModeTable, mode: PowerMode) -> np.ndarray:
    """Mark the modes that are nowhere below another in a speed, and equal to it in every other knob."""
    speeds = np.array([is_speed(knob) for knob in modes.knobs])
    off = modes.values - np.array([mode[knob] for knob in modes.knobs])
    return np.asarray(np.where(speeds, off >= 0, off == 0).all(axis=1))


def _not_above(modes: ModeTable, mode: PowerMode) -> np.ndarray:
    speeds = np.array([is_speed(knob) for knob in modes.knobs])
    off = modes.values - np.array([mode[knob] for knob in modes.knobs])
    return np.asarray(np.where(speeds, off <= 0, off == 0).all(axis=1))


@final
class Acquisition:
    """Weighs modes by one or more predictions of them."""

    def __init__(self, goal: Goal, budget: Budget, trials: Trials) -> None:
        self._goal, self._budget = goal, budget
        self._objective = find(goal.objective)
        self._rules = Ruled(trials, goal)
        best = trials.best()
        self._best = None if best is None else float(trials.value(self._objective)[best])
        times = None if trials.table is None else trials.table.time_ms
        self._best_ms = float("nan") if best is None or times is None else float(times[best])

    def gain(self, modes: ModeTable, predictions: Sequence[Prediction]) -> FloatArray:
        """Return the expected improvement of the decision, `(n,)`, as a share of the best so far.

        While no mode keeps the limits it is the chance that this one does, more of a good one.
        """
        worth = np.mean([self._one(prediction) for prediction in predictions], axis=0)
        worth = np.where(np.isfinite(worth), worth, 0.0)
        worth[self._unsafe(predictions)] = 0.0
        return np.where(self._rules.out(modes), RULED_OUT * worth, worth)

    def cost_s(self, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what a trial of each mode costs, `(n,)` [s]: the delay, and the overhead."""
        times_ms = np.mean([np.log(p.of(TIME).value) for p in predictions], axis=0)
        slower_ms = np.exp(times_ms) - (self._best_ms if np.isfinite(self._best_ms) else 0.0)
        slower_ms = np.where(np.isfinite(slower_ms), np.maximum(slower_ms, 0.0), 0.0)
        return self._budget.overhead_s + s_from_ms(self._budget.minibatches * slower_ms)

    def _one(self, prediction: Prediction) -> FloatArray:
        chance = np.ones(len(prediction))
        for quantity, limit in self._goal.limits.by_quantity().items():
            chance = chance * _below(prediction, quantity, limit)
        mean, sd = _scaled(prediction, self._objective)
        if self._best is None:
            # Any mode that keeps the limits will do, and of two such the better one.
            return chance * (0.05 + np.nanmax(mean) - mean)
        best = np.log(self._best) if self._objective.is_log else self._best
        off = (best - mean) / sd
        return sd * (off * ndtr(off) + np.exp(-0.5 * off**2) / np.sqrt(2 * np.pi)) * chance

    def _unsafe(self, predictions: Sequence[Prediction]) -> np.ndarray:
        """Mark the modes whose power may exceed the hard limit, by any of the predictions."""
        limit_w = self._goal.hard_limit_w
        mask = np.zeros(len(predictions[0]), dtype=np.bool_)
        if np.isfinite(limit_w):
            for prediction in predictions:
                mask |= ~(_below(prediction, POWER, limit_w) >= 1 - self._goal.hard_risk)
        return mask


def _scaled(prediction: Prediction, quantity: Quantity) -> tuple[FloatArray, FloatArray]:
    """Return a quantity on the scale of its errors, with widened error bars."""
    estimate = prediction.of(quantity)
    sd = np.maximum(WIDEN * np.where(np.isnan(estimate.sd), 0.0, estimate.sd), 1e-6)
    return (np.log(estimate.value) if quantity.is_log else estimate.value), sd


def _below(prediction: Prediction, quantity: Quantity, limit: float) -> FloatArray:
    """Return the probability that a quantity keeps a limit, `(n,)`."""
    mean, sd = _scaled(prediction, quantity)
    return ndtr(((np.log(limit) if quantity.is_log else limit) - mean) / sd)
