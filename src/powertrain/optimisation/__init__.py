"""Choice: exact Pareto fronts, limits with a risk, the best mode, and what an epoch costs."""

from __future__ import annotations

from powertrain.optimisation._by_limit import Steps, best_by_power
from powertrain.optimisation._choose import COSTS, OBJECTIVES, Cost, Objective, choose, front_of
from powertrain.optimisation._epoch import EpochTotals, epoch_totals, epoch_totals_at
from powertrain.optimisation._hypervolume import hypervolume, hypervolume_gain
from powertrain.optimisation._limits import feasible_mask, upper_quantile
from powertrain.optimisation._pareto import pareto_front, pareto_mask
from powertrain.optimisation._search import search_modes

__all__ = [
    "COSTS",
    "OBJECTIVES",
    "Cost",
    "EpochTotals",
    "Objective",
    "Steps",
    "best_by_power",
    "choose",
    "epoch_totals",
    "epoch_totals_at",
    "feasible_mask",
    "front_of",
    "hypervolume",
    "hypervolume_gain",
    "pareto_front",
    "pareto_mask",
    "search_modes",
    "upper_quantile",
]
