"""Least privilege: a small root process holds modes for users who may not, and nothing else.

`powertrain-helper` (`main`) serves a live device on a Unix socket; `HelperClient` speaks to it, and
`HelperSettings` lets a device of this process be held through it. `docs/security.md` says against whom.
"""

from __future__ import annotations

from powertrain.devices._privileged._client import HelperClient
from powertrain.devices._privileged._install import HelperMachine, HelperStep, set_up_helper
from powertrain.devices._privileged._main import main
from powertrain.devices._privileged._protocol import DEFAULT_GROUP, DEFAULT_SOCKET, SOCKET_VARIABLE
from powertrain.devices._privileged._settings import HelperSettings, remote_settings

__all__ = [
    "DEFAULT_GROUP",
    "DEFAULT_SOCKET",
    "SOCKET_VARIABLE",
    "HelperClient",
    "HelperMachine",
    "HelperSettings",
    "HelperStep",
    "main",
    "remote_settings",
    "set_up_helper",
]
