"""The processor of this machine: its cores, its clocks, its energy counters."""

from __future__ import annotations

from powertrain.devices.cpu._cores import run_on
from powertrain.devices.cpu._device import CpuDevice
from powertrain.devices.cpu._kind import KIND

__all__ = ["KIND", "CpuDevice", "run_on"]
