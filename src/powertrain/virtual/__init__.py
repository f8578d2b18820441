"""What stands in for hardware: replays of measurements, simulated boards, emulated kernels.

Nothing below this floor knows of it, so a device cannot behave differently for a stand-in.
"""

from __future__ import annotations

from powertrain.virtual._replay import ReplayDevice
from powertrain.virtual.simulated import BOARDS, DISTURBANCES, Board, Disturbances, SimulatedBoard

__all__ = ["BOARDS", "DISTURBANCES", "Board", "Disturbances", "ReplayDevice", "SimulatedBoard"]
