"""A race in one line for each method and number of trials."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.evaluation.race._rows import RaceRow

__all__ = ["RaceSummary", "summarise_race"]


@final
@dataclass(frozen=True, kw_only=True)
class RaceSummary:
    """One method after one number of trials, over all targets, limits and seeds."""

    method: str
    trials: int
    cases: int
    median_regret_pct: float
    """Infinite where half of the cases have no mode named; the next ones alike."""
    p90_regret_pct: float
    none_named_pct: float
    """Share of cases in which the method can name no mode [%]."""
    infeasible_pct: float
    """Share of cases in which the mode named breaks the limit in truth [%]."""
    exceeded_by_2pct_pct: float
    """Share of cases in which it breaks the limit by more than 2 % [%]."""
    median_cost_s: float
    """What the trials took [s]."""
    median_hypervolume_pct: float
    """How much of the area under the true front the modes measured dominate [%]."""


def summarise_race(rows: Sequence[RaceRow]) -> tuple[RaceSummary, ...]:
    """Reduce rows, in the order of methods and trials."""
    groups: dict[tuple[str, int], list[RaceRow]] = defaultdict(list)
    for row in rows:
        groups[row.method, row.trials].append(row)
    return tuple(_line(method, trials, own) for (method, trials), own in groups.items())


def _line(method: str, trials: int, rows: list[RaceRow]) -> RaceSummary:
    regret = np.array([row.regret_pct for row in rows])
    named = np.isfinite(regret)
    # A method that names nothing has the worst of regrets: leaving such cases out would reward it.
    ranked = np.sort(np.where(named, regret, np.inf))
    return RaceSummary(
        method=method,
        trials=trials,
        cases=len(rows),
        median_regret_pct=_quantile(ranked, 0.5),
        p90_regret_pct=_quantile(ranked, 0.9),
        none_named_pct=100 * float(np.mean(~named)),
        infeasible_pct=100 * float(np.mean([row.excess_pct > 0 for row in rows])),
        exceeded_by_2pct_pct=100 * float(np.mean([row.excess_pct > 2 for row in rows])),
        median_cost_s=float(np.median([row.cost_s for row in rows])),
        median_hypervolume_pct=float(np.median([row.hypervolume_pct for row in rows])),
    )


def _quantile(ranked: np.ndarray, share: float) -> float:
    """Return the smallest value that a share of the cases do not exceed."""
    return float(ranked[min(int(np.ceil(share * len(ranked))) - 1, len(ranked) - 1)])
