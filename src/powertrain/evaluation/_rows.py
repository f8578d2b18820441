"""The rows of an evaluation: one per fitted predictor, and one per choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from powertrain.plain import to_plain
from powertrain.records import PowerMode

__all__ = ["Case", "ChoiceRow", "ErrorRow"]

NAN = float("nan")


@final
@dataclass(frozen=True, kw_only=True)
class Case:
    """One draw of profiles of one target: what all methods are given alike."""

    device: str
    target: str
    references: tuple[str, ...]
    """Names of the references; one on another device than the target's as `workload @ device`."""
    profiles: int
    seed: int
    sampling: str


@final
@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """How well one predictor did on the modes that it was not shown; NaN where there is nothing to score."""

    method: str
    case: Case
    time_mape: float
    """Mean absolute percentage error of the time [%]."""
    power_mape: float
    time_p95_ape: float
    """95 % of the modes have an error below this [%]."""
    power_p95_ape: float
    fit_s: float
    """Time of the transfer [s], the references being fitted already."""
    predict_s: float
    """Time to predict all modes of the target [s]."""
    coverage90_time: float
    """Share of true times inside the central 90 % interval [%]; NaN for a method without error bars."""
    coverage90_power: float
    trust: Mapping[str, float] = field(default_factory=dict[str, float])
    """How much each reference counted, as `AbstractPredictor.trust` tells; the profiles alone as `""`."""
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    """The same scores of further quantities, as in `temperature_mae`; absolute errors are in the unit."""

    def as_json(self) -> dict[str, Any]:
        """Return the row as one flat mapping that JSON can hold."""
        return _flat(self.method, self.case, self)


@final
@dataclass(frozen=True, kw_only=True)
class ChoiceRow:
    """What one method chose under one power limit, and what that cost in truth.

    `method` is a predictor's, or one of the baselines `observed` (the best profiled mode) and `maximum`
    (every knob at its largest), whose risk is NaN.
    """

    method: str
    case: Case
    risk: float
    limit_w: float
    feasible: bool
    """Whether the method found a mode at all; without, what follows is NaN."""
    mode: PowerMode | None = None
    time_ms: float = NAN
    """True time of the chosen mode [ms]."""
    power_w: float = NAN
    """True power of the chosen mode [W]."""
    best_time_ms: float = NAN
    """True time of the best mode that keeps the limit [ms]; also known where nothing was chosen."""
    time_penalty_pct: float = NAN
    """How much slower the chosen mode is than the best [%]; negative if faster by breaking the limit."""
    excess_w: float = NAN
    """True power above the limit [W], 0 if none."""
    excess_pct: float = NAN
    """The same, as a share of the limit [%]."""

    def as_json(self) -> dict[str, Any]:
        """Return the row as one flat mapping that JSON can hold."""
        return _flat(self.method, self.case, self)


def _flat(method: str, case: Case, row: object) -> dict[str, Any]:
    scores = {key: value for key, value in to_plain(row).items() if key not in ("method", "case")}
    others = scores.pop("others", {})
    return {"method": method, **to_plain(case), **scores, **others}
