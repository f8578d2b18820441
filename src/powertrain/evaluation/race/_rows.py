"""What a race finds: one row for every number of trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from powertrain.plain import to_plain

__all__ = ["RaceRow"]


@final
@dataclass(frozen=True, kw_only=True)
class RaceRow:
    """The mode that a method would name after some trials, against the truth."""

    method: str
    device: str
    target: str
    references: tuple[str, ...]
    seed: int
    limit_w: float
    trials: int
    cost_s: float
    """What the trials took so far: changing the mode, settling and measuring [s]."""
    regret_pct: float
    """How much slower the mode named is in truth than the best that keeps the limit [%], negative where it
    breaks it and is faster; NaN where the method can name none."""
    feasible: bool
    """Whether it keeps the limit in truth; False where none is named."""
    excess_pct: float
    """Its true power above the limit [%]; 0 where it is kept or none is named."""
    hypervolume_pct: float = float("nan")
    """How much of the area under the true front of time and power, both as logarithms, the modes measured so
    far dominate in truth [%], whatever the limit."""

    def as_json(self) -> dict[str, Any]:
        """Return the row as JSON has it."""
        return to_plain(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> RaceRow:
        """Read what `as_json` returned."""
        values: dict[str, Any] = dict(row)
        if values["regret_pct"] is None:
            values["regret_pct"] = float("nan")
        values["references"] = tuple(values["references"])
        return cls(**values)
