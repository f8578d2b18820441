"""Gradient-descent-based multi-dimensional search (GMD), after Fulcrum (arXiv 2509.20205).

The abstract says: a multi-dimensional gradient-descent search that profiles 15 modes and stays within 7 % of
the optimum on average. What follows is our reading, as the code is not public: every knob has a range, at
first whole. From the middle of all ranges, one step along each knob tells how much time a watt buys there.
The knob that buys most has its range halved, upwards where the limit is kept and downwards where it is not.
"""

from __future__ import annotations

from typing import final

from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode

__all__ = ["GradientRival"]


@final
class GradientRival(Rival):
    """Halves the range of the knob with the best slope of time over power."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._grid = problem.grid
        self._low = [0] * len(self._grid.shape)
        self._high = [length - 1 for length in self._grid.shape]

    @override
    def ask(self) -> PowerMode | None:
        while True:
            middle = self._middle()
            if (mode := self._mode(middle)) not in self.seen:
                return mode
            open_knobs = [j for j in range(len(middle)) if self._low[j] < self._high[j]]
            if not open_knobs:
                return None
            keeps = self.seen.keeps(mode)
            probes = {j: self._probe(middle, j, up=keeps) for j in open_knobs}
            for probe in probes.values():
                if probe not in self.seen:
                    return probe
            self._halve(middle, mode, probes, keeps=keeps)

    def _middle(self) -> list[int]:
        return [(low + high) // 2 for low, high in zip(self._low, self._high, strict=True)]

    def _probe(self, middle: list[int], knob: int, *, up: bool) -> PowerMode:
        """Return the mode half way to the end of a knob's range."""
        end = self._high[knob] if up else self._low[knob]
        moved = list(middle)
        moved[knob] = (middle[knob] + end + (1 if up else 0)) // 2
        return self._mode(moved)

    def _halve(self, middle: list[int], at: PowerMode, probes: dict[int, PowerMode], *, keeps: bool) -> None:
        time_ms, power_w = self.seen.of(at)

        def worth(knob: int) -> float:
            probed_ms, probed_w = self.seen.of(probes[knob])
            gain, watts = abs(probed_ms - time_ms) / time_ms, max(abs(probed_w - power_w), 1e-3)
            # Upwards the most time for a watt; downwards the most watts for the time that is lost.
            return gain / watts if keeps else watts / max(gain, 1e-6)

        knob = max(probes, key=worth)
        if keeps:
            self._low[knob] = min(middle[knob] + 1, self._high[knob])
        else:
            self._high[knob] = max(middle[knob] - 1, self._low[knob])

    def _mode(self, place: list[int]) -> PowerMode:
        return self._grid.modes[self._grid.row(place)]
