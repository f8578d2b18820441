"""What several models say of one quantity, put together by how sure each is of each mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from powertrain import quantities
from powertrain.models.gp._likeness import Likeness
from powertrain.models.gp._quantity import Quantity, correlation_with_time, in_unit
from powertrain.records import Estimate, FloatArray, ModeTable

__all__ = ["ALL", "Blend"]

ALL = "all references together"
"""Where a model learns from all of them."""


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
        inputs = regression.inputs
        return Likeness.of(inputs.unit, inputs.surfaces, regression.target, regression.certainty)

    @property
    def measured(self) -> quantities.Quantity:
        """What is predicted."""
        return self.beside.layout.measured

    def predict(
        self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the logarithm of the value (the value over `scale`), `(n,)`, and its standard deviation."""
        return _average(self._parts(modes, log_time, log_time_sd))

    def estimate(self, modes: ModeTable, time: Estimate | None) -> tuple[Estimate, FloatArray]:
        """Predict as `Quantity.estimate` does."""
        before = (np.log(time.value), time.mean_sd) if time is not None else (None, None)
        parts = self._parts(modes, *before)
        estimate = in_unit(
            self.measured,
            *_average(parts),
            noise_sd=self.beside.noise_sd,
            scale=self.beside.layout.scale,
        )
        if time is None:
            return estimate, np.zeros(len(modes))
        follows = (_shares(parts.sds) * parts.follow_time).sum(axis=0)
        return estimate, correlation_with_time(follows, time, estimate)

    def trust(self, modes: ModeTable, time: Estimate | None) -> dict[str, float]:
        """Return the mean share of each model over some modes, by what it learns from; `""`: no reference."""
        before = (np.log(time.value), time.mean_sd) if time is not None else (None, None)
        alone, beside, likeness = _shares(self._parts(modes, *before).sds).mean(axis=1)
        return {"": alone, self.beside.layout.stack.surfaces[0].workload: beside, ALL: likeness}

    def _parts(self, modes: ModeTable, log_time: FloatArray | None, log_time_sd: FloatArray | None) -> _Parts:
        layout = self.beside.layout
        beside = layout.inputs(modes, log_time, log_time_sd)
        alone = self.alone.layout.inputs(modes, log_time, log_time_sd)
        first, second = self.alone.regression.predict(alone), self.beside.regression.predict(beside)
        mean, sd = self.likeness.predict(beside.unit, beside.surfaces)
        # A reference of few profiles is itself known only so well, which the noise of the fits holds in part.
        errors = np.array([surface.error for surface in layout.stack.surfaces])
        closest = max(errors[0] ** 2 - self.beside.regression.noise_variance, 0.0)
        relied = max(self.likeness.relied_on(errors) ** 2 - self.likeness.noise_variance, 0.0)
        return _Parts(
            means=np.stack([first.mean, second.mean, mean]) + layout.level,
            sds=np.stack([first.sd, np.sqrt(second.sd**2 + closest), np.sqrt(sd**2 + relied)]),
            # Likeness does not look at the time.
            follow_time=np.stack([first.follows_time, second.follows_time, np.zeros(len(modes))]),
        )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Parts:
    """What each model says, in the order of `_shares`."""

    means: FloatArray
    """`(3, n)`"""
    sds: FloatArray
    follow_time: FloatArray


def _average(parts: _Parts) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation `(n,)` of the mixture."""
    shares = _shares(parts.sds)
    mean = (shares * parts.means).sum(axis=0)
    variance = (shares * (parts.sds**2 + (parts.means - mean) ** 2)).sum(axis=0)
    return mean, np.sqrt(variance)


def _shares(sds: FloatArray) -> FloatArray:
    """Return the `(models, n)` share of each model in each mode."""
    weights = sds**-2.0
    return weights / weights.sum(axis=0)
