"""Random modes, and the best of them."""

from __future__ import annotations

from typing import final

import numpy as np
from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode

__all__ = ["RandomRival"]


@final
class RandomRival(Rival):
    """Measures modes drawn without replacement."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        order = np.random.default_rng(problem.seed).permutation(len(problem.modes))
        self._rows = iter([int(row) for row in order])

    @override
    def ask(self) -> PowerMode | None:
        row = next(self._rows, None)
        return None if row is None else self.problem.modes[row]
