"""The tuner: proposes a mode, is told what came of it, and names the best one that was measured.

A state machine that knows nothing of devices and of time, so that it runs in a training loop, on a server
and in a simulation. It is deterministic by its seed, and its state is the trials so far: a tuner that is
given them again goes on as if nothing had happened.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import numpy as np
from typing_extensions import override

from powertrain.errors import DataError, UnknownNameError
from powertrain.models import AbstractPredictor
from powertrain.planning import ModeSource
from powertrain.quantities import POWER, TIME
from powertrain.records import ModeTable, PowerMode, Prediction, Profile, ProfileTable
from powertrain.space import ModeSpace
from powertrain.tuning._acquire import Acquisition
from powertrain.tuning._belief import Beliefs, View
from powertrain.tuning._candidates import Candidates
from powertrain.tuning._front import FrontAcquisition
from powertrain.tuning._goal import FRONT, Budget, Decision, Goal
from powertrain.tuning._pending import Pending
from powertrain.tuning._trials import Trials, rows_of
from powertrain.units import s_from_ms

__all__ = ["Tuner"]

VERSION = 1
"""Of the state."""
STARTS = 3
"""Modes spread over the space that are tried first without references: the fewest that can be fitted."""

BASES = 8
"""Modes of a front at most whose neighbours are looked at."""


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
        self._measured = self._trials
        """The trials without those that are only believed, while a mode is sought beside pending ones."""
        self._pending = Pending()
        self.reason = ""
        """Why no more trials are asked for, one sentence; empty while there may be more."""

    @property
    @override
    def left(self) -> int:
        if self.reason:
            return 0
        return max(self.budget.most_trials - len(self._trials) - len(self._pending), 0)

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
        return self._beside_pending() if self._pending else self._next()

    def propose(self, n: int) -> list[PowerMode]:
        """Return modes to measure at the same time on equal boards: `n`, or fewer where more are worth none.

        Each is chosen as if those that are still being measured had given what is predicted of them (the
        "Kriging believer" of D. Ginsbourger et al., "Kriging is well-suited to parallelize optimization",
        2010). They may be told in any order, and more may be proposed before all are told. What was not
        measured after all is told as a flagged profile. Below a hard limit only modes that are safe by what
        was measured are added to others.

        Raises:
            ValueError: `n` is below 1.
        """
        if n < 1:
            raise ValueError(f"{n} modes were asked for: give 1 or more")
        proposed: list[PowerMode] = []
        while len(proposed) < n and (mode := self.ask()) is not None:
            self._pending.add(mode, at=len(self._trials))
            proposed.append(mode)
        return proposed

    def _next(self) -> PowerMode | None:
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
        self._trials.add(profile, at=self._pending.take(profile.mode))
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
            "pending": self._pending.as_json(),
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
            tuner._pending = Pending.from_json(state.get("pending", ()))
        except (KeyError, TypeError, ValueError, AttributeError, UnknownNameError) as error:
            raise DataError(f"the tuner's state is damaged ({error}): start anew") from error
        return tuner

    def _start(self) -> PowerMode | None:
        """Return one of the first modes without references, while nothing can be predicted yet."""
        if self._beliefs.references or self._measured.distinct >= STARTS:
            return None
        tried, ends = self._trials.known(), self._candidates.ends
        if math.isfinite(self.goal.hard_limit_w):
            # Nothing is known of the power, so the lowest of all modes is the only start.
            lowest = ends[0]
            return lowest if not tried and self._candidates.has(lowest) else None
        modes = list(self._candidates.spread(STARTS + len(tried)))
        if self.goal.objective == FRONT and not self.goal.limits.active():
            # The highest and the lowest mode are near the two ends of the front, or tell how far they are.
            modes = [*(mode for mode in reversed(ends) if self._candidates.has(mode)), *modes]
        return next((mode for mode in modes if mode not in tried), None)

    def _promising(self) -> PowerMode | None:
        """Return the mode that is worth most for what it costs; None, with the reason, where none is."""
        table = self._trials.table
        views = self._views(self._trials)
        if not views:
            tried = self._trials.known()
            spread = self._candidates.spread(STARTS + len(tried))
            return next((mode for mode in spread if mode not in tried), None)
        acquisition = self._acquisition(views, self._trials)

        def predicted(modes: ModeTable) -> list[Prediction]:
            return [view(modes) for view in views]

        def weigh(modes: ModeTable) -> np.ndarray:
            return acquisition.weight(modes, predicted(modes))

        best = self._trials.best()
        around = None if table is None or best is None else table.modes.take(self._bases(best))
        # What a prior thinks of is no place to climb to: a draw will do, the same for the first trials.
        climbs = self._measured.distinct >= STARTS
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
        again = acquisition.again(predicted)
        if (
            again is not None
            and again.mode not in self._pending.modes
            and again.weight > float(weigh(one)[0])
        ):
            mode, gain, cost_s = again.mode, again.gain, again.cost_s
        if self._is_worth(gain, cost_s):
            return mode
        what = "area under the front" if self.goal.objective == FRONT else self.goal.quantity.title
        return self._unconfirmed() or self._end(f"one more trial would gain {100 * gain:.2g} % of the {what}")

    def _views(self, trials: Trials) -> tuple[View, ...]:
        table = trials.table
        known = None if table is None else table.within(self._candidates.ends)
        return self._beliefs.views(known, measured=self._measured.distinct)

    def _acquisition(self, views: Sequence[View], trials: Trials) -> Acquisition | FrontAcquisition:
        kind = FrontAcquisition if self.goal.objective == FRONT else Acquisition
        noise, references = _noise(views, trials.table), len(self._beliefs.references)
        return kind(self.goal, self.budget, trials, noise=noise, references=references)

    def _beside_pending(self) -> PowerMode | None:
        """Return the next mode as if the pending ones had given what is predicted; None: wait for them."""
        views = self._views(self._trials)
        believed = Trials(self.knobs, self.goal)
        for profile in (*self._trials.profiles, *self._believed(views)):
            believed.add(profile)
        other = copy.copy(self)
        other._trials = believed
        mode = other._next()
        if mode is None or not math.isfinite(self.goal.hard_limit_w):
            return mode
        one = ModeTable.of([mode], self.knobs)
        safe = self._acquisition(views, self._trials).safe(one, [view(one) for view in views])
        return mode if safe[0] else None

    def _believed(self, views: Sequence[View]) -> list[Profile]:
        """Return what is predicted of pending modes as if it had been measured."""
        modes = ModeTable.of(self._pending.modes, self.knobs)
        told = [view(modes) for view in views]
        table = self._trials.table
        logs = {
            q.column: np.mean([np.log(p.of(q).value) for p in told], axis=0)
            for q in (TIME, POWER)
            if table is None or table.has(q)
        }
        known = self._trials.profiles[:1]
        device, workload = (known[0].device, known[0].workload) if known else ("board", "workload")
        return [
            Profile(
                device=device,
                workload=workload,
                mode=mode,
                values={column: math.exp(log[i]) for column, log in logs.items() if np.isfinite(log[i])},
            )
            for i, mode in enumerate(modes)
        ]

    def _bases(self, best: int) -> list[int]:
        """Return the rows of the measured modes whose neighbours are looked at in a large space."""
        if self.goal.objective != FRONT:
            return [best]
        rows = self._trials.front()
        return [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, BASES).astype(int))]

    def _is_worth(self, gain: float, cost_s: float) -> bool:
        """Tell whether an expected gain, a share of the objective, pays for a trial."""
        if math.isinf(self.budget.minibatches_left) or self.goal.objective == FRONT:
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
