"""Active learning sampling (ALS), after Fulcrum (arXiv 2509.20205).

The abstract says: active learning that finds reusable Pareto-optimal modes in 50 to 150 profiles. What
follows is our reading, as the code is not public: the paper's network is trained on what was profiled, and
the next modes are those on its predicted front that lie farthest from any profile; the first ten are drawn at
random. What is found serves every limit, so the search does not know the limit.
"""

from __future__ import annotations

from typing import final

import numpy as np
from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.models import predictor_class
from powertrain.optimisation import pareto_front
from powertrain.records import PowerMode

__all__ = ["ActiveRival"]

FIRST, ROUND = 10, 5
"""Random profiles to begin with, and profiles between two trainings of the network."""


@final
class ActiveRival(Rival):
    """Profiles the predicted front of the paper's network, a few modes at a time."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        first = min(FIRST, len(problem.modes))
        rng = np.random.default_rng(problem.seed)
        self._queue: list[int] = rng.permutation(len(problem.modes))[:first].tolist()

    @override
    def ask(self) -> PowerMode | None:
        if not self._queue:
            # The limit plays no part, so every limit of a seed shares the search.
            key = "als", len(self.seen)
            if key not in self.problem.memory:
                self.problem.memory[key] = self._farthest_on_the_front()
            self._queue = list(self.problem.memory[key])
        return self.problem.modes[self._queue.pop(0)] if self._queue else None

    def _farthest_on_the_front(self) -> list[int]:
        problem, grid = self.problem, self.problem.grid
        table = self.seen.table(grid.ends)
        prediction = predictor_class("paper-scratch").fit(table, seed=problem.seed).glance(problem.modes)
        front = pareto_front(np.column_stack([prediction.time_ms, prediction.power_w]))
        measured = [grid.row(grid.place_of(mode)) for mode in table.modes]
        left = np.setdiff1d(front if len(front) else np.arange(len(problem.modes)), measured)
        if not len(left):
            left = np.setdiff1d(np.arange(len(problem.modes)), measured)
        away = _distances(grid.unit[left], grid.unit[measured])
        chosen: list[int] = []
        for _ in range(min(ROUND, len(left))):
            row = int(np.argmax(away))
            chosen.append(int(left[row]))
            away = np.minimum(away, _distances(grid.unit[left], grid.unit[left[row]][None]))
        return chosen


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distance `(n,)` of each place to the nearest of others."""
    return np.sqrt(((some[:, None] - others[None]) ** 2).sum(axis=2)).min(axis=1)
