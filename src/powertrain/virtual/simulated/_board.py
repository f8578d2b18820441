"""A simulated board as a device: it takes time to train, has a state, and is read through sensors."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices._base import (
    SIMULATED_SUFFIX,
    AbstractLiveDevice,
    AbstractTabulatedDevice,
    PowerReading,
    check_mode,
)
from powertrain.devices._clock import Clock, VirtualClock
from powertrain.devices._hold import Holder, Settings
from powertrain.errors import DeviceError, UnknownModeError
from powertrain.files import read_file, real_path, write_file
from powertrain.records import FloatArray, ModeTable, PowerMode, ProfileTable
from powertrain.space import Knob, ModeSpace
from powertrain.units import ms_from_s, s_from_ms
from powertrain.virtual.simulated._disturbances import Chance, Disturbances
from powertrain.virtual.simulated._mechanism import Mechanism, OperatingPoints, settled_power_w
from powertrain.virtual.simulated._records import COMPONENTS, Board
from powertrain.virtual.simulated._state import Point, Setting, State
from powertrain.workloads import STUDY, Job, Workload, find_workload

__all__ = ["SimulatedBoard"]

MEASURED_MINIBATCHES = 39
"""That a measurement by itself averages over: the paper's 40 without the first."""

LARGEST_STATE_BYTES = 1 << 16


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Points:
    """Operating points of all modes of the space, for one workload or at rest."""

    time_s: npt.NDArray[np.float64]
    dynamic_w: FloatArray
    leakage_w: FloatArray
    settled_w: FloatArray
    """`(n, 6)` power once warm."""
    settled_c: FloatArray

    def point(self, row: int) -> Point:
        """Return one of them."""
        return Point(
            time_s=float(self.time_s[row]),
            dynamic_w=self.dynamic_w[row],
            leakage_w=self.leakage_w[row],
            settled_w=self.settled_w[row],
            settled_c=float(self.settled_c[row]),
        )


