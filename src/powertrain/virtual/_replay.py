"""A device made of profiles that somebody has already measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices._base import (
    AbstractLiveDevice,
    AbstractTabulatedDevice,
    PowerReading,
    check_mode,
    is_simulated,
)
from powertrain.devices._clock import Clock, VirtualClock
from powertrain.devices._hold import Holder, Settings
from powertrain.errors import DataError, DeviceError, UnknownModeError
from powertrain.records import FloatArray, ModeTable, PowerMode, ProfileTable
from powertrain.space import ModeSpace
from powertrain.units import s_from_ms
from powertrain.workloads import Job

__all__ = ["ReplayDevice"]


@final
class ReplayDevice(AbstractTabulatedDevice, AbstractLiveDevice):
    """Answers from tables of one device; a mode that was not measured is refused.

    Repeated measurements of a mode are averaged. It has no stock modes, because a file does not name them.
    It also runs: its jobs take the recorded time on a virtual clock, at the recorded power, so that
    whatever measures or tunes while it trains can be tried on what was recorded.
    """

    recorded = True

    def __init__(
        self, tables: Iterable[ProfileTable], *, spec: str = "replay:", clock: Clock | None = None
    ) -> None:
        """Build the device from the profiles of its workloads.

        Args:
            tables: One table per workload, all of one device and over the same knobs (in any order).
            spec: What opens the device again.
            clock: A virtual one by default.

        Raises:
            DataError: No table, several devices, a workload twice, or knobs that differ.
        """
        listed = [table.averaged() for table in tables]
        if not listed:
            raise DataError("there is nothing to replay: no profiles were given")
        devices = sorted({table.device for table in listed})
        if len(devices) > 1:
            raise DataError(f"profiles of {len(devices)} devices ({', '.join(devices)}) to replay: give one")
        self.name = devices[0]
        self.spec = spec
        self.simulated = is_simulated(self.name)
        self._tables = {table.workload: _with_knobs(table, listed[0].modes.knobs) for table in listed}
        if len(self._tables) < len(listed):
            raise DataError(f"a workload of {self.name} was given twice: join its profiles into one table")
        knobs = listed[0].modes.knobs
        everything = np.concatenate([table.modes.values for table in self._tables.values()])
        _, first = np.unique(everything, axis=0, return_index=True)
        self._modes = ModeTable(knobs=knobs, values=everything[np.sort(first)])
        self.space = ModeSpace.spanned_by(self._modes)
        self.clock = VirtualClock() if clock is None else clock
        self.rails = ("recorded power",) if any(t.has_power for t in self._tables.values()) else ()
        self._settings = _ReplayedMode(self._modes, self.space, self.name)
        self._holder = Holder(self._settings, name=self.name, spec=spec, private=True)
        self._working: str | None = None

    @property
    def mode(self) -> PowerMode | None:
        """The mode that is held now."""
        return self._settings.mode

    @override
    def read_power(self) -> PowerReading:
        power_w = math.nan
        if self._working is not None and self.mode is not None:
            power_w = float(self._at(self._working, self.mode).power_w[0])
        known = {} if math.isnan(power_w) else {"recorded power": power_w}
        return PowerReading(time_s=self.clock.now_s(), rails_w=known, power_w=power_w)

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        self._check_workload(workload)
        if data is not None:
            raise DeviceError(f"{self.name} trains on no data: leave {data} out")
        if not self._tables[workload].has_time:
            raise DeviceError(f"{workload} was measured on {self.name} without a time, so it cannot be run")
        return _ReplayedJob(workload, self)

    @override
    def throttle_count(self) -> int:
        return 0

    @override
    def temperature_c(self) -> float:
        return math.nan

    @override
    def environment(self) -> Mapping[str, str]:
        return {}

    def train(self, workload: str) -> None:
        """Let the time of one minibatch pass, in the mode that is held."""
        if self.mode is None:
            raise DeviceError(f"{self.name} runs only while a mode is held: hold one")
        self._working = workload
        time_ms = float(self._at(workload, self.mode).time_ms[0])
        if math.isnan(time_ms):
            raise DeviceError(f"{workload} was measured on {self.name} at {self.mode} without a time")
        self.clock.sleep_s(s_from_ms(time_ms))

    def _at(self, workload: str, mode: PowerMode) -> ProfileTable:
        return self.measure(workload, ModeTable.of([mode], self.space.names))

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        if workload is None:
            return self._modes
        self._check_workload(workload)
        return self._tables[workload].modes

    @override
    def workloads(self) -> tuple[str, ...]:
        return tuple(self._tables)

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        return {}

    @override
    def measure(self, workload: str, modes: ModeTable, *, seed: int = 0) -> ProfileTable:
        del seed  # what was measured is not drawn again
        self._check_workload(workload)
        own, table = self._in_own_order(modes), self._tables[workload]
        rows = _rows_of(own.values, table.modes.values)
        if (rows < 0).any():
            absent = own[int(np.argmax(rows < 0))]
            near = table.modes[_nearest(np.array(list(absent.values())), table.modes.values)]
            raise UnknownModeError(
                f"{workload} was not measured on {self.name} at {absent}: the nearest mode measured is {near}"
            )
        return table.take(rows).within(self.space.ends())

    @override
    def notes(self) -> tuple[str, ...]:
        sizes = [len(table) for table in self._tables.values()]
        each = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{sizes[0]:,}"
        lacking = [
            f"No {quantity} was measured for {name}."
            for name, table in self._tables.items()
            for quantity, has in (("time", table.has_time), ("power", table.has_power))
            if not has
        ]
        return (
            "Replays recorded profiles: only the modes in the file can be measured.",
            f"Workloads: {len(sizes)}, in {each} modes each.",
            *lacking,
        )


@final
class _ReplayedMode(Settings):
    """The mode that a replay is in; none unless one is held."""

    outlives_process = False

    def __init__(self, modes: ModeTable, space: ModeSpace, name: str) -> None:
        self.mode: PowerMode | None = None
        self._modes, self._space, self._name = modes, space, name

    @override
    def check(self, mode: PowerMode) -> None:
        check_mode(mode, self._space, self._name)
        own = ModeTable.of([mode], self._space.names).values
        if _rows_of(own, self._modes.values)[0] < 0:
            near = self._modes[_nearest(own[0], self._modes.values)]
            raise UnknownModeError(
                f"{self._name} was not measured at {mode}: the nearest mode measured is {near}"
            )

    @override
    def save(self) -> Mapping[str, Any]:
        return {}

    @override
    def write(self, mode: PowerMode) -> None:
        self.mode = mode

    @override
    def lost(self, mode: PowerMode) -> str:
        return ""

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        self.mode = None


@final
class _ReplayedJob(Job):
    """A recorded workload."""

    def __init__(self, workload: str, device: ReplayDevice) -> None:
        self.workload = workload
        self._device = device

    @override
    def prepare(self, mode: Mapping[str, float]) -> None:
        pass  # the mode is the device's

    @override
    def step(self) -> None:
        self._device.train(self.workload)

    @override
    def close(self) -> None:
        pass  # it holds nothing

    @override
    def description(self) -> Mapping[str, str]:
        return {}


def _with_knobs(table: ProfileTable, knobs: tuple[str, ...]) -> ProfileTable:
    """Return the table with its mode columns in the order of `knobs`, refusing other knobs."""
    if set(table.modes.knobs) != set(knobs):
        raise DataError(
            f"{table.workload} was profiled over {', '.join(table.modes.knobs)}, and the workloads before it "
            f"over {', '.join(knobs)}: split the file by knobs"
        )
    modes = ModeTable(knobs=knobs, values=table.modes.select(knobs))
    return replace(table, modes=modes)


def _rows_of(wanted: FloatArray, known: FloatArray) -> npt.NDArray[np.int64]:
    """Return for each row of `wanted` `(n, k)` its row in `known` `(m, k)`, -1 where there is none.

    Values are compared to 1 part in 10^9, as a mode may have been through a file.
    """
    index = {row.tobytes(): i for i, row in enumerate(_rounded(known))}
    return np.array([index.get(row.tobytes(), -1) for row in _rounded(wanted)], dtype=np.int64)


def _rounded(values: FloatArray) -> FloatArray:
    """Round to 10 significant digits, so that equal modes are equal byte by byte (also 0 and -0)."""
    magnitude = np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
    scale = 10.0 ** (9 - magnitude)
    return np.round(values * scale) / scale + 0.0


def _nearest(wanted: FloatArray, known: FloatArray) -> int:
    """Return the row of `known` nearest to `wanted`, each knob relative to its span; ties: the first."""
    span = np.ptp(known, axis=0)
    distance = ((known - wanted) / np.where(span > 0, span, 1.0)) ** 2
    return int(np.argmin(distance.sum(axis=1)))
