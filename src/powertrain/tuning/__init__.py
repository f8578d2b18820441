"""What decides by what it is told: sources of modes that look at the profiles.

All keep the contract of `powertrain.planning.ModeSource`, and know nothing of devices, so that the same
object runs in a training loop, on a server and in a simulation.
"""

from __future__ import annotations

from powertrain.planning import FixedModes, ModeSource
from powertrain.tuning._climb import Climb

__all__ = ["Climb", "FixedModes", "ModeSource"]
