"""What a trial is worth where the whole front of time and power is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import final

import numpy as np

from powertrain.optimisation import hypervolume, hypervolume_gain
from powertrain.quantities import POWER, TIME
from powertrain.records import FloatArray, ModeTable, Prediction
from powertrain.tuning._acquire import COST_POWER, Acquisition, Again, below, scaled
from powertrain.tuning._bounds import Bounds
from powertrain.tuning._goal import Budget, Goal
from powertrain.tuning._trials import Trials

__all__ = ["FrontAcquisition"]

COSTS = (TIME, POWER)
MARGIN = 0.1
"""How far beyond both ends of the front the hypervolume is counted, in widths of the front."""
NOTHING = 1e-30
"""Stands for no gain at all, where its logarithm is taken."""


@final
class FrontAcquisition:
    """Weighs modes by the hypervolume that they are expected to add to the measured front, for their cost.

    Both costs are logarithms, so that a front of short minibatches counts as one of long ones. The reference
    point is beyond the ends of the front, as measured and as predicted.
    """

    def __init__(
        self,
        goal: Goal,
        budget: Budget,
        trials: Trials,
        *,
        noise: Mapping[str, float] | None = None,
        references: int = 0,
    ) -> None:
        """Weigh by what was measured; the arguments are those of `Acquisition`."""
        self._of_one = Acquisition(
            replace(goal, objective="time"), budget, trials, noise=noise, references=references
        )
        self._goal, self._trials, self._noise = goal, trials, noise
        rows = trials.front()
        columns = [trials.value(quantity)[rows] for quantity in COSTS] if rows else []
        self._front = np.log(np.column_stack(columns)) if rows else np.empty((0, 2))
        self._reference: FloatArray | None = None

    def cost_s(self, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what a trial of each mode costs, `(n,)` [s]."""
        return self._of_one.cost_s(predictions)

    def gain(self, modes: ModeTable, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what each mode is expected to add, `(n,)`, as a share of the hypervolume so far."""
        each = self._each(modes, predictions)
        assert self._reference is not None
        so_far = max(hypervolume(self._front, self._reference), NOTHING)
        return each.mean(axis=0) / so_far

    def again(self, predicted: Callable[[ModeTable], Sequence[Prediction]]) -> Again | None:
        """Return None: a second measurement of a mode moves a front by no more than the noise."""
        del predicted

    def safe(self, modes: ModeTable, predictions: Sequence[Prediction]) -> np.ndarray:
        """Mark the modes that keep the hard limit with the probability that was asked, `(n,)`."""
        return self._of_one.safe(modes, predictions)

    def weight(self, modes: ModeTable, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what decides which trial is next, `(n,)`: the gain, tempered by the cost."""
        # The geometric mean, as for one mode: what one view thinks nothing of is seldom a good trial.
        each = np.log(np.maximum(self._each(modes, predictions), NOTHING))
        weight = np.exp(each.mean(axis=0)) / self.cost_s(predictions) ** COST_POWER
        # Where nothing is safe, the mode that draws the least is the next step up.
        logs = [np.log(prediction.of(POWER).value) for prediction in predictions]
        power: FloatArray = np.max(logs, axis=0)
        return np.where(self.safe(modes, predictions), weight, -1.0 - np.maximum(power, 0.0))

    def _each(self, modes: ModeTable, predictions: Sequence[Prediction]) -> FloatArray:
        """Return what each prediction expects a mode to add, `(predictions, n)`."""
        bounds = Bounds.of(modes, self._trials.table, self._noise)
        limits = self._goal.limits.by_quantity()
        believed = [self._believed(prediction, bounds) for prediction in predictions]
        chances = [
            np.prod([below(one, q, limit, bounds) for q, limit in limits.items()], axis=0)
            for one in predictions
        ]
        if self._reference is None:
            means = np.mean([mean for mean, _ in believed], axis=0)
            self._reference = self._beyond(means, np.mean(chances, axis=0) > 0.5)
        gains = [
            hypervolume_gain(self._front, self._reference, mean, sd) * chance
            for (mean, sd), chance in zip(believed, chances, strict=True)
        ]
        each = np.where(np.isfinite(gains), gains, 0.0)
        return np.where(self.safe(modes, predictions), each, 0.0)

    def _believed(self, prediction: Prediction, bounds: Bounds) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of both costs [log], `(n, 2)` each."""
        parts = [scaled(prediction, quantity, bounds) for quantity in COSTS]
        return np.column_stack([mean for mean, _ in parts]), np.column_stack([sd for _, sd in parts])

    def _beyond(self, means: FloatArray, keep: np.ndarray) -> FloatArray:
        """Return the reference point [log], `(2,)`, of modes that are believed to be so."""
        known = means[keep & np.isfinite(means).all(axis=1)]
        ends = [known[np.argmin(known[:, j])] for j in range(2)] if len(known) else []
        ends = np.vstack([*ends, *self._front]) if len(ends) or len(self._front) else means
        low, high = np.nanmin(ends, axis=0), np.nanmax(ends, axis=0)
        return high + MARGIN * np.maximum(high - low, 1e-3)
