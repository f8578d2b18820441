"""The helper as seen by those who ask it: a small root process that holds modes for users who may not."""

from __future__ import annotations

from powertrain.devices.remote._base import RemoteSettings
from powertrain.devices.remote._client import HelperClient
from powertrain.devices.remote._protocol import DEFAULT_GROUP, DEFAULT_SOCKET, SOCKET_VARIABLE
from powertrain.devices.remote._settings import HelperSettings, remote_settings

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_SOCKET",
    "SOCKET_VARIABLE",
    "HelperClient",
    "HelperSettings",
    "RemoteSettings",
    "remote_settings",
]
