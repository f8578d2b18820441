"""The tuner: proposes a mode, is told what came of it, and names the best one that was measured.

A state machine that knows nothing of devices and of time, so that it runs in a training loop, on a server
and in a simulation. It is deterministic by its seed, and its state is the trials so far: a tuner that is
given them again goes on as if nothing had happened.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import numpy as np
from typing_extensions import override

from powertrain.errors import DataError, UnknownNameError
from powertrain.models import AbstractPredictor
from powertrain.planning import ModeSource
from powertrain.quantities import POWER, TIME, find
from powertrain.records import ModeTable, PowerMode, Prediction, Profile, ProfileTable
from powertrain.space import ModeSpace
from powertrain.tuning._acquire import Acquisition
from powertrain.tuning._belief import Beliefs, View
from powertrain.tuning._candidates import Candidates
from powertrain.tuning._goal import Budget, Decision, Goal
from powertrain.tuning._trials import Trials, rows_of
from powertrain.units import s_from_ms

__all__ = ["Tuner"]

VERSION = 1
"""Of the state."""
STARTS = 3
"""Modes spread over the space that are tried first without references: the fewest that can be fitted."""


@final
class Tuner(ModeSource):
    """Searches for the best mode under limits by measuring a few.

    ```python
    tuner = Tuner(board.space, Goal(limits=Limits(max_power_w=30)), references=[resnet18])
    while (mode := tuner.ask()) is not None:
        tuner.tell(measured_in(mode))
    print(tuner.decision().mode)
    ```

    Each trial is the mode with the largest expected improvement for each second that it costs, constrained by
    the chance that it keeps the limits (J. R. Gardner et al., "Bayesian Optimization with Inequality
    Constraints", ICML 2014). What is named is never a prediction: it was measured, and its mean keeps the
    limits.
    """

    def __init__(
        self,
        modes: ModeSpace | ModeTable,
        goal: Goal,
        *,
        references: Sequence[AbstractPredictor] = (),
        budget: Budget | None = None,
        method: str = "gp",
        seed: int = 0,
    ) -> None:
        """Get ready; nothing is computed before the first `ask`.

        Args:
            modes: A device's space, which is never listed if it is large, or the modes that exist.
            goal: What to find.
            references: Predictors of other workloads on the device, or on others.
            budget: What a trial costs, and how many there may be.
            method: How to predict.
            seed: Of everything random.
        """
        self._candidates = Candidates(modes, seed=seed)
        self.knobs = self._candidates.knobs
        self.goal, self.budget, self.seed = goal, budget or Budget(), seed
        self._beliefs = Beliefs(references, method=method, seed=seed, ends=self._candidates.ends)
        self._trials = Trials(self.knobs, goal)
        self.reason = ""
        """Why no more trials are asked for, one sentence; empty while there may be more."""

    @property
    @override
    def left(self) -> int:
        return 0 if self.reason else self.budget.most_trials - len(self._trials)

    @override
    def recall(self, profiles: Iterable[Profile]) -> int:
        listed = [profile for profile in profiles if set(profile.mode) == set(self.knobs)]
        for profile in listed:
            self.tell(profile)
        return len(listed)

    @override
    def ask(self) -> PowerMode | None:
        """Return the mode to measure next, or None when one more trial is not worth what it costs."""
        if self.reason:
            return None
        left = self.budget.most_trials - len(self._trials)
        if left <= 0:
            return self._end(f"{len(self._trials)} trials were made")
        if left == 1 and (again := self._unconfirmed()) is not None:
            return again
        return self._start() or self._promising()

    @override
    def tell(self, profile: Profile) -> None:
        """Take in what came of a mode; a flagged profile is a trial that tells nothing of the limits."""
        if set(profile.mode) != set(self.knobs):
            raise DataError(
                f"the profile has the knobs {', '.join(profile.mode)}, not {', '.join(self.knobs)}"
            )
        self._trials.add(profile)
        self.reason = ""

    def decision(self) -> Decision:
        """Return the best measured mode that keeps the limits, now."""
        return self._trials.decision(self.reason or "the search goes on")

    def state(self) -> dict[str, Any]:
        """Return everything that `resumed` needs besides modes and references, as JSON values."""
        return {
            "version": VERSION,
            "goal": self.goal.as_json(),
            "seed": self.seed,
            "trials": rows_of(self._trials.profiles),
        }

    @classmethod
    def resumed(
        cls,
        state: Mapping[str, Any],
        modes: ModeSpace | ModeTable,
        *,
        references: Sequence[AbstractPredictor] = (),
        budget: Budget | None = None,
        method: str = "gp",
    ) -> Tuner:
        """Go on from a state.

        Raises:
            DataError: It is not one, or of another version.
        """
        if state.get("version") != VERSION:
            raise DataError(
                f"the tuner's state has version {state.get('version')!r}, not {VERSION}: start anew"
            )
        try:
            tuner = cls(
                modes,
                Goal.from_json(state["goal"]),
                references=references,
                budget=budget,
                method=method,
                seed=int(state["seed"]),
            )
            for row in state["trials"]:
                tuner.tell(_profile_of(row))
        except (KeyError, TypeError, ValueError, AttributeError, UnknownNameError) as error:
            raise DataError(f"the tuner's state is damaged ({error}): start anew") from error
        return tuner

    def _start(self) -> PowerMode | None:
        """Return one of the first modes without references, while nothing can be predicted yet."""
        if self._beliefs.references or self._trials.distinct >= STARTS:
            return None
        tried = self._trials.known()
        if math.isfinite(self.goal.hard_limit_w):
            # Nothing is known of the power, so the lowest of all modes is the only start.
            lowest = self._candidates.ends[0]
            return lowest if not tried and self._candidates.has(lowest) else None
        modes = self._candidates.spread(STARTS + len(tried))
        return next((mode for mode in modes if mode not in tried), None)

    def _promising(self) -> PowerMode | None:
        """Return the mode that is worth most for what it costs; None, with the reason, where none is."""
        table = self._trials.table
        views = self._beliefs.views(None if table is None else table.within(self._candidates.ends))
        if not views:
            tried = self._trials.known()
            spread = self._candidates.spread(STARTS + len(tried))
            return next((mode for mode in spread if mode not in tried), None)
        acquisition = Acquisition(
            self.goal,
            self.budget,
            self._trials,
            noise=_noise(views, table),
            references=len(self._beliefs.references),
        )

        def predicted(modes: ModeTable) -> list[Prediction]:
            return [view(modes) for view in views]

        def weigh(modes: ModeTable) -> np.ndarray:
            return acquisition.weight(modes, predicted(modes))

        best = self._trials.best()
        around = None if table is None or best is None else table.modes.take([best])
        # What a prior thinks of is no place to climb to: a draw will do, the same for the first trials.
        climbs = self._trials.distinct >= STARTS
        turn = len(self._trials) if climbs else 0
        mode = self._candidates.best(
            weigh, around=around, tried=self._trials.known(), turn=turn, climbs=climbs
        )
        if mode is None:
            return self._unconfirmed() or self._end("every mode was tried")
        if best is None:
            return mode
        one = ModeTable.of([mode], self.knobs)
        told = predicted(one)
        gain, cost_s = float(acquisition.gain(one, told)[0]), float(acquisition.cost_s(told)[0])
        if (again := acquisition.again(predicted)) is not None and again.weight > float(weigh(one)[0]):
            mode, gain, cost_s = again.mode, again.gain, again.cost_s
        if self._is_worth(gain, cost_s):
            return mode
        what = find(self.goal.objective).title
        return self._unconfirmed() or self._end(f"one more trial would gain {100 * gain:.2g} % of the {what}")

    def _is_worth(self, gain: float, cost_s: float) -> bool:
        """Tell whether an expected gain, a share of the objective, pays for a trial."""
        if math.isinf(self.budget.minibatches_left):
            return gain > self.budget.tolerance
        best = self._trials.best()
        table = self._trials.table
        if best is None or table is None or not np.isfinite(table.time_ms[best]):
            return gain > self.budget.tolerance
        left_s = s_from_ms(float(table.time_ms[best])) * self.budget.minibatches_left
        return gain * left_s > cost_s

    def _unconfirmed(self) -> PowerMode | None:
        """Return the best mode if its interval does not clear the limits: it has to be measured again."""
        best, table = self._trials.best(), self._trials.table
        if best is None or table is None or self._trials.confirmed()[best]:
            return None
        return table.modes[best]

    def _end(self, reason: str) -> None:
        self.reason = reason


def _noise(views: Sequence[View], table: ProfileTable | None) -> dict[str, float]:
    """Return how uncertain [log] time and power of measured modes still are: that is noise."""
    if table is None:
        return {}
    told = [view(table.modes) for view in views]
    return {q.name: float(np.median([p.of(q).sd for p in told])) for q in (TIME, POWER) if table.has(q)}


def _profile_of(row: Mapping[str, Any]) -> Profile:
    return Profile(
        device=row["device"],
        workload=row["workload"],
        mode=PowerMode(row["mode"]),
        values=row["values"],
        se=row["se"],
        flags=tuple(row["flags"]),
    )
