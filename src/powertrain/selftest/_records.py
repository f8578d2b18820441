"""What a self-test finds, one thing at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

__all__ = ["Check"]


@final
@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    says: str
    """What was found, one sentence."""
