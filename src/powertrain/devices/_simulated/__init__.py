"""Boards made of formulas: time and power from mechanism, and what sensors make of them."""

from __future__ import annotations

from powertrain.devices._simulated._board import SimulatedBoard
from powertrain.devices._simulated._boards import BOARDS, Board
from powertrain.devices._simulated._disturbances import DISTURBANCES, Disturbances

__all__ = ["BOARDS", "DISTURBANCES", "Board", "Disturbances", "SimulatedBoard"]
