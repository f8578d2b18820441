"""A simulated board on which things go wrong at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from powertrain.devices import AbstractLiveDevice, Clock, Holder, PowerReading, Settings
from powertrain.opening import open_device
from powertrain.records import ModeTable, PowerMode
from powertrain.virtual import SimulatedBoard
from powertrain.workloads import Job


class JumpingClock(Clock):
    """A clock that is moved by hand now and then."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.moved_s = clock, 0.0

    @override
    def now_s(self) -> float:
        return self.clock.now_s() + self.moved_s

    @override
    def sleep_s(self, duration_s: float) -> None:
        self.clock.sleep_s(duration_s)

    @override
    def every(self, period_s: float, call: Callable[[], None]):
        return self.clock.every(period_s, call)


class FaultyBoard(AbstractLiveDevice):
    """Passes everything on to a board; `at_step`, `at_reading` and `at_write` may raise.

    They are given how often that has happened before.
    """

    def __init__(self, spec: str = "sim:orin-nano") -> None:
        board = open_device(spec)
        assert isinstance(board, SimulatedBoard)
        self.board = board
        self.name, self.spec, self.simulated = board.name, spec, True
        self.space, self.rails = board.space, board.rails
        self.clock = JumpingClock(board.clock)
        self.at_step: Callable[[int], None] = lambda _: None
        self.at_reading: Callable[[int], None] = lambda _: None
        self.at_write: Callable[[PowerMode], None] = lambda _: None
        self.undone = ""
        self.steps = self.readings = self.prepared = 0
        self._holder = Holder(_Passed(self), name=self.name, spec=spec)

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        return self.board.modes(workload=workload)

    @override
    def workloads(self) -> tuple[str, ...]:
        return self.board.workloads()

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        return self.board.stock_modes()

    @override
    def notes(self) -> tuple[str, ...]:
        return ("Things go wrong here.",)

    @override
    def read_power(self) -> PowerReading:
        self.readings += 1
        self.at_reading(self.readings - 1)
        reading = self.board.read_power()
        return PowerReading(time_s=self.clock.now_s(), rails_w=reading.rails_w, power_w=reading.power_w)

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        return FaultyJob(self, self.board.job(workload, data=data))

    @override
    def throttle_count(self) -> int:
        return self.board.throttle_count()

    @override
    def temperature_c(self) -> float:
        return self.board.temperature_c()

    @override
    def environment(self) -> Mapping[str, str]:
        return {}


class FaultyJob(Job):
    def __init__(self, board: FaultyBoard, job: Job) -> None:
        self.workload, self._board, self._job = job.workload, board, job

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        self._board.prepared += 1

    @override
    def step(self) -> None:
        self._board.steps += 1
        self._board.at_step(self._board.steps - 1)
        self._job.step()

    @override
    def close(self) -> None:
        self._job.close()

    @override
    def description(self) -> Mapping[str, str]:
        return {"told": "by the job"}


class _Passed(Settings):
    """The board's own settings, with something in between."""

    outlives_process = False

    def __init__(self, board: FaultyBoard) -> None:
        self._board = board
        self._held: Any = None

    @override
    def check(self, mode: PowerMode) -> None:
        self._board.board.space.index(mode)

    @override
    def save(self) -> Mapping[str, Any]:
        return {}

    @override
    def write(self, mode: PowerMode) -> None:
        self._held = self._board.board.hold(mode)
        self._held.__enter__()
        self._board.at_write(mode)

    @override
    def lost(self, mode: PowerMode) -> str:
        return self._board.undone

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self._held.__exit__(None, None, None)