@final
class SimulatedBoard(AbstractTabulatedDevice, AbstractLiveDevice):
    """A Jetson made of formulas (`docs/simulated-boards.md`). It works like hardware.

    Beyond the contract it knows the truth, which no real board tells.
    """

    def __init__(
        self,
        board: Board,
        *,
        clock: Clock | None = None,
        disturbances: Disturbances | None = None,
        seed: int = 0,
        spec: str | None = None,
        state_file: Path | None = None,
    ) -> None:
        """Start the board, at rest and warm in the stock mode that it boots in.

        Args:
            board: One of `BOARDS`.
            clock: A virtual one by default, on which hours cost nothing.
            disturbances: All of them, as on a board, by default.
            seed: Names the run of chance.
            spec: What opens the device again, where that is more than the board's spec.
            state_file: Where its mode is kept, as hardware keeps it, beyond the death of the process; the
                board starts in the mode that is found there.
        """
        self.name = board.title + SIMULATED_SUFFIX
        self.spec = spec or board.spec
        self.simulated = True
        self.space = board.space
        self.clock = VirtualClock() if clock is None else clock
        self.disturbances = Disturbances() if disturbances is None else disturbances
        self._board, self._mechanism = board, Mechanism(board)
        self._of_rails = np.array(
            [[c in rail.components for c in COMPONENTS] for rail in board.rails], dtype=float
        )
        self._steps_w = np.array([rail.step_w for rail in board.rails])
        # As on a real board: one rail carries all, or the total is the sum of every rail.
        total = [rail.role == "total" for rail in board.rails]
        self._of_total = np.array(total if any(total) else [True] * len(total))
        self._points: dict[str | None, _Points] = {}
        self._gated: dict[tuple[str | None, Setting], Point] = {}
        boot = board.stock[board.default_stock]
        self._state = State(
            clock=self.clock,
            chance=Chance(self.disturbances, seed),
            heat=board.heat,
            greatest_w=self._greatest_power_w(),
            point_at=self._point_at,
            setting=Setting(row=self.space.index(boot.mode), tpcs=boot.tpcs),
        )
        self.rails = tuple(
            rail.label for rail, summed in zip(board.rails, self._of_total, strict=True) if summed
        )
        settings = _BoardSettings(self._state, self.space, self.name, state_file)
        # Boards in memory are each their own; one in a file is the same to every process that opens it.
        key = f"{board.spec} of {real_path(state_file)}" if state_file else board.spec
        private = state_file is None
        self._holder = Holder(settings, name=self.name, spec=self.spec, key=key, private=private)

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        if workload is not None:
            self._check_workload(workload)
        return self.space.table()

    @override
    def workloads(self) -> tuple[str, ...]:
        return STUDY

    @override
    def _check_workload(self, workload: str) -> None:
        self._workload(workload)

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        return {name: stock.mode for name, stock in self._board.stock.items()}

    @override
    def measure(self, workload: str, modes: ModeTable, *, seed: int = 0) -> ProfileTable:
        """Return what measuring each mode by itself gives, the board warm (see `AbstractDevice`).

        The truth, with the noise of a visit and of the minibatches, read from rails with their steps.
        `powertrain.profiling.profile_modes` measures one mode after the other as on hardware.
        """
        exact = self.truth(workload, modes)
        given = self.disturbances
        # One draw for every mode of the space, then a look-up: a mode's noise cannot depend on its company.
        rng = np.random.default_rng([seed, zlib.crc32(workload.encode())])
        row = self._rows(exact.modes)
        draws = rng.standard_normal((len(self.space), 2))[row]
        time_sd = math.hypot(given.visit_time_rel_sd, given.step_noise_rel_sd / MEASURED_MINIBATCHES**0.5)
        rails_w = self._points_of(workload).settled_w[row] @ self._of_rails.T
        rails_w = rails_w * np.exp(given.visit_power_rel_sd * draws[:, 1:])
        if given.quantised:
            rails_w = self._steps_w * np.round(rails_w / self._steps_w)
        return ProfileTable(
            device=self.name,
            workload=workload,
            modes=exact.modes,
            time_ms=exact.time_ms * np.exp(time_sd * draws[:, 0]),
            power_w=rails_w[:, self._of_total].sum(axis=1),
            ends=self.space.ends(),
        )

    @override
    def notes(self) -> tuple[str, ...]:
        return (
            "Simulated: no number of it is a measurement; docs/simulated-boards.md says what it is worth.",
            *self._board.notes,
        )

    @override
    def read_power(self) -> PowerReading:
        rails_w = self._of_rails @ self._state.sensed_w()
        if self.disturbances.quantised:
            rails_w = self._steps_w * np.round(rails_w / self._steps_w)
        labels = [rail.label for rail in self._board.rails]
        return PowerReading(
            time_s=self.clock.now_s(),
            rails_w=dict(zip(labels, rails_w.tolist(), strict=True)),
            power_w=float(rails_w[self._of_total].sum()),
        )

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        self._check_workload(workload)
        if data is not None:
            raise DeviceError(f"{self.name} trains on no data: leave {data} out")
        return _SimulatedJob(workload, self._state)

    @override
    def throttle_count(self) -> int:
        return self._state.throttle_count

    @override
    def temperature_c(self) -> float:
        return self._state.celsius()

    @override
    def environment(self) -> Mapping[str, str]:
        return {}

    @property
    def mode(self) -> PowerMode:
        """The mode that is set now: a stock mode, unless one is held."""
        return self.space[self._state.setting.row]

    def truth(self, workload: str, modes: ModeTable) -> ProfileTable:
        """Return mean time [ms] and power [W] once warm, undisturbed; otherwise as `measure`."""
        own = self._in_own_order(modes)
        points, row = self._points_of(workload), self._rows(own)
        return ProfileTable(
            device=self.name,
            workload=workload,
            modes=own,
            time_ms=ms_from_s(points.time_s[row]),
            power_w=points.settled_w[row].sum(axis=1),
            ends=self.space.ends(),
        )

    def stock_truth(self, workload: str) -> dict[str, tuple[float, float]]:
        """Return true time [ms] and power [W] of each stock mode, parts of the GPU gated as it prescribes."""
        # Stock modes switch clusters of the GPU off, which no knob does, so they are computed one by one.
        job = self._workload(workload)
        found: dict[str, tuple[float, float]] = {}
        for name, stock in self._board.stock.items():
            points = self._mechanism.running(job, ModeTable.of([stock.mode]), tpcs=stock.tpcs)
            power_w, _ = settled_power_w(points, self._board.heat)
            found[name] = float(points.time_ms[0]), float(power_w.sum())
        return found

    def idle_power_w(self, modes: ModeTable) -> FloatArray:
        """Return the power [W] at rest in each mode once warm, `(n,)`."""
        return self._points_of(None).settled_w[self._rows(self._in_own_order(modes))].sum(axis=1)

    def rails_w(self, workload: str | None, modes: ModeTable) -> dict[str, FloatArray]:
        """Return the true power [W] on each rail, `(n,)` each, while training or (None) at rest."""
        settled_w = self._points_of(workload).settled_w[self._rows(self._in_own_order(modes))]
        columns = self._of_rails @ settled_w.T
        return {rail.label: column for rail, column in zip(self._board.rails, columns, strict=True)}

    def _workload(self, name: str) -> Workload:
        return find_workload(name)

    def _points_of(self, workload: str | None) -> _Points:
        """Return the operating points of the whole space, computed once for each workload."""
        if workload not in self._points:
            modes = self.space.table()
            points = (
                self._mechanism.idle(modes)
                if workload is None
                else self._mechanism.running(self._workload(workload), modes)
            )
            self._points[workload] = self._settled(points)
        return self._points[workload]

    def _point_at(self, workload: str | None, setting: Setting) -> Point:
        """Return the operating point of a setting, for a workload or at rest."""
        if setting.tpcs in (None, self._board.gpu.tpcs):
            return self._points_of(workload).point(setting.row)
        key = workload, setting
        if key not in self._gated:
            modes = self.space.table([setting.row])
            points = (
                self._mechanism.idle(modes, tpcs=setting.tpcs)
                if workload is None
                else self._mechanism.running(self._workload(workload), modes, tpcs=setting.tpcs)
            )
            self._gated[key] = self._settled(points).point(0)
        return self._gated[key]

    def _settled(self, points: OperatingPoints) -> _Points:
        settled_w, settled_c = settled_power_w(points, self._board.heat)
        return _Points(
            time_s=s_from_ms(points.time_ms),
            dynamic_w=points.dynamic_w,
            leakage_w=points.leakage_w,
            settled_w=settled_w,
            settled_c=settled_c,
        )

    def _greatest_power_w(self) -> float:
        """Return the power of the hungriest workload at the top of all knobs."""
        top = self.space.table([len(self.space) - 1])
        points = (self._mechanism.running(find_workload(name), top) for name in STUDY)
        return max(float(settled_power_w(p, self._board.heat)[0].sum()) for p in points)

    def _rows(self, modes: ModeTable) -> npt.NDArray[np.int64]:
        """Return the place of each mode in the space; a value off the tables is refused."""
        row = np.zeros(len(modes), dtype=np.int64)
        for knob in self.space.knobs:
            row = row * len(knob.values) + _positions(knob, modes.column(knob.name), self.name)
        return row


