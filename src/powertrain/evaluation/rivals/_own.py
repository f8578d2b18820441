"""PowerTrain's own tuner, as `powertrain tune` runs it."""

from __future__ import annotations

from typing import final

from typing_extensions import override

from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import Limits, PowerMode, Profile
from powertrain.tuning import Budget, Goal, Tuner

__all__ = ["TunerRival"]

PREDICTOR = "gp"


@final
class TunerRival(Rival):
    """The tuner. It ends by itself when one more trial is not worth its cost."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        budget = Budget(
            most_trials=problem.trials, minibatches=problem.minibatches, overhead_s=problem.overhead_s
        )
        self._tuner = Tuner(
            problem.space or problem.modes,
            Goal(limits=Limits(max_power_w=problem.limit_w)),
            references=problem.references(PREDICTOR),
            budget=budget,
            method=PREDICTOR,
            seed=problem.seed,
        )

    @override
    def ask(self) -> PowerMode | None:
        return self._tuner.ask()

    @override
    def tell(self, profile: Profile) -> None:
        self._tuner.tell(profile)

    @override
    def named(self) -> PowerMode | None:
        return self._tuner.decision().mode
