"""Driving a fleet: batches out to boards, profiles into a store, on whatever engine carries the fleet."""

from __future__ import annotations

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, final

from powertrain.dataset import AbstractStore
from powertrain.errors import (
    DataError,
    DeviceError,
    FleetError,
    PowerTrainError,
    UnknownModeError,
)
from powertrain.fleet._board import BoardFacts, Draw, Order, Work
from powertrain.fleet._joining import clock_remark, differs, same_kind
from powertrain.fleet._spread import Spread, spread_of
from powertrain.fleet._sweep import BATCH, BOARD, Sweep, usual_shared
from powertrain.planning import Sampling
from powertrain.profiling import Procedure, RunOptions
from powertrain.progress import Progress
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.wording import counted

__all__ = [
    "Died",
    "Engine",
    "FleetOptions",
    "FleetProfiled",
    "Happened",
    "Sharing",
    "Wanted",
    "profile_fleet",
    "sharing",
]

logger = logging.getLogger(__name__)

LOOK_S = 2.0
"""Between two looks at which boards are there."""
WAIT_S = 0.5
AGAIN_S = 10.0
"""After which a board that died is asked again, if its engine says that it is there."""
MOST_CLOCK_S = 2.0
"""By which the clocks of two machines may differ without a word."""
MOST_CRASHES = 3
"""Crashes one after the other, without a profile between, after which a board is left out."""


class Died(PowerTrainError):  # noqa: N818  # it happens to boards
    """A board's process or its whole machine is gone."""


@final
@dataclass(frozen=True, kw_only=True)
class Happened:
    """Something that became of an order: a profile, an error, or neither where it has ended well."""

    board: str
    profile: Profile | None = None
    error: Exception | None = None


class Engine(Protocol):
    """What carries a fleet: it knows which boards are there, and has them do things.

    A board is known by a name that it keeps when it comes back.
    """

    @abstractmethod
    def boards(self) -> Sequence[str]:
        """Return the boards that are there now."""

    @abstractmethod
    def facts(self, boards: Iterable[str]) -> Mapping[str, BoardFacts | Exception]:
        """Ask boards, all at once, what they are."""

    @abstractmethod
    def planned(self, board: str, work: Work, draw: Draw) -> ModeTable:
        """Have a board plan; see `powertrain.fleet.planned`."""

    @abstractmethod
    def submit(self, board: str, order: Order) -> None:
        """Have a board measure a batch; it has none now."""

    @abstractmethod
    def wait(self, timeout_s: float) -> Sequence[Happened]:
        """Return what has happened; wait for something so long at most [s].

        After an error (`Died`, or what the board raised) or an end the board has no order any more.
        """

    @abstractmethod
    def drop(self, board: str) -> None:
        """Forget the order of a board that is gone."""

    @abstractmethod
    def cancel(self) -> Sequence[Happened]:
        """End all orders, and wait until the boards are restored; return what was finished meanwhile."""


