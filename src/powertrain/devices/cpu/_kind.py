"""How the processor of this machine is opened."""

from __future__ import annotations

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.devices.cpu._device import CpuDevice

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> CpuDevice:
    del how
    spec.refuse_which()
    return CpuDevice(spec.options)


def _find() -> tuple[str, ...]:
    return ("cpu",)


KIND = DeviceKind(name="cpu", forms=("cpu",), open=_open, find=_find)
