"""Which devices can be measured now."""

from __future__ import annotations

from powertrain.devices._base import AbstractDevice, AbstractLiveDevice
from powertrain.errors import DeviceError

__all__ = ["live"]


def live(device: AbstractDevice) -> AbstractLiveDevice:
    """Return a device that can be measured, or refuse.

    Raises:
        DeviceError: It holds measurements already.
    """
    if device.recorded or not isinstance(device, AbstractLiveDevice):
        raise DeviceError(
            f"{device.spec} cannot be measured, it holds measurements: bring them in with powertrain import"
        )
    return device
