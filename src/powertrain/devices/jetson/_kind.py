"""How the Jetson that this machine is gets opened."""

from __future__ import annotations

from pathlib import Path

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening, ServiceNeeds
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.jetson._detect import jetson_here
from powertrain.devices.jetson._device import JetsonDevice
from powertrain.devices.jetson._tegrastats import TegrastatsReader
from powertrain.devices.remote import ask_helper
from powertrain.errors import DeviceError

__all__ = ["KIND"]

WRITABLE = (
    "/sys/devices",
    "-/sys/kernel/debug",
    "-/sys/kernel/nvpmodel_emc_cap",
    "-/sys/kernel/nvpmodel_clk_cap",
)
"""Where the clocks of all boards are set; the last two are of different releases."""


def _open(spec: DeviceSpec, how: Opening) -> JetsonDevice:
    spec.refuse_which()
    helper = None if how.for_others else ask_helper
    return JetsonDevice(
        spec.options, helper=helper, tegrastats=TegrastatsReader, probe=how.probe, for_others=how.for_others
    )


def _find() -> tuple[str, ...]:
    return ("jetson",) if jetson_here(RealSysfs()) else ()


def _service(spec: DeviceSpec, root: Path) -> ServiceNeeds:
    spec.refuse_which()
    if not jetson_here(RealSysfs(root)):
        raise DeviceError("this is not a Jetson: powertrain devices lists what is here, --device names it")
    return ServiceNeeds(writable=WRITABLE)


KIND = DeviceKind(name="jetson", forms=("jetson",), open=_open, find=_find, service=_service)
