"""NVIDIA GPUs through the driver's management library (NVML)."""

from __future__ import annotations

from powertrain.devices.nvml._device import NvmlDevice
from powertrain.devices.nvml._driver import gpu_count
from powertrain.devices.nvml._kind import KIND

__all__ = ["KIND", "NvmlDevice", "gpu_count"]
