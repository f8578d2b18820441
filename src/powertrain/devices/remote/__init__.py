"""The helper as seen by those who ask it: a small root process that holds modes for users who may not."""

from __future__ import annotations

from powertrain.devices.remote._base import AskHelper, RemotePart, with_help
from powertrain.devices.remote._client import HelperClient, helper_here
from powertrain.devices.remote._part import HelperPart, ask_helper
from powertrain.devices.remote._protocol import DEFAULT_GROUP, DEFAULT_SOCKET, SOCKET_VARIABLE
from powertrain.devices.remote._records import HelperStatus

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_SOCKET",
    "SOCKET_VARIABLE",
    "AskHelper",
    "HelperClient",
    "HelperPart",
    "HelperStatus",
    "RemotePart",
    "ask_helper",
    "helper_here",
    "with_help",
]
