"""How a GPU is opened by its number, and which there are."""

from __future__ import annotations

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.devices.nvml._device import NvmlDevice
from powertrain.devices.nvml._driver import gpu_count
from powertrain.devices.remote import ask_helper
from powertrain.errors import UnknownNameError

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> NvmlDevice:
    number = spec.which or "0"
    if not number.isdecimal():
        raise UnknownNameError(f"unknown device {spec.name!r}: a GPU is given by its number, as in nvml:0")
    helper = None if how.for_others else ask_helper
    return NvmlDevice(int(number), spec.options, helper=helper, for_others=how.for_others)


def _find() -> tuple[str, ...]:
    return tuple(f"nvml:{index}" for index in range(gpu_count()))


KIND = DeviceKind(name="nvml", forms=("nvml:0",), open=_open, find=_find)
