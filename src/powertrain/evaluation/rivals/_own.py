"""PowerTrain's own tuner, as `powertrain tune` runs it."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import Limits, PowerMode, Profile
from powertrain.tuning import Budget, Goal, Tuner

__all__ = ["FrontRival", "TunerRival"]

PREDICTOR = "gp"


@final
class TunerRival(Rival):
    """The tuner. It ends by itself when one more trial is not worth its cost."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._tuner = _tuner(problem, Goal(limits=Limits(max_power_w=problem.limit_w)))

    @override
    def ask(self) -> PowerMode | None:
        return self._tuner.ask()

    @override
    def tell(self, profile: Profile) -> None:
        self._tuner.tell(profile)

    @override
    def named(self) -> PowerMode | None:
        return self._tuner.decision().mode


@final
class FrontRival(Rival):
    """The tuner where the whole front is asked for; the limit plays no part in the search."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self._tuner = _tuner(problem, Goal(objective="front"))

    @override
    def ask(self) -> PowerMode | None:
        return self._tuner.ask()

    @override
    def tell(self, profile: Profile) -> None:
        super().tell(profile)
        self._tuner.tell(profile)


def _tuner(problem: Problem, goal: Goal) -> Tuner:
    budget = Budget(
        most_trials=problem.trials, minibatches=problem.minibatches, overhead_s=problem.overhead_s
    )
    return Tuner(
        problem.space or problem.modes,
        goal,
        references=problem.references(PREDICTOR),
        budget=budget,
        method=PREDICTOR,
        seed=problem.seed,
    )