@final
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The modes that a sweep is over: a number of them, all (None), or a table."""

    number: int | None = None
    or_all: bool = False
    """Whether all will do where there are fewer."""
    listed: Callable[[Sequence[str]], ModeTable] | None = None
    """Returns the modes, by the names of the knobs."""
    sampling: Sampling = "spread"


@final
@dataclass(frozen=True, kw_only=True)
class FleetOptions:
    """How a fleet measures."""

    procedure: Procedure = field(default_factory=Procedure)
    shared: int | None = None
    """Modes that every board measures; so many as add a fifth at most if None."""
    batch: int = BATCH
    """Most modes of a batch."""
    seed: int = 0
    again: bool = False
    retry_flagged: bool = False
    step_limit_s: float | None = None
    progress: Progress | None = None
    say: Callable[[str], object] = lambda text: logger.warning("%s", text)
    """Told of boards that come, go, or are left out, a line each."""

    def order(self, work: Work, model: BoardFacts, modes: Sequence[PowerMode]) -> Order:
        """Return what a board is asked to measure; `model` is one of the boards that it is for."""
        return Order(
            work=work,
            modes=tuple(modes),
            kind=model.kind,
            procedure=self.procedure,
            step_limit_s=self.step_limit_s,
        )


@final
@dataclass(frozen=True, kw_only=True)
class FleetProfiled:
    """What a sweep over a fleet did."""

    device: str
    simulated: bool
    workload: str
    measured: int
    """Profiles that were measured now."""
    kept: int
    """Modes that the store had already."""
    flagged: int
    shared: int
    """Modes that every board measured."""
    boards: Mapping[str, int]
    """How many profiles each board has measured now."""
    lost: tuple[str, ...]
    """Boards that died meanwhile; what they had not finished, others measured."""
    given_up: int
    """Modes that nobody measured, because board after board died in them."""
    device_s: float
    """Time that the measuring took on all boards together [s]."""
    took_s: float
    """Time that it took all in all [s]."""
    spread: Spread
    """How the boards differ, by all profiles of the workload that the store has now."""


def found_boards(
    engine: Engine, say: Callable[[str], object]
) -> tuple[BoardFacts, dict[str, BoardFacts], set[str]]:
    """Ask all boards what they are; return what most of them are, those that are it, and the others.

    Raises:
        FleetError: No board is there, or none can be used.
    """
    there = list(engine.boards())
    if not there:
        raise FleetError(
            "the cluster has no board of this kind: run what powertrain fleet join prints on each board"
        )
    answers = _asked(engine, there, say)
    model, others = same_kind(answers)
    if model is None:
        raise FleetError(f"none of {counted(len(there), 'board')} can be used: see the lines above")
    for line in others.values():
        say(line)
    equal = {board: found for board, found in answers.items() if board not in others}
    return model, equal, {*there} - {*equal}


def _asked(engine: Engine, boards: Iterable[str], say: Callable[[str], object]) -> dict[str, BoardFacts]:
    asked_s, usable = time.time(), dict[str, BoardFacts]()
    answers = engine.facts(boards)
    answered_s = time.time()
    for board, answer in answers.items():
        if isinstance(answer, Exception):
            say(f"{board} is left out: {answer}")
            continue
        usable[board] = answer
        remark = clock_remark(
            board, answer.time_s, asked_s=asked_s, answered_s=answered_s, most_s=MOST_CLOCK_S
        )
        if remark:
            say(remark)
    return usable


def profile_fleet(
    engine: Engine, work: Work, wanted: Wanted, store: AbstractStore, options: FleetOptions
) -> FleetProfiled:
    """Share a sweep over all equal boards of an engine; keep each profile at once.

    A sweep that was stopped, by whatever means, goes on where it was. Boards may come and go meanwhile.

    Raises:
        FleetError: There is no board, or none is left; what was finished is in the store.
        PowerTrainError: The training fails, on whichever board.
    """
    run = _Run(engine, work, wanted, store, options)
    try:
        return run.go()
    finally:
        run.rescue(engine.cancel())


@final
@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How a sweep would be shared out, were it begun now."""

    device: str
    simulated: bool
    workload: str
    boards: tuple[str, ...]
    modes: int
    """Different modes."""
    kept: int
    """Of these, modes that the store has already."""
    shared: int
    """Modes that every board measures."""
    measurements: int
    """Still to be made, by all boards together."""


def sharing(
    engine: Engine, work: Work, wanted: Wanted, store: AbstractStore, options: FleetOptions
) -> Sharing:
    """Tell how a sweep would be shared out; nothing is measured.

    Raises:
        FleetError: There is no board.
        PowerTrainError: The boards lack the workload or the modes.
    """
    return _Run(engine, work, wanted, store, options).sharing()


