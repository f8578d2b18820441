"""What is believed before a predictor can be fitted, from no trial on: a plain Gaussian process.

Its mean is that of the references, or, without any, that work is done faster and draws more as a speed rises.
Its covariance says in which ways a workload may differ from that: in level, in how much each knob counts, as
the references differ from each other, and in ways that are smooth over the knobs. Nothing is fitted: with one
or two trials nothing could be.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import final

import numpy as np

from powertrain.models import AbstractPredictor
from powertrain.quantities import POWER, TIME, Quantity
from powertrain.records import Estimate, FloatArray, ModeTable, Prediction, ProfileTable
from powertrain.space import is_speed

__all__ = ["PriorView"]

LEVEL_SD = {TIME.name: 3.0, POWER.name: 0.25}
"""How far workloads of one device lie apart [log]: a minibatch may be any length, power is bounded."""
UNKNOWN_LEVEL_SD = 3.0
"""Without references."""
SLOPE_SD = {TIME.name: 0.5, POWER.name: 0.15}
"""How far the exponent of a knob may be from the references', with one of them."""
SMOOTH_SD = {TIME.name: 0.10, POWER.name: 0.05}
"""What no knob explains by itself."""
LENGTH = 0.4
"""Of that, in ranges of a knob."""
LONG = 64
"""Modes from which on a reference's answer is kept."""
SHRINK = 1.0
"""How many references the general rule counts for: a single one may be unlike."""
NOISE_SD = 0.01
EXPONENT = {TIME.name: -0.35, POWER.name: 0.15}
"""Of each speed, by the general rule."""


@final
class PriorView:
    """Predicts time and power of modes from references and the trials so far, however few."""

    def __init__(self, references: Sequence[AbstractPredictor], ends: ModeTable) -> None:
        self._references, self._ends = tuple(references), ends
        self._speed = np.array([is_speed(knob) for knob in ends.knobs])
        self._table: ProfileTable | None = None
        self._middles: dict[str, float] = {}

    def given(self, table: ProfileTable | None) -> PriorView:
        """Return the view after some trials."""
        other = PriorView(self._references, self._ends)
        other._table, other._middles = table, self._middles
        return other

    def __call__(self, modes: ModeTable) -> Prediction:
        return Prediction(estimates={q.name: self._estimate(q, modes) for q in (TIME, POWER)})

    def _estimate(self, quantity: Quantity, modes: ModeTable) -> Estimate:
        mean, features = self._features(quantity, modes)
        variance = (features**2).sum(axis=1) + SMOOTH_SD[quantity.name] ** 2
        table = self._table
        if table is not None and table.has(quantity):
            seen = np.isfinite(table.columns[quantity.column])
            known = table.modes.take(seen)
            y = np.log(table.columns[quantity.column][seen])
            own_mean, own = self._features(quantity, known)
            k = own @ own.T + self._smooth(quantity, known, known)
            root = np.linalg.cholesky(k + (NOISE_SD**2 + 1e-9) * np.eye(len(k)))
            cross = features @ own.T + self._smooth(quantity, modes, known)
            white = np.linalg.solve(root, cross.T)
            mean = mean + white.T @ np.linalg.solve(root, y - own_mean)
            variance = variance - (white**2).sum(axis=0)
        sd = np.sqrt(np.maximum(variance, 0.0) + NOISE_SD**2)
        return Estimate(quantity=quantity, value=np.exp(mean), sd=sd, noise_sd=np.zeros(len(modes)))

    def _features(self, quantity: Quantity, modes: ModeTable) -> tuple[FloatArray, FloatArray]:
        """Return the prior mean `(n,)` and scaled features `(n, f)`, whose products are covariances."""
        place, _ = self._logs(modes)
        known = [surface for r in self._references if (surface := _surface(r, quantity, modes)) is not None]
        plain = (place * np.where(self._speed, EXPONENT[quantity.name], 0.0)).sum(axis=1)
        if known:
            logs, count = np.stack(known), len(known)
            mean, share = logs.mean(axis=0), count / (count + SHRINK)
            mean = share * mean + (1 - share) * (plain + self._middle(quantity))
            differ = (logs - logs.mean(axis=0)).T / max(count - 1, 1) ** 0.5
            level = LEVEL_SD[quantity.name]
        else:
            mean = plain
            differ, count, level = np.zeros((len(modes), 0)), 1, UNKNOWN_LEVEL_SD
        slopes = place * SLOPE_SD[quantity.name] / count
        return mean, np.column_stack([np.full(len(modes), level), slopes, differ])

    def _middle(self, quantity: Quantity) -> float:
        """Return the mean of the references half way between the ends of all knobs [log]."""
        if quantity.name not in self._middles:
            known = [s for r in self._references if (s := _surface(r, quantity, self._ends)) is not None]
            self._middles[quantity.name] = float(np.mean(known))
        return self._middles[quantity.name]

    def _logs(self, modes: ModeTable) -> tuple[FloatArray, FloatArray]:
        """Return logarithms of the knobs about the middle of their range, `(n, k)`, and the ranges."""
        low, high = (np.log(np.maximum(end, 1e-9)) for end in self._ends.values)
        logs = np.log(np.maximum(modes.select(self._ends.knobs), 1e-9))
        return logs - (low + high) / 2, np.maximum(high - low, 1e-9)

    def _smooth(self, quantity: Quantity, left: ModeTable, right: ModeTable) -> FloatArray:
        (a, span), (b, _) = self._logs(left), self._logs(right)
        off = (a[:, None] - b[None]) / (span * LENGTH)
        return SMOOTH_SD[quantity.name] ** 2 * np.exp(-0.5 * (off**2).sum(axis=2))


_listed: weakref.WeakKeyDictionary[AbstractPredictor, tuple[ModeTable, Prediction]] = (
    weakref.WeakKeyDictionary()
)


def _surface(reference: AbstractPredictor, quantity: Quantity, modes: ModeTable) -> FloatArray | None:
    """Return what a reference predicts of modes [log], `(n,)`; None if it does not know the quantity.

    Every trial asks for all modes of a small space again, so the last long answer is kept.
    """
    known = _listed.get(reference)
    if known is not None and (known[0] is modes or np.array_equal(known[0].values, modes.values)):
        prediction = known[1]
    else:
        prediction = reference.glance(modes)
        if len(modes) > LONG:
            _listed[reference] = modes, prediction
    estimate = prediction.of(quantity)
    return np.log(estimate.value) if estimate.is_known else None
