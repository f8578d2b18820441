"""A choice: limits, the mode that was taken, and what is predicted for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from powertrain import quantities
from powertrain.quantities import Quantity
from powertrain.records._modes import PowerMode
from powertrain.records._shown import Shown, View

__all__ = ["Choice", "Interval", "Limits"]


@final
@dataclass(frozen=True, kw_only=True)
class Interval:
    """A predicted value with the ends of its central 90 % interval."""

    value: float
    low: float
    high: float


@final
class Limits(Mapping[str, float]):
    """What a choice must keep, by name (`max_power_w`); infinity means no limit.

    ```pycon
    >>> Limits(max_power_w=30.0)
    Limits(max_power_w=30.0)
    >>> Limits(max_power_w=30.0)["max_time_ms"]
    inf

    ```
    """

    __slots__ = ("_limits",)

    def __init__(self, **limits: float) -> None:
        """Take limits by name; each is a value that its quantity can have, or infinity.

        Raises:
            ValueError: A limit is none of those, or there is no such limit.
        """
        known = {q.limit_name: q for q in quantities.limited()}
        for name, limit in limits.items():
            if name not in known:
                raise ValueError(f"unknown limit {name!r}: give one of {', '.join(known)}")
            if not (limit == math.inf or known[name].holds(limit)):
                raise ValueError(f"{name} is {limit!r}: a limit is {known[name].described}")
        self._limits = {name: float(limits.get(name, math.inf)) for name in known}

    def __getitem__(self, name: str) -> float:
        return self._limits[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._limits)

    def __len__(self) -> int:
        return len(self._limits)

    def __hash__(self) -> int:
        return hash(frozenset(self._limits.items()))

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{name}={limit!r}' for name, limit in self.active().items())})"

    @property
    def max_power_w(self) -> float:
        """Highest mean power [W]."""
        return self._limits["max_power_w"]

    @property
    def max_time_ms(self) -> float:
        """Longest minibatch [ms]."""
        return self._limits["max_time_ms"]

    @property
    def max_energy_j(self) -> float:
        """Highest energy of a minibatch [J]."""
        return self._limits["max_energy_j"]

    def active(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        return {name: limit for name, limit in self._limits.items() if math.isfinite(limit)}

    def by_quantity(self) -> dict[Quantity, float]:
        """Return the limits that are set, by what they bound."""
        set_here = self.active()
        return {q: set_here[q.limit_name] for q in quantities.limited() if q.limit_name in set_here}


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class Choice(Shown):
    """The best mode under limits, what is predicted for it, and why it was taken."""

    mode: PowerMode
    index: int
    """Row of the mode in the table that was chosen from."""
    time_ms: Interval
    power_w: Interval
    energy_j: Interval
    """Energy of one minibatch [J]."""
    others: Mapping[str, Interval] = field(default_factory=dict[str, Interval], hash=False)
    """What is predicted of further quantities, by column."""
    objective: str
    limits: Limits
    risk: float
    why: str
    """One sentence: how many modes kept the limits, and what the choice is best at."""
    next_best: PowerMode | None = None
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)

    def _view(self) -> View:
        values = {"time [ms]": self.time_ms, "power [W]": self.power_w, "energy [J]": self.energy_j}
        rows = [(name, v.value, v.low, v.high) for name, v in {**values, **self.others}.items()]
        title = f"{self.mode}: {self.time_ms.value:.4g} ms, {self.power_w.value:.4g} W"
        return View(title=title, headings=("", "value", "low", "high"), rows=rows)
