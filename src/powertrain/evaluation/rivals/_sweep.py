"""A sweep of one knob with all others at their largest, as Zeus sweeps a GPU's power limit.

J. You, J.-W. Chung, M. Chowdhury, "Zeus", NSDI 2023: profiles every power limit from the top down. Here it
is the knob that reaches furthest, unless the device has a limit in watts; with more values than trials, every
n-th is tried.
"""

from __future__ import annotations

from typing import final

import numpy as np
from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode

__all__ = ["SweepRival"]


@final
class SweepRival(Rival):
    """Sweeps one knob from the top down."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        grid = problem.grid
        swept = _swept(grid.space.names)
        top = [length - 1 for length in grid.shape]
        count = min(problem.trials, grid.shape[swept])
        places = np.linspace(top[swept], 0, count).round().astype(int)
        self._rows = [grid.row([*top[:swept], int(place), *top[swept + 1 :]]) for place in places]

    @override
    def ask(self) -> PowerMode | None:
        return self.problem.modes[self._rows.pop(0)] if self._rows else None


def _swept(names: tuple[str, ...]) -> int:
    """Return the knob that is swept: a limit of the GPU, its clock, or the first."""
    for wanted in ("power_limit_w", "gpu_cap_w", "gpu_mhz"):
        if wanted in names:
            return names.index(wanted)
    return next((j for j, name in enumerate(names) if name.endswith("_w")), 0)
