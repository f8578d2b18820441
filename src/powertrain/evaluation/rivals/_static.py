"""A predictor's choice after a fixed number of profiles, as predicted or confirmed once."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from powertrain.errors import NoFeasibleModeError
from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.models import predictor_class
from powertrain.optimisation import choose
from powertrain.planning import plan_modes
from powertrain.records import PowerMode, Profile

__all__ = ["StaticRival"]

RISK = {"paper": 0.5, "paper-scratch": 0.5}
"""Accepted probability of exceeding the limit: the paper takes the point prediction, our own methods 0.05."""
RANDOM = ("paper", "paper-scratch")
"""Methods that profile random modes, as the paper does; the others spread them."""


class StaticRival(Rival):
    """Profiles `n` modes, predicts all, and chooses; before the last profile the best of them is named.

    With confirmation the chosen mode is measured, and where it does not keep the limit or is slower than
    the best that was profiled, that is named.
    """

    def __init__(self, problem: Problem, *, predictor: str, profiles: int, confirms: bool) -> None:
        super().__init__(problem)
        self._predictor, self._profiles, self._confirms = predictor, profiles, confirms
        self._left = list(self._plan())
        self._chosen: PowerMode | None = None
        self._decided = False

    def _plan(self) -> list[int]:
        key = "plan", self._predictor, self._profiles
        if key not in self.problem.memory:
            modes, n = self.problem.modes, min(self._profiles, len(self.problem.modes))
            sampling: Any = "random" if self._predictor in RANDOM else "spread"
            self.problem.memory[key] = plan_modes(modes, n, sampling=sampling, seed=self.problem.seed)
        return self.problem.memory[key].tolist()

    @override
    def ask(self) -> PowerMode | None:
        if self._left:
            return self.problem.modes[self._left.pop(0)]
        choice = self._choice()
        if self._confirms and choice is not None and choice not in self.seen:
            return choice
        return None

    @override
    def tell(self, profile: Profile) -> None:
        super().tell(profile)

    @override
    def named(self) -> PowerMode | None:
        if self._left or len(self.seen) < min(self._profiles, len(self.problem.modes)):
            return self.seen.best()
        if self._confirms:
            return self.seen.best()
        return self._choice()

    def _choice(self) -> PowerMode | None:
        if not self._decided:
            self._decided = True
            self._chosen = self._predicted_choice()
        return self._chosen

    def _predicted_choice(self) -> PowerMode | None:
        key = "prediction", self._predictor, self._profiles
        memory, problem = self.problem.memory, self.problem
        if key not in memory:
            kind = predictor_class(self._predictor)
            table = self.seen.table(problem.grid.ends)
            references = problem.references(self._predictor) if kind.uses_references else ()
            memory[key] = kind.transfer(references, table, seed=problem.seed).glance(problem.modes)
        try:
            risk = RISK.get(self._predictor, 0.05)
            return choose(memory[key], problem.modes, max_power_w=problem.limit_w, risk=risk).mode
        except NoFeasibleModeError:
            return None
