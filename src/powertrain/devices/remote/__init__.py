"""The helper as seen by those who ask it: a small root process that holds modes for users who may not."""

from __future__ import annotations

from powertrain.devices.remote._base import AskHelper, RemotePart, with_help
from powertrain.devices.remote._client import HelperClient
from powertrain.devices.remote._part import HelperPart, ask_helper
from powertrain.devices.remote._protocol import DEFAULT_GROUP, DEFAULT_SOCKET, SOCKET_VARIABLE

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_SOCKET",
    "SOCKET_VARIABLE",
    "AskHelper",
    "HelperClient",
    "HelperPart",
    "RemotePart",
    "ask_helper",
    "with_help",
]
