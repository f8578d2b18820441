"""Devices: hardware that has power modes, and what every stand-in for it must do.

`AbstractDevice` is the contract; `cpu`, `nvml` and `jetson` are this machine's hardware, `remote` asks a
helper that may change what this user may not. `powertrain.opening` turns a spec into one of them.
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
from powertrain.devices._hold import Holder, Settings, Terminated, restore_held
from powertrain.devices._journal import Journal
from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening, ServiceNeeds
from powertrain.devices._live import live
from powertrain.devices._reasons import Reason, Why

__all__ = [
    "SIMULATED_SUFFIX",
    "AbstractDevice",
    "AbstractLiveDevice",
    "AbstractTabulatedDevice",
    "Clock",
    "DeviceKind",
    "DeviceSpec",
    "Holder",
    "Journal",
    "MonotonicClock",
    "Opening",
    "PowerReading",
    "Reason",
    "ServiceNeeds",
    "Settings",
    "Terminated",
    "VirtualClock",
    "Why",
    "is_simulated",
    "live",
    "restore_held",
]
