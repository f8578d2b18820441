"""Which modes are left out of fits because of flags, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import final

from powertrain.profiling import FLAGS
from powertrain.records import Profile

__all__ = ["Flagged", "flagged_modes"]

UNKNOWN = "a reason that this version does not know"


@final
@dataclass(frozen=True, kw_only=True)
class Flagged:
    """Modes without any profile that fits can use: those that `--retry-flagged` measures again."""

    modes: int
    """How many modes there are."""
    flagged: int
    """How many of them have flagged profiles alone."""
    by_flag: Mapping[str, int]
    """How many modes carry each flag, the most frequent first; a mode may carry several."""

    def why(self, flag: str) -> str:
        """Return what a flag means, in words."""
        return FLAGS.get(flag, UNKNOWN)


def flagged_modes(profiles: Iterable[Profile]) -> Flagged:
    """Sum up the flags of the profiles of one workload on one device."""
    listed = list(profiles)
    usable = {profile.mode for profile in listed if not profile.flags}
    flags = {(p.mode, flag) for p in listed if p.mode not in usable for flag in p.flags}
    modes = {profile.mode for profile in listed}
    by_flag = Counter(flag for _, flag in flags)
    return Flagged(modes=len(modes), flagged=len(modes - usable), by_flag=dict(by_flag.most_common()))
