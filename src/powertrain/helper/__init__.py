"""Least privilege: a small root process holds modes for users who may not, and nothing else.

`powertrain-helper` (`main`) serves a live device on a Unix socket, `set_up_helper` installs it;
`powertrain.devices.remote` speaks to it. `docs/security.md` says against whom.
"""

from __future__ import annotations

from powertrain.helper._install import HelperMachine, HelperStep, set_up_helper
from powertrain.helper._main import main

__all__ = ["HelperMachine", "HelperStep", "main", "set_up_helper"]
