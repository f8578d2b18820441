"""A Jetson as a device: on the board itself, or on the files of an emulated one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._base import SIMULATED_SUFFIX, AbstractLiveDevice, PowerReading
from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.devices._files import Files
from powertrain.devices._hold import Holder, Settings
from powertrain.devices._journal import Journal
from powertrain.devices._options import SOFTWARE_NOTE, KnobOptions
from powertrain.devices._parts import Part, PartedSettings, knobs_of, lasting_parts
from powertrain.devices._readings import board_w
from powertrain.devices._reasons import Reason, error_of, note_of
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.jetson._board import BoardParts
from powertrain.devices.jetson._counters import Counters, fan_pwm
from powertrain.devices.jetson._detect import Identity, identify, in_container
from powertrain.devices.jetson._notes import (
    note_of_events,
    note_of_nvpmodel,
    notes_of_identity,
    notes_of_power,
)
from powertrain.devices.jetson._power import PowerRails
from powertrain.devices.jetson._rails import asked_rails, least_w, rails_of
from powertrain.devices.jetson._survey import KnownClocks, survey
from powertrain.devices.jetson._tegrastats import TegrastatsReader, TegrastatsReading
from powertrain.devices.jetson._thermal import temperature_files, warmest_c
from powertrain.devices.jetson.nvpmodel import NvpConf, present_mode, read_conf
from powertrain.devices.remote._base import AskHelper, RemotePart, with_help
from powertrain.errors import DeviceError
from powertrain.records import ModeTable, PowerMode
from powertrain.space import SOFTWARE_KNOBS, ModeSpace
from powertrain.workloads import JOB_FORMS, Job, check_job_name, open_job

__all__ = ["JetsonDevice"]

RATED_W = {"tegra210": 20.0, "tegra186": 20.0, "tegra194": 65.0, "tegra234": 75.0, "tegra264": 130.0}
"""The most that a module with each chip may draw, of all its versions.

