"""Measuring from the slowest modes up, and no further than a limit on power."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import numpy as np
from typing_extensions import override

from powertrain.planning import ModeSource
from powertrain.records import FloatArray, ModeTable, PowerMode, Profile

__all__ = ["Climb"]


@final
class Climb(ModeSource):
    """Measures modes from the lowest up, and skips modes known to exceed a power limit.

    Power does not fall when a knob is raised. So once a mode has drawn more than the limit, every mode that
    is as high or higher in all knobs would, too, and is not asked for. Modes come in the order of the sum of
    their knobs' ranks, so that the first one above the limit is close to one that kept it. A profile without
    power (a sensor failed, the device did not take the mode) tells nothing.
    """

    def __init__(self, modes: ModeTable, *, hard_limit_w: float) -> None:
        """Take the modes.

        Args:
            modes: `(n, n_knobs)` modes.
            hard_limit_w: Power that no further mode shall draw once one of them has [W].

        Raises:
            ValueError: The limit is not above 0 W.
        """
        if not hard_limit_w > 0:
            raise ValueError(f"a limit of {hard_limit_w:g} W: it has to be above 0 W")
        self.knobs = modes.knobs
        self._limit_w = hard_limit_w
        height = np.zeros(len(modes))
        for column in modes.values.T:
            levels, rank = np.unique(column, return_inverse=True)
            height += rank / max(len(levels) - 1, 1)
        self._modes = modes.take(np.argsort(height, kind="stable"))
        self._left = np.ones(len(modes), dtype=bool)

    @property
    @override
    def left(self) -> int:
        return int(self._left.sum())

    @override
    def recall(self, profiles: Iterable[Profile]) -> int:
        found = 0
        for profile in profiles:
            same = self._left & (self._modes.values == self._values(profile.mode)).all(axis=1)
            found += int(same.sum())
            self._left &= ~same
            self.tell(profile)
        return found

    @override
    def ask(self) -> PowerMode | None:
        rows = np.flatnonzero(self._left)
        if not len(rows):
            return None
        self._left[rows[0]] = False
        return self._modes[int(rows[0])]

    @override
    def tell(self, profile: Profile) -> None:
        if not profile.power_w > self._limit_w:
            return
        above = self._left & (self._modes.values >= self._values(profile.mode)).all(axis=1)
        self._left &= ~above

    def _values(self, mode: PowerMode) -> FloatArray:
        return np.array([mode[knob] for knob in self.knobs])
