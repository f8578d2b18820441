"""Boards made of formulas: time and power from mechanism, and what sensors make of them."""

from __future__ import annotations

from powertrain.virtual.simulated._board import SimulatedBoard
from powertrain.virtual.simulated._boards import BOARDS
from powertrain.virtual.simulated._disturbances import DISTURBANCES, Disturbances
from powertrain.virtual.simulated._kind import KIND
from powertrain.virtual.simulated._records import Board

__all__ = ["BOARDS", "DISTURBANCES", "KIND", "Board", "Disturbances", "SimulatedBoard"]
