"""Optuna's samplers: TPE, Gaussian processes with constraints, NSGA-II (https://optuna.org, MIT).

Each knob is an integer, the place of its value. The objective is the logarithm of the time, and the
constraint that of the power over the limit. What a sampler proposes again is answered from memory and costs
nothing, so every trial is a new mode.
"""

# What is optional may be absent where types are checked, and then nothing is known of its types.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUnknownLambdaType=false

from __future__ import annotations

import logging
import math
import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, final

import numpy as np
from typing_extensions import override

from powertrain.errors import MissingExtraError
from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode, Profile

if TYPE_CHECKING:
    import optuna

__all__ = ["GpRival", "Nsga2Rival", "TpeRival"]

STARTS = 4
"""Random modes to begin with. Optuna's own 10 would leave a sampler 5 of 15 trials."""
POPULATION = 5
"""Of NSGA-II, for the same reason; Optuna's own is 50."""
REPEATS = 30
"""Proposals of measured modes in a row that are answered from memory; then a random mode is taken."""
CONSTRAINT = "excess"


class OptunaRival(Rival):
    """Asks a study."""

    objectives = 1

    @property
    def _directions(self) -> list[Any]:
        return ["minimize"] * self.objectives

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        try:
            import optuna
        except ImportError as error:
            raise MissingExtraError.of("optuna", extra="peers", purpose="racing against Optuna") from error
        # A message a trial, thousands of trials.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        logging.getLogger("optuna").setLevel(logging.ERROR)
        self._grid = problem.grid
        self._rng = np.random.default_rng(problem.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._study = optuna.create_study(
                sampler=self._sampler(optuna, problem.seed), directions=self._directions
            )
        self._asked: optuna.Trial | None = None

    @abstractmethod
    def _sampler(self, optuna: Any, seed: int) -> Any:
        """Return the sampler."""

    @override
    def ask(self) -> PowerMode | None:
        if len(self.seen) and len({p.mode for p in self.seen.profiles}) >= len(self.problem.modes):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(REPEATS):
                trial = self._study.ask()
                place = [
                    trial.suggest_int(name, 0, length - 1)
                    for name, length in zip(self._grid.space.names, self._grid.shape, strict=True)
                ]
                mode = self._grid.modes[self._grid.row(place)]
                if mode not in self.seen:
                    self._asked = trial
                    return mode
                self._answer(trial, *self.seen.of(mode))
        self._asked = None
        rows = self._rng.permutation(len(self.problem.modes))
        return next(mode for row in rows if (mode := self.problem.modes[int(row)]) not in self.seen)

    @override
    def tell(self, profile: Profile) -> None:
        super().tell(profile)
        trial, self._asked = self._asked, None
        if trial is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._answer(trial, profile.time_ms, profile.power_w)

    def _answer(self, trial: optuna.Trial, time_ms: float, power_w: float) -> None:
        trial.set_user_attr(CONSTRAINT, math.log(power_w / self.problem.limit_w))
        values = [math.log(time_ms), math.log(power_w)][: self.objectives]
        self._study.tell(trial, values)


def _constraints(trial: Any) -> tuple[float]:
    return (trial.user_attrs[CONSTRAINT],)


@final
class TpeRival(OptunaRival):
    """The tree-structured Parzen estimator, all knobs together."""

    @override
    def _sampler(self, optuna: Any, seed: int) -> Any:
        return optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=STARTS, multivariate=True, constraints_func=_constraints
        )


@final
class GpRival(OptunaRival):
    """Gaussian processes with constraints."""

    @override
    def _sampler(self, optuna: Any, seed: int) -> Any:
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=STARTS, deterministic_objective=True, constraints_func=_constraints
        )


@final
class Nsga2Rival(OptunaRival):
    """NSGA-II on time and power at once, with the limit as a constraint."""

    objectives = 2

    @override
    def _sampler(self, optuna: Any, seed: int) -> Any:
        return optuna.samplers.NSGAIISampler(
            seed=seed, population_size=POPULATION, constraints_func=_constraints
        )
