"""Tuning on a fleet: equal boards try modes at the same time, and the best one is good for all of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import final

from powertrain.dataset import AbstractStore
from powertrain.errors import DeviceError, FleetError, LargeSpaceError
from powertrain.fleet._board import Draw, Work
from powertrain.fleet._driver import Died, Engine, FleetOptions, Happened, found_boards
from powertrain.fleet._sweep import BOARD
from powertrain.records import PowerMode, Profile
from powertrain.tuning import Budget, Decision, Goal, Tuner
from powertrain.wording import counted

__all__ = ["FleetTuned", "tune_fleet"]

WAIT_S = 0.5


@final
@dataclass(frozen=True, kw_only=True)
class FleetTuned:
    """What a tuning on a fleet found."""

    device: str
    spec: str
    simulated: bool
    workload: str
    decision: Decision
    trials: tuple[Profile, ...]
    """In the order in which they ended, those of an earlier run first."""
    recalled: int
    boards: Mapping[str, int]
    """How many trials each board has made now."""
    lost: tuple[str, ...]
    took_s: float


def tune_fleet(
    engine: Engine, work: Work, goal: Goal, store: AbstractStore, options: FleetOptions, *, trials: int = 15
) -> FleetTuned:
    """Find the best mode of a workload under limits; all boards try modes at the same time.

    A board tries one mode after the other. Each is chosen as if those that are being tried had given what is
    predicted of them (`powertrain.tuning.Tuner.propose`). A board that dies gives its mode to another.

    Raises:
        FleetError: There is no board, or none is left; what was finished is in the store.
        PowerTrainError: The training fails, on whichever board.
    """
    run = _Run(engine, work, goal, store, options, trials)
    try:
        return run.go()
    finally:
        run.rescue(engine.cancel())


@final
class _Run:
    """One tuning as it goes."""

    def __init__(
        self,
        engine: Engine,
        work: Work,
        goal: Goal,
        store: AbstractStore,
        options: FleetOptions,
        trials: int,
    ) -> None:
        self._engine, self._work, self._store, self._how = engine, work, store, options
        self._started_s = time.monotonic()
        self._model, there, _ = found_boards(engine, options.say)
        first = sorted(there)[0]
        try:
            modes = engine.planned(first, work, Draw(seed=options.seed))
        except LargeSpaceError:
            modes = self._model.space
        # The spread between boards is not taken out of trials: too few are made to know it.
        self._tuner = Tuner(modes, goal, budget=Budget(most_trials=trials), seed=options.seed)
        before = store.profiles(device=self._model.device, workload=work.profiles_name)
        # The database may hold a whole sweep, and then the best mode is known without a trial.
        self._trials = [] if options.again else [p for p in before if set(p.mode) == set(self._tuner.knobs)]
        self._recalled = self._tuner.recall(self._trials)
        self._most = trials
        self._idle, self._todo = sorted(there), list[PowerMode]()
        self._busy = set[str]()
        self._trying: dict[str, PowerMode] = {}
        """Modes that are not known yet, by the board that tries them."""
        self._made: dict[str, int] = dict.fromkeys(sorted(there), 0)
        self._lost: list[str] = []
        store.refuse_read_only()

    def go(self) -> FleetTuned:
        while True:
            self._hand_out()
            if not self._busy:
                if not self._idle and (self._todo or self._tuner.propose(1)):
                    raise self._nobody_left()
                break
            for board in sorted(self._busy - {*self._engine.boards()}):
                self._engine.drop(board)
                self._died(board, "its machine does not answer")
            for happened in self._engine.wait(WAIT_S):
                self._take(happened)
        return self._summary()

    def rescue(self, happened: Iterable[Happened]) -> None:
        """Keep the profiles that came in while everything was being ended."""
        for one in happened:
            if one.profile is not None:
                self._keep(one.board, one.profile)

    def _hand_out(self) -> None:
        while self._idle:
            if not self._todo:
                self._todo += self._tuner.propose(1)
            if not self._todo:
                return
            board, mode = self._idle.pop(0), self._todo.pop(0)
            self._trying[board] = mode
            self._busy.add(board)
            self._engine.submit(board, self._how.order(self._work, self._model, (mode,)))

    def _take(self, happened: Happened) -> None:
        board = happened.board
        if happened.profile is not None:
            self._keep(board, happened.profile)
        elif happened.error is None:
            self._give_back(board)
            self._idle.append(board)
        elif isinstance(happened.error, Died):
            self._died(board, str(happened.error))
        elif isinstance(happened.error, FleetError | DeviceError):
            self._give_back(board)
            self._how.say(f"{board} is left out: {happened.error}; its mode goes to another")
        else:
            raise happened.error

    def _keep(self, board: str, profile: Profile) -> None:
        profile = replace(profile, extra={**profile.extra, BOARD: board})
        self._store.add([profile])
        self._tuner.tell(profile)
        self._trials.append(profile)
        self._trying.pop(board, None)
        self._made[board] = self._made.get(board, 0) + 1
        if self._how.progress is not None:
            self._how.progress(len(self._trials), self._most, f"{self._work.profiles_name} on {board}")

    def _died(self, board: str, why: str) -> None:
        self._lost.append(board)
        self._give_back(board)
        self._how.say(f"{board} is gone ({why}): its mode goes to another")

    def _give_back(self, board: str) -> None:
        self._busy.discard(board)
        mode = self._trying.pop(board, None)
        if mode is not None:
            self._todo.append(mode)

    def _nobody_left(self) -> FleetError:
        return FleetError(
            f"no board is left after {counted(len(self._trials), 'trial')}; they are kept in "
            f"{self._store.location}: the same command goes on from there"
        )

    def _summary(self) -> FleetTuned:
        return FleetTuned(
            device=self._model.device,
            spec=self._model.spec,
            simulated=self._model.simulated,
            workload=self._work.profiles_name,
            decision=self._tuner.decision(),
            trials=tuple(self._trials),
            recalled=self._recalled,
            boards=self._made,
            lost=tuple(self._lost),
            took_s=time.monotonic() - self._started_s,
        )
