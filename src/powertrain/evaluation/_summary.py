"""What the rows of an evaluation say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, final

import numpy as np

from powertrain.evaluation._rows import ChoiceRow, ErrorRow
from powertrain.evaluation._scores import percentage
from powertrain.records import FloatArray

__all__ = ["ChoiceSummary", "ErrorSummary", "Spread", "Summary", "summarise"]

Row = TypeVar("Row", ErrorRow, ChoiceRow)


@final
@dataclass(frozen=True, kw_only=True)
class Spread:
    """A score over targets and seeds; NaN throughout where no row has it."""

    mean: float
    median: float
    sd: float
    """Standard deviation over all rows; 0 for a single one."""
    sd_over_seeds: float
    """Standard deviation, over the seeds, of the mean over the targets."""


@final
@dataclass(frozen=True, kw_only=True)
class ErrorSummary:
    """The errors of one method with one number of profiles."""

    method: str
    profiles: int
    targets: int
    seeds: int
    time_mape: Spread
    power_mape: Spread
    time_p95_ape: Spread
    power_p95_ape: Spread
    coverage90_time: float
    """Mean over the rows [%]; NaN for a method without error bars."""
    coverage90_power: float
    fit_s: float
    """Mean time of a transfer [s]."""
    predict_s: float


@final
@dataclass(frozen=True, kw_only=True)
class ChoiceSummary:
    """The choices of one method with one number of profiles at one risk, over targets, seeds and limits."""

    method: str
    profiles: int
    risk: float
    """NaN for the baselines, which take none."""
    choices: int
    """Limits, over all targets and seeds."""
    no_mode_pct: float
    """Share of the limits for which the method found no mode [%]."""
    median_time_penalty_pct: float
    mean_time_penalty_pct: float
    exceeded_pct: float
    """Share of the limits that were exceeded at all [%]; the same by more than 2 %, and by more than 1 W."""
    exceeded_by_2pct_pct: float
    exceeded_by_1w_pct: float
    mean_excess_w: float
    """Power above the limit, in the mean over all limits [W]."""


@final
@dataclass(frozen=True, kw_only=True)
class Summary:
    """Both tables, in the order in which methods and counts first appear in the rows."""

    errors: tuple[ErrorSummary, ...]
    choices: tuple[ChoiceSummary, ...]


def summarise(rows: Sequence[ErrorRow], choices: Sequence[ChoiceRow]) -> Summary:
    """Reduce the rows to one line per method and number of profiles (and risk)."""
    errors = _grouped(rows, lambda row: (row.method, row.case.profiles))
    # The risk of the baselines is NaN, which does not equal itself; its text does.
    decided = _grouped(choices, lambda row: (row.method, row.case.profiles, repr(row.risk)))
    return Summary(errors=tuple(map(_errors, errors)), choices=tuple(map(_choices, decided)))


def _grouped(rows: Iterable[Row], key: Callable[[Row], object]) -> list[list[Row]]:
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())


def _errors(rows: list[ErrorRow]) -> ErrorSummary:
    return ErrorSummary(
        method=rows[0].method,
        profiles=rows[0].case.profiles,
        targets=len({row.case.target for row in rows}),
        seeds=len({row.case.seed for row in rows}),
        time_mape=_spread(rows, "time_mape"),
        power_mape=_spread(rows, "power_mape"),
        time_p95_ape=_spread(rows, "time_p95_ape"),
        power_p95_ape=_spread(rows, "power_p95_ape"),
        coverage90_time=_mean(row.coverage90_time for row in rows),
        coverage90_power=_mean(row.coverage90_power for row in rows),
        fit_s=_mean(row.fit_s for row in rows),
        predict_s=_mean(row.predict_s for row in rows),
    )


def _choices(rows: list[ChoiceRow]) -> ChoiceSummary:
    found = [row for row in rows if row.feasible]
    # Where no mode was found there is no time to compare; `no_mode_pct` tells how often that was so.
    penalties = _known(row.time_penalty_pct for row in found)
    return ChoiceSummary(
        method=rows[0].method,
        profiles=rows[0].case.profiles,
        risk=rows[0].risk,
        choices=len(rows),
        no_mode_pct=percentage([not row.feasible for row in rows]),
        median_time_penalty_pct=float(np.median(penalties)) if penalties.size else float("nan"),
        mean_time_penalty_pct=_mean(penalties),
        exceeded_pct=percentage([row.excess_w > 0 for row in rows]),
        exceeded_by_2pct_pct=percentage([row.excess_pct > 2 for row in rows]),
        exceeded_by_1w_pct=percentage([row.excess_w > 1 for row in rows]),
        mean_excess_w=float(np.mean([row.excess_w if row.feasible else 0.0 for row in rows])),
    )


def _spread(rows: list[ErrorRow], name: str) -> Spread:
    values = _known(getattr(row, name) for row in rows)
    if not values.size:
        return Spread(mean=math.nan, median=math.nan, sd=math.nan, sd_over_seeds=math.nan)
    # How far another draw of the profiled modes would move the mean: what a difference has to exceed.
    by_seed = [_known(getattr(row, name) for row in group) for group in _grouped(rows, lambda r: r.case.seed)]
    means = [group.mean() for group in by_seed if group.size]
    return Spread(
        mean=float(values.mean()),
        median=float(np.median(values)),
        sd=_sd(values),
        sd_over_seeds=_sd(np.array(means)),
    )


def _sd(values: FloatArray) -> float:
    return float(values.std(ddof=1)) if values.size > 1 else 0.0


def _mean(values: Iterable[float]) -> float:
    known = _known(values)
    return float(known.mean()) if known.size else math.nan


def _known(values: Iterable[float]) -> FloatArray:
    array = np.array(list(values), dtype=np.float64)
    return array[np.isfinite(array)]