@final
class _SimulatedJob(Job):
    """A workload on a simulated board."""

    def __init__(self, workload: str, state: State) -> None:
        self.workload = workload
        self._state = state

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        pass  # all its knobs are the board's

    @override
    def step(self) -> None:
        self._state.step(self.workload)

    @override
    def close(self) -> None:
        pass  # it holds nothing

    @override
    def description(self) -> Mapping[str, str]:
        return {}


@final
class _BoardSettings(Settings):
    """The board's mode, which a file keeps as hardware would."""

    def __init__(self, state: State, space: ModeSpace, name: str, file: Path | None) -> None:
        self.outlives_process = file is not None
        self._state, self._space, self._name, self._file = state, space, name, file
        if file is not None and file.exists():
            try:
                self._state.change(
                    _setting_from(json.loads(read_file(file, most_bytes=LARGEST_STATE_BYTES)), len(space))
                )
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DeviceError(f"{file} holds no state of {name} ({error}): delete it") from error

    @override
    def check(self, mode: PowerMode) -> None:
        check_mode(mode, self._space, self._name)

    @override
    def check_some(self, mode: PowerMode) -> None:
        check_mode(mode, self._space, self._name, some=True)

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        present = self._space[self._state.setting.row]
        return {name: (value, value) for name, value in present.items()}

    @override
    def save(self) -> Mapping[str, Any]:
        setting = self._state.setting
        return {"row": setting.row, "tpcs": setting.tpcs}

    @override
    def write(self, mode: PowerMode) -> None:
        self._change(Setting(row=self._space.index(self._completed(mode)), held=True))

    @override
    def lost(self, mode: PowerMode) -> str:
        row = self._state.setting.row
        kept = row == self._space.index(self._completed(mode))
        return "" if kept else f"the board is in {self._space[row]}"

    def _completed(self, mode: PowerMode) -> PowerMode:
        """Return a mode with the knobs that it lacks as they are now."""
        return self._space[self._state.setting.row].replace(**mode)

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self._change(_setting_from(saved, len(self._space)))

    def _change(self, setting: Setting) -> None:
        self._state.change(setting)
        if self._file is not None:
            # Replaced at once: hardware, too, is in one mode or in another when its user is killed.
            # It need not outlive this machine's boot either.
            write_file(self._file, json.dumps(self.save()), follow_links=False, durable=False)


def _setting_from(saved: Mapping[str, Any], modes: int) -> Setting:
    row, tpcs = int(saved["row"]), saved["tpcs"]
    if not 0 <= row < modes:
        raise ValueError(f"there is no mode {row}")
    return Setting(row=row, tpcs=None if tpcs is None else int(tpcs))


def _positions(knob: Knob, column: FloatArray, device: str) -> npt.NDArray[np.int64]:
    """Return for each value its place in the knob's table (to 1 part in 10^9)."""
    table = np.asarray(knob.values)
    middles = (table[1:] + table[:-1]) / 2
    place = np.searchsorted(middles, column)
    off = ~np.isclose(table[place], column, rtol=1e-9, atol=0)
    if off.any():
        asked, near = column[off][0], table[place][off][0]
        raise UnknownModeError(f"{device} has no {knob.name}={asked:.10g}: the nearest is {near:.10g}")
    return place.astype(np.int64)
