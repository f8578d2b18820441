"""Devices: what has power modes, and can be measured in them.

`open_device` turns a spec such as `"sim:orin-agx"` into an `AbstractDevice`.
"""

from __future__ import annotations

from powertrain.devices._base import (
    SIMULATED_SUFFIX,
    AbstractDevice,
    AbstractLiveDevice,
    AbstractTabulatedDevice,
    PowerReading,
    is_simulated,
)
from powertrain.devices._clock import Clock, MonotonicClock, VirtualClock
from powertrain.devices._cpu import CpuDevice
from powertrain.devices._hold import Holder, Settings, Terminated
from powertrain.devices._jetson import JetsonDevice
from powertrain.devices._journal import Journal
from powertrain.devices._nvml import NvmlDevice
from powertrain.devices._open import DEVICE_SPECS, found_here, open_device
from powertrain.devices._privileged import HelperClient, HelperMachine, HelperStep, set_up_helper
from powertrain.devices._replay import ReplayDevice
from powertrain.devices._simulated import BOARDS, DISTURBANCES, Board, Disturbances, SimulatedBoard

__all__ = [
    "BOARDS",
    "DEVICE_SPECS",
    "DISTURBANCES",
    "SIMULATED_SUFFIX",
    "AbstractDevice",
    "AbstractLiveDevice",
    "AbstractTabulatedDevice",
    "Board",
    "Clock",
    "CpuDevice",
    "Disturbances",
    "HelperClient",
    "HelperMachine",
    "HelperStep",
    "Holder",
    "JetsonDevice",
    "Journal",
    "MonotonicClock",
    "NvmlDevice",
    "PowerReading",
    "ReplayDevice",
    "Settings",
    "SimulatedBoard",
    "Terminated",
    "VirtualClock",
    "found_here",
    "is_simulated",
    "open_device",
    "set_up_helper",
]
