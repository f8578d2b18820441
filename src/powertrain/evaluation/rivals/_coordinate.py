"""Coordinate descent from the maximum, as a person with a script would do it."""

from __future__ import annotations

from typing import final

import numpy as np
from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode, Profile

__all__ = ["CoordinateRival"]


@final
class CoordinateRival(Rival):
    """Lowers one knob after the other from the top until the limit is kept, then raises what makes it faster.

    Each knob has a step, at first half of its range. A move that is not better is taken back, and the knob's
    step is halved. The seed draws the order of the knobs.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._grid = problem.grid
        drawn = np.random.default_rng(problem.seed).permutation(len(self._grid.shape))
        self._order: list[int] = drawn.tolist()
        self._at: list[int] = [length - 1 for length in self._grid.shape]
        self._step = [max(length // 2, 1) for length in self._grid.shape]
        self._turn = 0

    @override
    def ask(self) -> PowerMode | None:
        if not len(self.seen):
            return self._mode(self._at)
        # Each round either moves or halves a step, so this ends.
        for _ in range(64 * len(self._at)):
            moved = self._moved()
            if moved is None:
                return None
            mode = self._mode(moved)
            if mode not in self.seen:
                return mode
            self._judge(moved)
        return None

    @override
    def tell(self, profile: Profile) -> None:
        first = not len(self.seen)
        super().tell(profile)
        if not first:
            self._judge(list(self._grid.place_of(profile.mode)))

    def _moved(self) -> list[int] | None:
        """Return the next place to look at; None when every knob's smallest step was tried."""
        if not any(self._step):
            return None
        knob = self._order[self._turn % len(self._order)]
        while not self._step[knob]:
            self._turn += 1
            knob = self._order[self._turn % len(self._order)]
        sign = 1 if self.seen.keeps(self._mode(self._at)) else -1
        moved = list(self._at)
        moved[knob] = int(np.clip(moved[knob] + sign * self._step[knob], 0, self._grid.shape[knob] - 1))
        return moved

    def _judge(self, moved: list[int]) -> None:
        """Go to a place that was measured if it is better, else halve the step of the knob."""
        knob = self._order[self._turn % len(self._order)]
        before, after = self._mode(self._at), self._mode(moved)
        kept, keeps = self.seen.keeps(before), self.seen.keeps(after)
        better = keeps and (not kept or self.seen.of(after)[0] < self.seen.of(before)[0])
        if better or (not kept and self.seen.of(after)[1] < self.seen.of(before)[1]):
            self._at = moved
        else:
            self._step[knob] //= 2
        self._turn += 1

    def _mode(self, place: list[int]) -> PowerMode:
        return self._grid.modes[self._grid.row(place)]
