"""What stands in for hardware: replays of measurements, simulated boards, emulated kernels.

Nothing below this floor knows of it, so a device cannot behave differently for a stand-in.
"""

from __future__ import annotations

from powertrain.virtual._replay import ReplayDevice
from powertrain.virtual._replay_kind import REPLAY, path_and_device
from powertrain.virtual.simulated import BOARDS, DISTURBANCES, Board, Disturbances, SimulatedBoard

__all__ = [
    "BOARDS",
    "DISTURBANCES",
    "REPLAY",
    "Board",
    "Disturbances",
    "ReplayDevice",
    "SimulatedBoard",
    "path_and_device",
]
