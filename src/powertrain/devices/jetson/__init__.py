"""Jetson boards: NVIDIA's modules with a Tegra chip, under JetPack 4 to 7."""

from __future__ import annotations

from powertrain.devices.jetson._detect import Identity, identify, jetson_here
from powertrain.devices.jetson._device import JetsonDevice
from powertrain.devices.jetson._kind import KIND
from powertrain.devices.jetson._log import PowerLog
from powertrain.devices.jetson._tegrastats import TegrastatsReader

__all__ = ["KIND", "Identity", "JetsonDevice", "PowerLog", "TegrastatsReader", "identify", "jetson_here"]
