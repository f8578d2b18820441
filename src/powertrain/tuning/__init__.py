"""What decides by what it is told: sources of modes that look at the profiles.

All keep the contract of `powertrain.planning.ModeSource`, and know nothing of devices, so that the same
object runs in a training loop, on a server and in a simulation.
"""

from __future__ import annotations

from powertrain.planning import FixedModes, ModeSource
from powertrain.tuning._climb import Climb
from powertrain.tuning._goal import FRONT, Budget, Decision, FrontMode, Goal
from powertrain.tuning._tuner import Tuner
from powertrain.tuning._watch import Departure, Patience, Watch

__all__ = [
    "FRONT",
    "Budget",
    "Climb",
    "Decision",
    "Departure",
    "FixedModes",
    "FrontMode",
    "Goal",
    "ModeSource",
    "Patience",
    "Tuner",
    "Watch",
]
