"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._fronts import MOST_MODES, Front, Fronts
from powertrain.fleet._learned import (
    ClientMemory,
    MeasuredRound,
    clients_of,
    corrected,
)
from powertrain.fleet._rounds import LEFT_OUT, Clients, RoundPlan, plan_round

__all__ = [
    "LEFT_OUT",
    "MOST_MODES",
    "ClientMemory",
    "Clients",
    "Front",
    "Fronts",
    "MeasuredRound",
    "RoundPlan",
    "clients_of",
    "corrected",
    "plan_round",
]
