"""How a GPU behind zeusd is opened by its number, and which there are."""

from __future__ import annotations

from powertrain.devices._kinds import DeviceKind, DeviceSpec, Opening
from powertrain.devices.zeusd._client import ZeusdClient, without_socket, zeusd_socket
from powertrain.devices.zeusd._device import ZeusdDevice
from powertrain.devices.zeusd._gpu import gpus_of
from powertrain.errors import DeviceError, UnknownNameError

__all__ = ["KIND"]

NVIDIA = "NVIDIA"
"""How the names of GPUs begin that are `nvml:N` as well, which can do more."""


def _open(spec: DeviceSpec, how: Opening) -> ZeusdDevice:
    number = spec.which or "0"
    if not number.isdecimal():
        raise UnknownNameError(f"unknown device {spec.name!r}: a GPU is given by its number, as in zeusd:0")
    options, named = without_socket(spec.options)
    socket = named or zeusd_socket()
    if socket is None:
        raise DeviceError(
            f"{spec.name}: no zeusd listens here: start it, and name its socket with ZEUSD_SOCK_PATH if that "
            "is not /run/zeusd/zeusd.sock"
        )
    return ZeusdDevice(int(number), options, socket=socket, for_others=how.for_others)


def _find() -> tuple[str, ...]:
    socket = zeusd_socket()
    if socket is None:
        return ()
    try:
        content = ZeusdClient(socket, device="zeusd").discover() or {}
    except DeviceError:
        return ()
    gpus = gpus_of(content).items()
    return tuple(f"zeusd:{number}" for number, gpu in gpus if not str(gpu.get("name", "")).startswith(NVIDIA))


KIND = DeviceKind(name="zeusd", forms=("zeusd:0",), open=_open, find=_find)
