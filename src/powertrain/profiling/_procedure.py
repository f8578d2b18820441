"""How a mode is measured: one record of all that can be set, with units and reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

__all__ = ["Procedure"]


@final
@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How a mode is measured.

    By default as much as the precision asks for: train until times and power are steady, then until the
    95 % confidence intervals of both means are narrow. `paper` is the published way.
    """

    stabilise_s: float = 1.0
    """Training after a change of mode that is not counted, at least: clocks, caches and sensors settle."""
    stabilise_limit_s: float = 15.0
    """And at most, unless a single minibatch takes longer; a mode that is not steady then is flagged."""
    time_tolerance: float = 0.1
    """Times are steady when the last two minibatches agree to within this, relative; infinity: no test."""
    power_tolerance: float = 0.025
    """Power is steady when the halves of the last second of readings agree to within this."""
    discarded: int = 1
    """Minibatches that are not counted, at least: the first in a mode is slow."""
    least_minibatches: int = 5
    """Minibatches that are counted, at least."""
    most_minibatches: int = 40
    precision: float = 0.02
    """Relative half-width of the 95 % confidence intervals of both means at which measuring ends."""
    limit_s: float = 300.0
    """Time on one mode after which measuring ends with what there is: two minibatches at least."""
    sample_period_s: float = 0.1
    """Between readings of the power."""
    drift_tolerance: float = 0.1
    """A mean is flagged when its values rose or fell by more than this, relative, while it was taken."""

    def __post_init__(self) -> None:
        if self.discarded < 0 or not 1 <= self.least_minibatches <= self.most_minibatches:
            raise ValueError(
                f"{self.least_minibatches} to {self.most_minibatches} minibatches after {self.discarded}: "
                "count at least one"
            )
        if not (0 <= self.stabilise_s <= self.stabilise_limit_s and self.sample_period_s > 0):
            raise ValueError("stabilising takes 0 s or more, up to its limit; the period is above 0 s")
        tolerances = (self.precision, self.time_tolerance, self.power_tolerance, self.drift_tolerance)
        if not all(value > 0 for value in (*tolerances, self.limit_s)):  # which NaN is not, either
            raise ValueError("precision, tolerances and the limit on a mode are above 0")

    @classmethod
    def paper(cls) -> Procedure:
        """Return the paper's procedure, as far as it is remembered (arXiv 2407.13944).

        A few seconds to stabilise, 40 minibatches without the first, and a reading of the power each second.
        """
        return cls(
            stabilise_s=3.0,
            stabilise_limit_s=3.0,
            time_tolerance=math.inf,
            power_tolerance=math.inf,
            drift_tolerance=math.inf,
            least_minibatches=39,
            most_minibatches=39,
            limit_s=math.inf,
            sample_period_s=1.0,
        )

    @property
    def tests_steadiness(self) -> bool:
        """Whether times and power have to be steady before they are counted."""
        return math.isfinite(self.time_tolerance) or math.isfinite(self.power_tolerance)
