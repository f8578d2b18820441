"""The Zeus daemon (`zeusd`), and GPUs of any vendor that are set and read through it alone."""

from __future__ import annotations

from powertrain.devices.zeusd._client import Refusal, ZeusdClient, pci_address, without_socket, zeusd_socket
from powertrain.devices.zeusd._device import ZeusdDevice
from powertrain.devices.zeusd._kind import KIND

__all__ = ["KIND", "Refusal", "ZeusdClient", "ZeusdDevice", "pci_address", "without_socket", "zeusd_socket"]
