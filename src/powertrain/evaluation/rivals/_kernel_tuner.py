"""Kernel Tuner's strategies (B. van Werkhoven, "Kernel Tuner", FGCS 2019; Apache-2.0).

Kernel Tuner has a simulation mode, in which a strategy is served from a file of all measurements. Here a
strategy is served in the same way, but is only told what was measured so far: each trial runs it again from
its seed on, and what it asks for first that is not known is measured next. Its parameters are the places of
the knobs. It knows no limit on what is measured, so a mode above the limit costs its time times a penalty.
"""

# What is optional may be absent where types are checked, and then nothing is known of its types.
# pyright: reportMissingImports=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportUntypedBaseClass=false

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType, SimpleNamespace
from typing import Any, final

import numpy as np
from typing_extensions import override

from powertrain.errors import MissingExtraError
from powertrain.evaluation.rivals._base import Problem, Rival
from powertrain.records import PowerMode

__all__ = ["AnnealingRival", "BayesRival", "GeneticRival", "LocalSearchRival"]

PENALTY = 4.0
"""Power of how far the limit is exceeded by which a cost is multiplied."""
STARTS = 4
"""Modes that the Bayesian optimisation begins with; Kernel Tuner's own 20 are more than there are trials."""
POPULATION = 5
"""Of the genetic algorithm, for the same reason; Kernel Tuner's own is 26."""
REPEATS = 5_000
"""Questions in a row that are answered from memory; then a random mode is taken."""
THREADS = 10**9
"""What a simulated device of Kernel Tuner's has; more than any mode needs."""


class _UnknownError(BaseException):
    """A strategy asks for a place that was not measured. It is no `Exception`, so no strategy takes it."""

    def __init__(self, place: tuple[int, ...]) -> None:
        super().__init__(place)
        self.place = place


class _LostError(BaseException):
    """A strategy goes on asking for what is known."""


class KernelTunerRival(Rival):
    """Runs a strategy from its start until it asks for something new."""

    strategy = ""
    """Kernel Tuner's name of it."""
    options: Mapping[str, int | str] = MappingProxyType({})
    """What differs from Kernel Tuner's own options: sizes that more trials are meant for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        try:
            from kernel_tuner.interface import strategy_map
        except ImportError as error:
            purpose = "racing against Kernel Tuner"
            raise MissingExtraError.of("kernel_tuner", extra="peers", purpose=purpose) from error
        self._tune: Any = strategy_map[self.strategy].tune
        self._grid = problem.grid
        self._rng = np.random.default_rng(problem.seed)

    @override
    def ask(self) -> PowerMode | None:
        if len({profile.mode for profile in self.seen.profiles}) >= len(self.problem.modes):
            return None
        with _chance_of(self.problem.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                space = self._space()
                self._tune(space, _Memory(self._cost, self._mode), self._options(space))
            except _UnknownError as unknown:
                return self._mode(unknown.place)
            except _LostError:
                rows = self._rng.permutation(len(self.problem.modes))
                modes = (self.problem.modes[int(row)] for row in rows)
                return next(mode for mode in modes if mode not in self.seen)
        return None  # it ends by itself

    def _space(self) -> Any:
        from kernel_tuner.searchspace import Searchspace

        names, shape = self._grid.space.names, self._grid.shape
        places = {name: list(range(length)) for name, length in zip(names, shape, strict=True)}
        return Searchspace(places, None, THREADS)

    def _options(self, space: Any) -> Any:
        from kernel_tuner.interface import Options
        from kernel_tuner.util import TuningBudget

        most = min(self.problem.trials, len(self.problem.modes))
        given: dict[str, Any] = {
            "tune_params": space.tune_params,
            "objective": ["time"],
            "objective_higher_is_better": [False],
            "strategy_options": Options({**self.options, "max_fevals": most}),
            "max_fevals": most,
            "budget": TuningBudget(None, most),
            "restrictions": None,
            "metrics": None,
            "cache": {},
            "verbose": False,
            "quiet": True,
        }
        return Options(given)

    def _mode(self, place: tuple[int, ...]) -> PowerMode:
        return self._grid.modes[self._grid.row(place)]

    def _cost(self, place: tuple[int, ...]) -> float:
        """Return what a place costs; `_UnknownError` where its mode was not measured."""
        mode = self._mode(place)
        if mode not in self.seen:
            raise _UnknownError(place)
        time_ms, power_w = self.seen.of(mode)
        return time_ms * max(power_w / self.problem.limit_w, 1.0) ** PENALTY


@final
class _Memory:
    """What Kernel Tuner calls a runner: it answers for configurations."""

    def __init__(
        self, cost: Callable[[tuple[int, ...]], float], mode: Callable[[tuple[int, ...]], PowerMode]
    ) -> None:
        self._cost, self._mode = cost, mode
        self._seen, self._repeats = set[PowerMode](), 0
        self.dev = SimpleNamespace(max_threads=THREADS)

    def run(self, parameter_space: Iterable[Sequence[int]], tuning_options: Any) -> list[Any]:
        """Return a result for each configuration."""
        results: list[Any] = []
        for given in parameter_space:
            if tuning_options.budget.is_done():
                results.append(None)
                continue
            place = tuple(int(value) for value in given)
            cost = self._cost(place)
            self._repeats += 1
            # Where the modes are no full grid, several places are the same mode.
            if (mode := self._mode(place)) not in self._seen:
                self._seen.add(mode)
                self._repeats = 0
                tuning_options.budget.add_evaluations(1)
            if self._repeats > REPEATS:
                raise _LostError
            results.append({"place": place, "time": cost})
        return results

    def add_strategy_time(self, seconds: float) -> None:
        """Take in how long the strategy thought, which nobody asks for."""

    def available_parallelism(self) -> int:
        """Return how many configurations are measured at once."""
        return 1


@contextmanager
def _chance_of(seed: int) -> Generator[None]:
    """Have the chance that the whole program shares begin with a seed, and be as it was afterwards."""
    state, states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(states)


@final
class LocalSearchRival(KernelTunerRival):
    """Greedy iterated local search."""

    strategy = "greedy_ils"


@final
class GeneticRival(KernelTunerRival):
    """The genetic algorithm."""

    strategy, options = "genetic_algorithm", MappingProxyType({"popsize": POPULATION})


@final
class AnnealingRival(KernelTunerRival):
    """Dual annealing."""

    strategy = "dual_annealing"


@final
class BayesRival(KernelTunerRival):
    """Bayesian optimisation."""

    strategy = "bayes_opt"
    # Its Latin hypercube takes no seed.
    options = MappingProxyType({"popsize": STARTS, "samplingmethod": "random"})
