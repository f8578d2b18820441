"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._board import (
    BoardFacts,
    Draw,
    Order,
    Work,
    facts,
    measured,
    model_slug,
    planned,
    status,
)
from powertrain.fleet._driver import (
    Died,
    Engine,
    FleetOptions,
    FleetProfiled,
    Happened,
    Sharing,
    Wanted,
    profile_fleet,
    sharing,
)
from powertrain.fleet._spread import BoardFactor, QuantitySpread, Spread, levelled, spread_of
from powertrain.fleet._sweep import BATCH, BOARD, Batch, Sweep, usual_shared
from powertrain.fleet._tuning import FleetTuned, tune_fleet

__all__ = [
    "BATCH",
    "BOARD",
    "Batch",
    "BoardFactor",
    "BoardFacts",
    "Died",
    "Draw",
    "Engine",
    "FleetOptions",
    "FleetProfiled",
    "FleetTuned",
    "Happened",
    "Order",
    "QuantitySpread",
    "Sharing",
    "Spread",
    "Sweep",
    "Wanted",
    "Work",
    "facts",
    "levelled",
    "measured",
    "model_slug",
    "planned",
    "profile_fleet",
    "sharing",
    "spread_of",
    "status",
    "tune_fleet",
    "usual_shared",
]
