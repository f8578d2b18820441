"""NVIDIA GPUs through the driver's management library (NVML)."""

from __future__ import annotations

from powertrain.devices.nvml._device import NvmlDevice
from powertrain.devices.nvml._driver import gpu_count

__all__ = ["NvmlDevice", "gpu_count"]
