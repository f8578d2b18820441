"""How the Jetson that this machine is gets opened."""

from __future__ import annotations

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.devices._sysfs import RealSysfs
from powertrain.devices.jetson._detect import jetson_here
from powertrain.devices.jetson._device import JetsonDevice
from powertrain.devices.jetson._tegrastats import TegrastatsReader
from powertrain.devices.remote import ask_helper

__all__ = ["KIND"]


def _open(spec: DeviceSpec, how: Opening) -> JetsonDevice:
    spec.refuse_which()
    helper = None if how.for_others else ask_helper
    return JetsonDevice(
        spec.options, helper=helper, tegrastats=TegrastatsReader, probe=how.probe, for_others=how.for_others
    )


def _find() -> tuple[str, ...]:
    return ("jetson",) if jetson_here(RealSysfs()) else ()


KIND = DeviceKind(name="jetson", forms=("jetson",), open=_open, find=_find)
