"""Which modes to measure, and in which order."""

from __future__ import annotations

from powertrain.planning._design import Sampling, paper_grid, plan_modes, plan_space
from powertrain.planning._order import order_modes

__all__ = ["Sampling", "order_modes", "paper_grid", "plan_modes", "plan_space"]