@final
class _Run:
    """One sweep as it goes."""

    def __init__(
        self, engine: Engine, work: Work, wanted: Wanted, store: AbstractStore, options: FleetOptions
    ) -> None:
        self._engine, self._work, self._store, self._how = engine, work, store, options
        self._started_s = time.monotonic()
        self._model, there, self._left_out = found_boards(engine, options.say)
        self._name = work.profiles_name
        modes = self._modes(wanted, sorted(there)[0])
        shared = usual_shared(len(modes), len(there)) if options.shared is None else options.shared
        self._sweep = Sweep(modes, shared=min(shared, len(modes)), batch=options.batch, seed=options.seed)
        known = RunOptions(again=options.again, retry_flagged=options.retry_flagged).known(
            store.profiles(device=self._model.device, workload=self._name), rails=self._model.rails
        )
        self._kept, self._total = self._sweep.recall(known), len(modes)
        self._lost: list[str] = []
        self._crashes: dict[str, int] = {}
        self._idle, self._busy = list[str](), set[str]()
        self._away: dict[str, float] = {}
        """Boards that were there a moment ago, and when they may be asked again."""
        self._begun = False
        self._measured: list[Profile] = []
        self._looked_s = time.monotonic()
        for board in sorted(there):
            self._take_in(board)

    def _modes(self, wanted: Wanted, board: str) -> ModeTable:
        if wanted.listed is not None:
            modes = wanted.listed([name for name, _ in self._model.knobs])
        else:
            draw = Draw(
                number=wanted.number, or_all=wanted.or_all, sampling=wanted.sampling, seed=self._how.seed
            )
            modes = self._engine.planned(board, self._work, draw)
        distinct = list(dict.fromkeys(modes))
        if not distinct:
            raise DataError("there are no modes to measure")
        for mode in distinct if wanted.listed is not None else ():
            if mode not in self._model.space:
                raise UnknownModeError(f"{self._model.device} has no mode {mode}: give modes that it has")
        return ModeTable.of(distinct, modes.knobs)

    def sharing(self) -> Sharing:
        """Tell how the sweep would be shared out."""
        return Sharing(
            device=self._model.device,
            simulated=self._model.simulated,
            workload=self._name,
            boards=tuple(sorted(self._idle)),
            modes=self._total,
            kept=self._kept,
            shared=len(self._sweep.shared),
            measurements=self._sweep.left if self._sweep.missing else 0,
        )

    def go(self) -> FleetProfiled:
        """Measure everything."""
        if self._sweep.missing:
            self._store.refuse_read_only()
        # A sweep that is complete is not gone on with, even if a board has not measured all shared modes.
        while self._sweep.left if self._begun else self._sweep.missing:
            self._begun = True
            self._look()
            self._hand_out()
            if self._busy:
                for happened in self._engine.wait(WAIT_S):
                    self._take(happened)
            elif self._idle:
                break
            elif self._away:
                time.sleep(WAIT_S)
            else:
                raise self._nobody_left()
        return self._summary()

    def rescue(self, happened: Iterable[Happened]) -> None:
        """Keep the profiles that came in while everything was being ended."""
        for one in happened:
            if one.profile is not None:
                self._keep(one.board, one.profile)

    def _hand_out(self) -> None:
        for board in tuple(self._idle):
            batch = self._sweep.take(board)
            if batch is None:
                continue
            self._idle.remove(board)
            self._busy.add(board)
            self._engine.submit(board, self._how.order(self._work, self._model, batch.modes))

    def _take(self, happened: Happened) -> None:
        board = happened.board
        if happened.profile is not None:
            self._keep(board, happened.profile)
            return
        if board not in self._busy:
            return
        self._busy.discard(board)
        if happened.error is None:
            self._sweep.ended(board)
            self._idle.append(board)
        elif isinstance(happened.error, Died):
            self._died(board, str(happened.error))
        elif isinstance(happened.error, FleetError | DeviceError):
            back = self._sweep.lost(board, died=False)
            self._left_out.add(board)
            self._how.say(f"{board} is left out: {happened.error}; {counted(back, 'mode')} go to others")
        else:
            raise happened.error

    def _keep(self, board: str, profile: Profile) -> None:
        profile = replace(profile, extra={**profile.extra, BOARD: board})
        self._store.add([profile])
        self._measured.append(profile)
        self._sweep.done(board, profile.mode)
        self._crashes[board] = 0
        if self._how.progress is not None:
            done = len(self._measured)
            self._how.progress(done, done + self._sweep.left, f"{self._name} on {board}")

    def _died(self, board: str, why: str) -> None:
        back = self._sweep.lost(board)
        self._busy.discard(board)
        if board in self._idle:
            self._idle.remove(board)
        self._lost.append(board)
        self._away[board] = time.monotonic() + AGAIN_S
        self._crashes[board] = self._crashes.get(board, 0) + 1
        if self._crashes[board] >= MOST_CRASHES:
            self._left_out.add(board)
            self._away.pop(board)
        self._how.say(f"{board} is gone ({why}): {counted(back, 'mode')} of its batch go to others")

    def _look(self) -> None:
        """Notice boards that have come or gone, now and then; at once if nobody is there."""
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S and (self._busy or self._idle or self._away):
            return
        self._looked_s = now_s
        there = set(self._engine.boards())
        for board in sorted({*self._busy, *self._idle} - there):
            self._engine.drop(board)
            self._died(board, "its machine does not answer")
        self._away = {board: again_s for board, again_s in self._away.items() if board in there}
        waiting = {board for board, again_s in self._away.items() if again_s > now_s}
        new = sorted(there - self._busy - {*self._idle} - self._left_out - waiting)
        for board, found in (_asked(self._engine, new, self._how.say) if new else {}).items():
            self._away.pop(board, None)
            if line := differs(board, found, self._model):
                self._how.say(line)
            else:
                self._take_in(board)
        self._left_out |= {board for board in new if board not in self._idle}

    def _take_in(self, board: str) -> None:
        self._sweep.add(board)
        self._idle.append(board)

    def _nobody_left(self) -> FleetError:
        kept = f"what is finished is kept in {self._store.location}"
        return FleetError(
            f"no board is left, and {counted(self._sweep.missing, 'mode')} are not measured; {kept}: the "
            "same command goes on from there"
        )

    def _summary(self) -> FleetProfiled:
        by_board = dict.fromkeys(sorted({p.extra[BOARD] for p in self._measured}), 0)
        for profile in self._measured:
            by_board[profile.extra[BOARD]] += 1
        every = self._store.profiles(device=self._model.device, workload=self._name)
        return FleetProfiled(
            device=self._model.device,
            simulated=self._model.simulated,
            workload=self._name,
            measured=len(self._measured),
            kept=self._kept,
            flagged=sum(bool(profile.flags) for profile in self._measured),
            shared=len(self._sweep.shared),
            boards=by_board,
            lost=tuple(dict.fromkeys(self._lost)),
            given_up=len(self._sweep.given_up),
            device_s=sum(p.duration_s for p in self._measured if math.isfinite(p.duration_s)),
            took_s=time.monotonic() - self._started_s,
            spread=spread_of(every),
        )
