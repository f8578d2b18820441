"""Which mode comes next: a run asks for one at a time, and tells what came of it.

The contract stands on this low floor, and not in `tuning`, for two reasons. What measures (`profiling`) has
to know it and must not load the models that a tuner needs. What tunes has to implement it and must not know
of devices. So both depend on this file, and neither on the other; `workflow` brings them together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import Literal, final

import numpy as np
from typing_extensions import override

from powertrain.planning._order import order_modes
from powertrain.records import ModeTable, PowerMode, Profile

__all__ = ["FixedModes", "ModeSource", "Order", "as_source"]

Order = Literal["cheap", "given"]
"""In which order a table is measured: one that saves settling, or its own."""


class ModeSource(ABC):
    """Says which mode to measure next, and learns what came of each.

    A run calls `recall` once at most, before the first `ask`; then `ask` and `tell` in turn, until `ask`
    gives None. Several equal boards ask several times before the first of them tells. A mode that was asked
    for and never told was not measured: its run was stopped. A source knows nothing of devices and of time,
    so that it runs in a training loop, on a server and in a simulation alike.
    """

    knobs: tuple[str, ...]
    """The knobs of all its modes, so that a run can refuse them before anything is changed."""

    @property
    @abstractmethod
    def left(self) -> int:
        """How many more modes it will ask for, at most, as far as it can tell now; 0: none."""

    @abstractmethod
    def recall(self, profiles: Iterable[Profile]) -> int:
        """Take in what was measured before this run; return how many modes need not be measured again."""

    @abstractmethod
    def ask(self) -> PowerMode | None:
        """Return the mode to measure next, or None if what is known is enough."""

    @abstractmethod
    def tell(self, profile: Profile) -> None:
        """Take in what came of a mode. Flagged profiles are told, too, also those without numbers."""


@final
class FixedModes(ModeSource):
    """A table of modes, whatever comes of them."""

    def __init__(self, modes: ModeTable, *, order: Order = "cheap", seed: int = 0) -> None:
        """Take the table.

        Args:
            modes: `(n, n_knobs)` modes; one that is in it twice is measured twice.
            order: `"cheap"` saves settling and bounds what the heat of one mode does to the next
                (`order_modes`); `"given"` is that of the table.
            seed: Of the cheap order.

        Raises:
            ValueError: There is no such order.
        """
        if order not in ("cheap", "given"):
            raise ValueError(f"unknown order {order!r}: use 'cheap' or 'given'")
        self.knobs = modes.knobs
        self._modes, self._order, self._seed = modes, order, seed
        self._queue: deque[PowerMode] | None = None

    @property
    @override
    def left(self) -> int:
        return len(self._modes if self._queue is None else self._queue)

    @override
    def recall(self, profiles: Iterable[Profile]) -> int:
        known = {profile.mode for profile in profiles}
        left = self._modes.take(np.array([mode not in known for mode in self._modes], dtype=bool))
        found = len(self._modes) - len(left)
        self._modes = left
        return found

    @override
    def ask(self) -> PowerMode | None:
        if self._queue is None:
            # What is left is ordered, not what was given: a run that goes on saves settling as well.
            cheap = self._order == "cheap"
            modes = self._modes.take(order_modes(self._modes, seed=self._seed)) if cheap else self._modes
            self._queue = deque(modes)
        return self._queue.popleft() if self._queue else None

    @override
    def tell(self, profile: Profile) -> None:
        del profile  # nothing changes the table


def as_source(modes: ModeTable | ModeSource, *, order: Order = "given", seed: int = 0) -> ModeSource:
    """Return a source as it is, or one that asks for each mode of a table."""
    return modes if isinstance(modes, ModeSource) else FixedModes(modes, order=order, seed=seed)
