"""How a measuring run goes, in one record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypedDict, final

from powertrain.planning import ModeSource, Order, as_source
from powertrain.profiling._procedure import Procedure
from powertrain.progress import Progress as Progress
from powertrain.records import ModeTable, Profile

__all__ = ["Progress", "RunKeywords", "RunOptions"]


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions`, for functions that take them as keywords."""

    procedure: Procedure | None
    order: Order
    seed: int
    again: bool
    retry_flagged: bool
    progress: Progress | None


@final
@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a measuring run goes: how each mode is measured, in which order, and which of them again."""

    procedure: Procedure | None = None
    """How each mode is measured; as much as the precision asks for if None."""
    order: Order = "cheap"
    """Of a table: one that saves settling (`powertrain.planning.order_modes`), or its own (`"given"`)."""
    seed: int = 0
    """Of the order."""
    again: bool = False
    """Whether to measure modes again that are in the store, as repeated measurements."""
    retry_flagged: bool = False
    """Whether to measure modes again if all their profiles in the store are flagged."""
    progress: Progress | None = None
    """Told about every mode."""

    def source(self, modes: ModeTable | ModeSource) -> ModeSource:
        """Return what says which of `modes` comes next; a source is taken as it is."""
        return as_source(modes, order=self.order, seed=self.seed)

    def known(self, profiles: Iterable[Profile]) -> list[Profile]:
        """Return those of the store's profiles whose modes need not be measured again."""
        if self.again:
            return []
        return [profile for profile in profiles if not (self.retry_flagged and profile.flags)]

    def changed(self, keywords: RunKeywords) -> RunOptions:
        """Return the record with some of its fields replaced."""
        return replace(self, **keywords)
