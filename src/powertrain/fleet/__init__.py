"""Fleets: what is decided for many boards at once, whatever engine carries it out."""

from __future__ import annotations

from powertrain.fleet._spread import BoardFactor, QuantitySpread, Spread, levelled, spread_of
from powertrain.fleet._sweep import BOARD, Batch, Sweep, usual_shared

__all__ = [
    "BOARD",
    "Batch",
    "BoardFactor",
    "QuantitySpread",
    "Spread",
    "Sweep",
    "levelled",
    "spread_of",
    "usual_shared",
]
