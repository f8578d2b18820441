"""Flags in words, for the commands that show profiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from powertrain.wording import counted

if TYPE_CHECKING:
    from powertrain.report import Table
    from powertrain.workflow import Flagged

__all__ = ["flag_table"]

RETRY = "--retry-flagged measures them again."


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
    note = f"powertrain profile with {RETRY}"
    return Table.of(title, ("workload", "modes", "flag", "because"), rows, note=note)
