"""Which modes to measure, and in which order."""

from __future__ import annotations

from powertrain.planning._design import Sampling, paper_grid, plan_modes
from powertrain.planning._order import order_modes
from powertrain.planning._source import FixedModes, ModeSource, Order, as_source
from powertrain.planning._space import plan_space

__all__ = [
    "FixedModes",
    "ModeSource",
    "Order",
    "Sampling",
    "as_source",
    "order_modes",
    "paper_grid",
    "plan_modes",
    "plan_space",
]
