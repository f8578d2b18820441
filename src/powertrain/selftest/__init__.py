"""Whether a device can be trusted: what it shows, and whether modes hold and are restored."""

from __future__ import annotations

from powertrain.selftest._look import Check, SelfTest, Trial, inspect_device
from powertrain.selftest._report import selftest_json, selftest_page, selftest_tables
from powertrain.selftest._trials import try_device

__all__ = [
    "Check",
    "SelfTest",
    "Trial",
    "inspect_device",
    "selftest_json",
    "selftest_page",
    "selftest_tables",
    "try_device",
]
