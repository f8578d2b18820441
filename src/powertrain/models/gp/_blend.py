"""What several models say of one quantity, put together by how sure each is of each mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from powertrain import quantities
from powertrain.models.gp._likeness import Likeness
from powertrain.models.gp._quantity import TINY, Quantity, in_unit
from powertrain.records import Estimate, FloatArray, ModeTable

__all__ = ["Blend"]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """One quantity of a workload with references, as three models see it.

    `alone` knows the profiles and the physics, and nothing of the references. `beside` adds the closest
    reference to the physics. `likeness` is a model of nothing but references. Each is best on some data:
    alone where the references are unlike, by likeness where they are alike and profiles few. What each says
    counts by one over the square of its error bar, mode by mode; neither the evidence of the profiles nor
    their leave-one-out errors proved a better judge.
    """

    alone: Quantity
    beside: Quantity

    @cached_property
    def likeness(self) -> Likeness:
        """The third model; it is made of what the second holds, and not kept in files."""
        regression = self.beside.regression
        return Likeness.of(regression.inputs.unit, regression.inputs.surfaces, regression.target)

    @property
    def measured(self) -> quantities.Quantity:
        """What is predicted."""
        return self.beside.layout.measured

    def predict(
        self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the logarithm of the value (the value over `scale`), `(n,)`, and its standard deviation."""
        means, sds = self._each(modes, log_time, log_time_sd)
        shares = _shares(sds)
        mean = (shares * means).sum(axis=0)
        variance = (shares * (sds**2 + (means - mean) ** 2)).sum(axis=0)
        return mean, np.sqrt(variance)

    def estimate(self, modes: ModeTable, time: Estimate | None) -> Estimate:
        """Predict in the unit of the quantity, from the estimated time where that is an input."""
        before = (np.log(time.value), time.mean_sd) if time is not None else (None, None)
        layout = self.beside.layout
        return in_unit(self.measured, *self.predict(modes, *before), noise_sd=0.0, scale=layout.scale)

    def correlation(self, modes: ModeTable, time: Estimate, own: Estimate) -> FloatArray:
        """Return how the errors of the mean time and of this quantity go together, `(n,)`."""
        log_time = np.log(time.value)
        _, sds = self._each(modes, log_time, time.mean_sd)
        follow = [
            part.regression.follows_time(part.layout.inputs(modes, log_time))
            for part in (self.alone, self.beside)
        ]
        # Likeness does not look at the time.
        follows = (_shares(sds)[:2] * np.stack(follow)).sum(axis=0)
        return np.clip(follows * time.mean_sd / np.maximum(own.mean_sd, TINY), -1.0, 1.0)

    def worth(self, modes: ModeTable, time: Estimate | None) -> FloatArray:
        """Return the mean share `(3,)` of each model over some modes: alone, beside, likeness."""
        before = (np.log(time.value), time.mean_sd) if time is not None else (None, None)
        return _shares(self._each(modes, *before)[1]).mean(axis=1)

    def _each(
        self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        layout = self.beside.layout
        inputs = layout.inputs(modes, log_time, log_time_sd)
        alone = self.alone.predict(modes, log_time, log_time_sd)
        beside, beside_sd = self.beside.regression.predict(inputs)
        likeness, likeness_sd = self.likeness.predict(inputs.unit, inputs.surfaces)
        means = np.stack([alone[0], beside + layout.level, likeness + layout.level])
        return means, np.stack([alone[1], beside_sd, likeness_sd])


def _shares(sds: FloatArray) -> FloatArray:
    """Return the `(models, n)` share of each model in each mode."""
    weights = sds**-2.0
    return weights / weights.sum(axis=0)
