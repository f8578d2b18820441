"""Flags in words, for the commands that show profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import Flagged

__all__ = ["flag_table", "flags_left_out"]

RETRY = "powertrain profile with --retry-flagged measures them again."
SHORT = (
    "Where a minibatch takes a few milliseconds, every pause of the machine interrupts it: end what else "
    "runs there before, or train with larger minibatches."
)


def flag_table(by_workload: Mapping[str, Flagged]) -> Table | None:
    """Return a table of what is left out of fits and why, None where nothing is."""
    from powertrain.report import Table

    left_out = {workload: flagged for workload, flagged in by_workload.items() if flagged.flagged}
    if not left_out:
        return None
    rows = [
        (workload, n, flag, flagged.why(flag))
        for workload, flagged in left_out.items()
        for flag, n in flagged.by_flag.items()
    ]
    several = f" of {len(left_out)} workloads" if len(left_out) > 1 else ""
    total = sum(flagged.modes for flagged in left_out.values())
    title = (
        f"{sum(f.flagged for f in left_out.values()):,} of {counted(total, 'mode')}{several} left out of fits"
    )
    has_short = any("interrupted" in flagged.by_flag for flagged in left_out.values())
    note = f"{RETRY} {SHORT}" if has_short else RETRY
    return Table.of(title, ("workload", "modes", "flag", "because"), rows, note=note)


def flags_left_out(flagged: Flagged) -> str:
    """Return a sentence on what is left out because of flags, empty where nothing is."""
    if not flagged.flagged:
        return ""
    by_flag = ", ".join(f"{n:,} {flag}" for flag, n in flagged.by_flag.items())
    were = "was" if flagged.flagged == 1 else "were"
    return (
        f"{flagged.flagged:,} of {counted(flagged.modes, 'mode')} {were} left out because of flags "
        f"({by_flag}): {RETRY}"
    )
