"""What a store tells of its newest profiles, for whoever watches runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import final

from powertrain.records import Profile

__all__ = ["AddedProfile", "Holding", "moment"]


@final
@dataclass(frozen=True, kw_only=True)
class Holding:
    """How much a store holds of one workload on one device, and since when."""

    profiles: int
    newest: int
    """A number of the profile that was added last; it is another one once a further profile is there."""
    added_at: datetime | None
    """When that was, by the clock of the database; None where the store does not know."""


@final
@dataclass(frozen=True, kw_only=True)
class AddedProfile:
    """A profile, and when it was added."""

    profile: Profile
    added_at: datetime | None
    """By the clock of the database; None where the store does not know."""


def moment(text: object) -> datetime | None:
    """Return the time that a database wrote as text, such as `2026-11-26T06:30:31Z`; None for others."""
    try:
        # Python 3.10 does not take the Z.
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found.astimezone(timezone.utc) if found.tzinfo else found.replace(tzinfo=timezone.utc)
