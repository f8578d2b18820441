"""How a GPU is opened by its number, and which there are."""

from __future__ import annotations

from pathlib import Path

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening, ServiceNeeds
from powertrain.devices.nvml._device import NvmlDevice
from powertrain.devices.nvml._driver import gpu_count
from powertrain.devices.remote import ask_helper
from powertrain.errors import DeviceError, UnknownNameError

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> NvmlDevice:
    helper = None if how.for_others else ask_helper
    return NvmlDevice(_index(spec), spec.options, helper=helper, for_others=how.for_others, probe=how.probe)


def _find() -> tuple[str, ...]:
    return tuple(f"nvml:{index}" for index in range(gpu_count()))


def _service(spec: DeviceSpec, root: Path) -> ServiceNeeds:
    del root  # the driver is asked, which is that of the machine that this runs on
    if _index(spec) >= (count := gpu_count()):
        found = ", ".join(f"nvml:{index}" for index in range(count)) or "none"
        raise DeviceError(
            f"{spec.name}: there is no such GPU, the NVIDIA driver shows {found}: see what nvidia-smi says, "
            "and that root's Python has nvidia-ml-py (pip install 'powertrain[nvml]')"
        )
    # The driver asks for the capability itself; its nodes in /dev are of several groups, all so named.
    return ServiceNeeds(capabilities=("CAP_SYS_ADMIN",), devices="char-nvidia* rw")


def _index(spec: DeviceSpec) -> int:
    number = spec.which or "0"
    if not number.isdecimal():
        raise UnknownNameError(f"unknown device {spec.name!r}: a GPU is given by its number, as in nvml:0")
    return int(number)


KIND = DeviceKind(name="nvml", forms=("nvml:0",), open=_open, find=_find, service=_service)
