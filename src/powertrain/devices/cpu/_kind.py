"""How the processor of this machine is opened."""

from __future__ import annotations

from pathlib import Path

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening, ServiceNeeds
from powertrain.devices._reasons import Why, error_of
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.cpu._clocks import CpuClockPart
from powertrain.devices.cpu._device import CpuDevice
from powertrain.devices.remote import ask_helper

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> CpuDevice:
    spec.refuse_which()
    helper = None if how.for_others else ask_helper
    return CpuDevice(spec.options, helper=helper, for_others=how.for_others)


def _find() -> tuple[str, ...]:
    return ("cpu",)


def _service(spec: DeviceSpec, root: Path) -> ServiceNeeds:
    spec.refuse_which()
    # Whether the clock may be written is not a question: the helper is root.
    missing = CpuClockPart(RealSysfs(root)).missing
    if missing and missing[0].why is not Why.FORBIDDEN:
        raise error_of(missing[0], device="cpu")
    return ServiceNeeds(writable=("/sys/devices/system/cpu",))


KIND = DeviceKind(name="cpu", forms=("cpu",), open=_open, find=_find, service=_service)
