"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._known import known_modes
from powertrain.fleet._node import NodeChoice, NodeDecision, NodeModes, budget_w_of, decide, label_value

__all__ = [
    "NodeChoice",
    "NodeDecision",
    "NodeModes",
    "budget_w_of",
    "decide",
    "known_modes",
    "label_value",
]
