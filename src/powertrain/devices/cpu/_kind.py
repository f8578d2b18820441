"""How the processor of this machine is opened."""

from __future__ import annotations

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.devices.cpu._device import CpuDevice
from powertrain.devices.remote import ask_helper

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> CpuDevice:
    spec.refuse_which()
    helper = None if how.for_others else ask_helper
    return CpuDevice(spec.options, helper=helper, for_others=how.for_others)


def _find() -> tuple[str, ...]:
    return ("cpu",)


KIND = DeviceKind(name="cpu", forms=("cpu",), open=_open, find=_find)
