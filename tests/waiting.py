"""Waiting for what another process or thread does: long, for a busy machine, but not for ever."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["PATIENCE_S", "comes_true", "until"]

PATIENCE_S = 60.0
"""How long a test waits for anything that takes moments on an idle machine."""


def comes_true(what: Callable[[], object], *, every_s: float = 0.005) -> bool:
    """Wait for something to become true; return whether it did."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        if what():
            return True
        time.sleep(every_s)
    return bool(what())


def until(what: Callable[[], object], *, every_s: float = 0.005) -> None:
    """Wait for something to become true, and fail if it does not."""
    assert comes_true(what, every_s=every_s), f"not within {PATIENCE_S:g} s"
