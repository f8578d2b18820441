"""What is known of a fleet as JSON has it: the keys stay, and more may come."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from powertrain.fleet._kept import Answer
from powertrain.fleet._overview import StoreReading, fleet_now
from powertrain.fleet._watch import FleetWatch
from powertrain.plain import to_plain

__all__ = ["fleet_json"]


def fleet_json(watch: FleetWatch, known: Answer[StoreReading] | None = None) -> dict[str, Any]:
    """Return the fields of `FleetNow`, with what keeps a newer reading away; times are by ISO 8601, in UTC.

    Args:
        watch: What knows the fleet.
        known: What it said; None to ask it.
    """
    known = watch.reading() if known is None else known
    assert known.value is not None, "a watch has read its store before it is there"
    return {
        **to_plain(fleet_now(known.value, watch.now())),
        "problem": None if known.problem is None else str(known.problem),
        # Where all is well, an answer that says the same is the same.
        "read_at": None if known.problem is None else to_plain(watch.read_at),
        "version": metadata.version("powertrain"),
    }
