"""Devices: what has power modes, and can be measured in them.

`open_device` turns a spec such as `"sim:orin-agx"` into an `AbstractDevice`.
"""

from __future__ import annotations

from powertrain.devices._base import SIMULATED_SUFFIX, AbstractDevice, is_simulated
from powertrain.devices._open import DEVICE_SPECS, open_device
from powertrain.devices._replay import ReplayDevice
from powertrain.devices._simulated import SimulatedOrin

__all__ = [
    "DEVICE_SPECS",
    "SIMULATED_SUFFIX",
    "AbstractDevice",
    "ReplayDevice",
    "SimulatedOrin",
    "is_simulated",
    "open_device",
]
