"""Whether a training still goes as it went when its mode was decided on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from powertrain.quantities import POWER, TIME, Quantity
from powertrain.tuning._goal import Goal

__all__ = ["Departure", "Patience", "Watch"]


@final
@dataclass(frozen=True, kw_only=True)
class Patience:
    """How far, and how long, a training may go other than it was measured to, before trials begin again."""

    time_tolerance: float = 0.1
    """Of the time of a minibatch, relative."""
    power_tolerance: float = 0.1
    """Of the mean power, relative."""
    limit_tolerance: float = 0.01
    """A limit counts as exceeded above so much of it, relative: what two measurements may differ by."""
    glances: int = 3
    """Glances one after the other that have to agree; a glance takes in 10 s, by default."""
    rest_s: float = 300.0
    """Time after a decision in which no change leads to another; it doubles each time."""

    def __post_init__(self) -> None:
        tolerances = (self.time_tolerance, self.power_tolerance, self.limit_tolerance)
        if not (min(tolerances) > 0 and self.glances >= 1 and self.rest_s >= 0):
            raise ValueError("tolerances and glances of a watch are above 0, its rest is 0 s or more")


@final
@dataclass(frozen=True, kw_only=True)
class Departure:
    """A training goes other than it was measured to."""

    kind: Literal["limit", "change"]
    """A limit is exceeded; or time or power have changed, so that what was measured before counts no more."""
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """How it goes now, by column."""
    why: str = ""
    """What differs, as a part of a sentence."""


@final
class Watch:
    """Compares how a training goes with how it was measured, and is slow to speak.

    Only if several glances one after the other are off to the same side, and a while after the last decision,
    does a change count. A limit that is exceeded counts at once when as many glances say so.
    """

    def __init__(self, goal: Goal, patience: Patience | None = None) -> None:
        """Take what is asked of the mode."""
        self._goal, self._patience = goal, patience or Patience()
        self._expected: Mapping[str, float] = {}
        self._limited = True
        self._glances: deque[Mapping[str, float]] = deque(maxlen=self._patience.glances)
        self._rests_until_s, self._rest_s = -math.inf, self._patience.rest_s

    def expect(self, values: Mapping[str, float], *, at_s: float, limited: bool = True) -> None:
        """Compare with these values, by column, from this time on [s].

        Where no mode keeps the limits, they are not `limited`: that one is exceeded is known.
        """
        self._expected, self._limited = dict(values), limited
        self._glances.clear()
        self._rests_until_s = at_s + self._rest_s

    def add(self, values: Mapping[str, float], *, at_s: float) -> Departure | None:
        """Take in a glance, by column; return how the training has departed, if it has."""
        self._glances.append(values)
        if len(self._glances) < self._patience.glances:
            return None
        # The first of these glances may have seen the change happen, so it is the last that counts.
        changed = [text for q, tolerance in self._tolerances() if (text := self._off(q, tolerance, values))]
        if changed and at_s >= self._rests_until_s:
            self._rest_s *= 2
            return Departure(kind="change", values=dict(values), why=" and ".join(changed))
        now = {column: self._mean(column) for column in values}
        if self._limited and (exceeded := self._exceeded(now)):
            return Departure(kind="limit", values=now, why=exceeded)
        return None

    def _tolerances(self) -> tuple[tuple[Quantity, float], ...]:
        return (TIME, self._patience.time_tolerance), (POWER, self._patience.power_tolerance)

    def _off(self, quantity: Quantity, tolerance: float, now: Mapping[str, float]) -> str:
        """Say by how much a quantity is off in all the glances; empty if it is not."""
        column = quantity.column
        expected = self._expected.get(column, math.nan)
        if column not in now or not expected > 0:
            return ""
        ratios = [glance.get(column, math.nan) / expected for glance in self._glances]
        if not (min(ratios) > 1 + tolerance or max(ratios) < 1 / (1 + tolerance)):
            return ""
        return f"the {quantity.title} is {now[column]:.4g} {quantity.unit}, not {expected:.4g}"

    def _exceeded(self, now: Mapping[str, float]) -> str:
        """Say which limit is exceeded in all the glances; empty if none is."""
        for quantity, limit in self._goal.limits.by_quantity().items():
            seen = [quantity.of(glance) for glance in self._glances]
            if min(seen) > limit * (1 + self._patience.limit_tolerance):
                return f"the {quantity.title} is {quantity.of(now):.4g} {quantity.unit} (limit {limit:.4g})"
        return ""

    def _mean(self, column: str) -> float:
        return math.fsum(glance.get(column, math.nan) for glance in self._glances) / len(self._glances)