75 W is the AGX Orin Industrial's (NVIDIA's forum, topic 323456), 130 W Thor's (topic 348819). The others are
UNCONFIRMED, and chosen above all stock modes.
"""
OVER_RATED = 2.0
"""How far above that a reading is believed: a monitor that is saturated shows more."""
SETTLE_S = 2.0
"""After a change of clocks: field scripts sleep 1 to 3 s for the memory, 1 to 2 s for the GPU."""
FIRST_LINE_S = 2.0
"""For tegrastats to print its first line."""


@final
class JetsonDevice(AbstractLiveDevice):
    """A Jetson: processors on line, clocks of CPU, GPU and memory, and the board's power monitors.

    Everything is looked up on the board, since tables differ between releases of its software as well.
    """

    def __init__(
        self,
        options: str = "",
        *,
        sysfs: Sysfs | None = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        private: bool = False,
        jobs: Callable[[str, Path | None], Job] | None = None,
        helper: AskHelper | None = None,
        for_others: bool = False,
        tegrastats: Callable[[], TegrastatsReader] | None = None,
        spec: str = "jetson",
        name: str | None = None,
        simulated: bool = False,
        probe: bool = True,
    ) -> None:
        """Look at what there is.

        Where this process may lock the memory clock, it tries each value once per boot, for a few seconds.

        Args:
            options: Software knobs and fewer values of the others, as in `"gpu_mhz=612&batch_size=8,16"`;
                `rails=VDD_IN` says which rails are added to the power.
            sysfs: The kernel's files; this machine's by default.
            clock: The monotonic one by default.
            journal: Where the state is kept while the board is changed; the default one if None.
            private: Whether only this process has the board.
            jobs: Opens a workload by name, on the user's data or not. The default is the first GPU.
            helper: Finds somebody who may change the board, when this user may not.
            for_others: Whether it is to be held for other processes: then it has no knob of this process.
            tegrastats: Starts the program that tells the power where the monitors cannot be read.
            spec: What opens the device again, without options.
            name: What the board is called; as it calls itself by default.
            simulated: Whether the files are an emulated board's.
            probe: Whether memory clocks may be tried.

        Raises:
            DeviceError: This is not a Jetson, or an option names a knob that it lacks.
            DevicePermissionError: An option names a knob that this user may not set.
        """
        self._sysfs = RealSysfs() if sysfs is None else sysfs
        self._files, self._identity = Files(self._sysfs), identify(self._sysfs)
        self.simulated, self.spec = simulated, f"{spec}?{options}" if options else spec
        self.name = _name(name or self._identity.title, simulated=simulated)
        self.clock = MonotonicClock() if clock is None else clock
        self._jobs = jobs or _on_first_gpu
        self._temperatures, self._counters = temperature_files(self._files), Counters(self._files)
        self._journal, self._private = Journal() if journal is None else journal, private
        self._board = BoardParts(self._files, self._identity.soc, self.clock)
        # Who may switch processors is root, and so may try the memory clocks; nobody else could.
        if self._board.switchable:
            self._look_closer(spec, probe=probe)
        self._parts, missing, self._remote = self._settable(helper, spec, for_others=for_others)
        self._hardware = knobs_of(self._parts)
        knob_options, self._asked = asked_rails(options)
        self.space = KnobOptions(knob_options).space(self._hardware, device=spec, missing=missing)
        self._holder = self._holder_of(self._settings(missing), spec)
        self._look_for_power(tegrastats)
        self.missing = self._described(missing)

    @property
    @override
    def nested_rails(self) -> tuple[tuple[str, str], ...]:
        return self._rule.fed

    @property
    def sysfs(self) -> Sysfs:
        """The kernel's files that it works on."""
        return self._sysfs

    @property
    def identity(self) -> Identity:
        """Which board this is."""
        return self._identity

    @property
    def hardware_space(self) -> ModeSpace:
        """All knobs of the hardware with all their values, whatever the options leave of them."""
        return ModeSpace.of(self._hardware)

    @property
    def core_order(self) -> tuple[int, ...]:
        """In which order processors are switched on for `cpu_cores`."""
        return self._board.order

    @property
    @override
    def most_power_w(self) -> float:
        return OVER_RATED * RATED_W.get(self._identity.soc, max(RATED_W.values()))

    @property
    @override
    def power_window_s(self) -> float:
        """Time over which a power reading is averaged [s]; NaN where the monitors do not tell."""
        return self._power.averaging.window_s

    @property
    @override
    def settle_s(self) -> float:
        """Time after a change of mode from which power and clocks are the new mode's [s].

        Three windows: a reading that begins before the change ends one window after it, and the next two show
        whether it was the last.
        """
        window_s = self.power_window_s
        return SETTLE_S if math.isnan(window_s) else max(SETTLE_S, 3 * window_s)

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        if workload is not None:
            self._check_workload(workload)
        return self.space.table()

    @override
    def workloads(self) -> tuple[str, ...]:
        return JOB_FORMS

    @override
    def _check_workload(self, workload: str) -> None:
        check_job_name(workload)

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        """Return nvpmodel's modes, all clocks at their caps; those that it cannot say are left out."""
        conf = self._conf()
        if conf is None or "gpu_mhz" not in self._hardware:
            return {}
        # Against all values, then against those that the options left: a mode must not be rounded to them.
        whole = self.hardware_space
        software = {k.name: k.values[0] for k in self.space.knobs if k.name in SOFTWARE_KNOBS}
        found: dict[str, PowerMode] = {}
        for stock in conf.modes:
            mode = stock.mode_in(whole, order=self.core_order)
            if mode is not None and (full := PowerMode({**mode, **software})) in self.space:
                found[stock.name] = full
        return found

    @override
    def notes(self) -> tuple[str, ...]:
        return (
            *notes_of_identity(self._identity, simulated=self.simulated),
            *(note for part in self._parts for note in part.notes()),
            *map(note_of, self.missing),
            *(("This is a container: it sees of the board what it was given.",) * in_container(self._sysfs)),
            *notes_of_power(self._power, replace(self._rule, summed=self.rails), source=self._source),
            note_of_events(self._counters),
            note_of_nvpmodel(self._sysfs),
            SOFTWARE_NOTE.format(spec=self.spec.partition("?")[0]),
        )

    @override
    def read_power(self) -> PowerReading:
        if self._no_power is not None:
            raise error_of(self._no_power, device=self.name)
        # Heat is seen only while somebody looks, and power is read all the time that anything is measured.
        self._counters.look()
        if self._read_others is not None:
            time_s, rails_w = self._read_others()
        else:
            rails_w = self._power.read_w()
            time_s = self.clock.now_s()
        return PowerReading(
            time_s=time_s,
            rails_w=rails_w,
            power_w=board_w(rails_w, self.rails),
            least_w=least_w(rails_w, self._rule),
        )

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        self._check_workload(workload)
        return self._jobs(workload, data)

    @override
    def throttle_count(self) -> int:
        if self._remote is not None and not self._counters.has_events:
            return self._remote.throttle_count()
        return self._counters.count()

    @override
    def temperature_c(self) -> float:
        return warmest_c(self._files, self._temperatures)

    @override
    def environment(self) -> Mapping[str, str]:
        """Return what decides how fast the board is, apart from knobs. What is not known is left out."""
        averaging = self._power.averaging
        found = {
            "module": self._identity.module,
            "soc": self._identity.soc,
            "l4t": self._identity.l4t,
            "jetpack": self._identity.jetpack,
            "kernel": self._identity.kernel,
            "nvpmodel_mode": self._nvpmodel_mode(),
            **self._board.gpu.masks(),
            "fan_pwm": fan_pwm(self._files),
            "power_samples": _number(averaging.samples),
            "power_update_interval_ms": _number(averaging.update_interval_ms),
        }
        return {key: text for key, text in found.items() if text}

    def _look_closer(self, spec: str, *, probe: bool) -> None:
        board, identity = self._board, self._identity
        depends_on = (identity.module, identity.soc, identity.l4t, *board.emc.candidates_hz)
        # Emulated boards of one spec may be told apart by nothing, and trying costs them little.
        known = None if self.simulated else KnownClocks(self._journal, key=spec, board=depends_on)
        holder = partial(self._holder_of, spec=spec)
        survey(board.own, board.gpu, board.emc, known, probe=probe, holder=holder)

    def _settable(
        self, helper: AskHelper | None, key: str, *, for_others: bool
    ) -> tuple[tuple[Part, ...], tuple[Reason, ...], RemotePart | None]:
        """Return the parts that this user may set, also with help; why others are missing; and who helps."""
        # Root needs nobody. A user who may set some of the board has the helper set all of it: two who set
        # one board, each with a journal of their own, would restore what the other has set.
        ask = None if self._board.switchable else helper
        parts, missing, remote = with_help(self._board.all, ask, key=key)
        return lasting_parts(parts, device=self.name) if for_others else parts, missing, remote

    def _settings(self, missing: Sequence[Reason]) -> PartedSettings:
        return PartedSettings(
            self._parts, space=self.space, device=self.name, clock=self.clock, missing=missing
        )

    def _holder_of(self, settings: Settings, spec: str) -> Holder:
        return Holder(
            settings,
            name=self.name,
            spec=self.spec,
            key=spec,
            journal=self._journal,
            private=self._private,
        )

    def _described(self, missing: Sequence[Reason]) -> tuple[Reason, ...]:
        """Return what is missing in words that hold: affinity offers `cpu_cores` where the board does not."""
        knobs = [
            replace(reason, what=f"{reason.what} of the board itself")
            if reason.what in self._hardware
            else reason
            for reason in missing
        ]
        return tuple(knobs) if self._no_power is None else (*knobs, self._no_power)

    def _look_for_power(self, start: Callable[[], TegrastatsReader] | None) -> None:
        """Find who tells the power: the board's monitors, else the helper, else tegrastats."""
        self._power = PowerRails(self._files, asked=self._asked)
        self._rule = self._power.rule
        self._source, self.rails, self._no_power = "", self._power.summed, self._power.missing
        self._read_others: Callable[[], tuple[float, Mapping[str, float]]] | None = None
        remote, reason = self._remote, self._no_power
        if reason is None:
            return
        if remote is not None and remote.rails:
            self._read_others = lambda: (self.clock.now_s(), remote.read_w())
            self._source, self.rails, self._no_power = remote.name, remote.rails, None
        elif start is not None:
            try:
                self._ask_tegrastats(start())
            except DeviceError as error:
                self._no_power = replace(reason, sentence=f"{reason.sentence}, and {error}")

    def _ask_tegrastats(self, reader: TegrastatsReader) -> None:
        try:
            # Its first line may lack some rails.
            first = reader.latest(wait_s=FIRST_LINE_S, until=self._tells_all)
        except DeviceError:
            reader.close()
            raise

        def read() -> tuple[float, Mapping[str, float]]:
            latest = reader.latest()
            return latest.time_s, latest.rails_w

        rule = rails_of(first.rails_w, asked=self._asked)
        if not rule.summed:
            reader.close()
            raise DeviceError(f"tegrastats tells {', '.join(first.rails_w) or 'no rails'} and no whole")
        self._read_others = read
        self._source, self.rails, self._rule, self._no_power = "tegrastats", rule.summed, rule, None

    def _tells_all(self, reading: TegrastatsReading) -> bool:
        try:
            return bool(rails_of(reading.rails_w, asked=self._asked).summed)
        except DeviceError:  # one that was asked for is not there, or not yet
            return False

    def _conf(self) -> NvpConf | None:
        try:
            return read_conf(self._sysfs)
        except DeviceError:
            return None

    def _nvpmodel_mode(self) -> str:
        conf = self._conf()
        mode = present_mode(self._sysfs, conf) if conf else None
        return mode.name if mode else ""


def _name(title: str, *, simulated: bool) -> str:
    return title + SIMULATED_SUFFIX if simulated and not title.endswith(SIMULATED_SUFFIX) else title


def _on_first_gpu(workload: str, data: Path | None) -> Job:
    return open_job(workload, target="cuda:0", data=data, usual_workers=2)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:g}"
