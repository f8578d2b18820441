"""Modes that are being measured on equal boards, each with its place among the trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, final

from powertrain.records import PowerMode

__all__ = ["Pending"]


@final
class Pending:
    """Modes that were proposed and not told of yet, in the order in which they were proposed.

    Each keeps its place, so that the trials are the same once all are told, in whatever order that was.
    """

    def __init__(self, places: Iterable[tuple[int, PowerMode]] = ()) -> None:
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def modes(self) -> list[PowerMode]:
        """The modes."""
        return [mode for _, mode in self._places]

    def add(self, mode: PowerMode, *, at: int) -> None:
        """Note a mode that was proposed after so many trials."""
        self._places.append((at, mode))

    def take(self, mode: PowerMode) -> int | None:
        """Return the place of a mode that is told of, and forget it; None where it is not pending."""
        found = next((i for i, (_, known) in enumerate(self._places) if known == mode), None)
        if found is None:
            return None
        place, _ = self._places.pop(found)
        # Those that were proposed later come after it.
        self._places[found:] = [(at + 1, later) for at, later in self._places[found:]]
        return place

    def as_json(self) -> list[dict[str, Any]]:
        """Return them as JSON values."""
        return [{"at": at, "mode": dict(mode)} for at, mode in self._places]

    @classmethod
    def from_json(cls, rows: Sequence[Any]) -> Pending:
        """Read what `as_json` returned."""
        return cls((int(row["at"]), PowerMode(row["mode"])) for row in rows)
