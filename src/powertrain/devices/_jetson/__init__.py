"""Jetson boards: NVIDIA's modules with a Tegra chip, under JetPack 4 to 7."""

from __future__ import annotations

from powertrain.devices._jetson._detect import Identity, identify, jetson_here
from powertrain.devices._jetson._device import JetsonDevice
from powertrain.devices._jetson._settings import RemoteSettings

__all__ = ["Identity", "JetsonDevice", "RemoteSettings", "identify", "jetson_here"]
