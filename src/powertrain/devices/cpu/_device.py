"""This machine's processor as a device."""

from __future__ import annotations

import math
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._base import AbstractLiveDevice, PowerReading
from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.devices._files import Files
from powertrain.devices._hold import Holder, Settings
from powertrain.devices._journal import Journal
from powertrain.devices._options import SOFTWARE_NOTE, KnobOptions
from powertrain.devices._parts import PartedSettings, knobs_of, lasting_parts
from powertrain.devices._reasons import error_of, note_of
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.cpu._clocks import CpuClockPart
from powertrain.devices.cpu._cores import CoresPart
from powertrain.devices.cpu._energy import Rapl
from powertrain.devices.cpu._temperature import temperature_files, warmest_c
from powertrain.devices.cpu._trial import try_once
from powertrain.devices.remote._base import AskHelper, with_help
from powertrain.records import ModeTable, PowerMode
from powertrain.wording import visible
from powertrain.workloads import JOB_FORMS, Job, check_job_name, open_job

__all__ = ["CpuDevice"]

KEY = "cpu"
"""A machine has one processor, or several that are set together."""
THROTTLES = "/sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count"
"""Times that a core was slowed for heat since the boot (Linux drivers/thermal/intel/therm_throt.c)."""
LONGEST_NAME = 120
"""Characters of a processor's name; x86 has room for 48."""
SHORTEST_S = 0.001
"""RAPL counters move about every millisecond; over less no power can be told."""


@final
@dataclass
class _Look:
    """What the counters showed at one moment, and the power since the look before."""

    time_s: float
    energy_j: float
    least_j: float
    power_w: float = math.nan
    least_w: float = math.nan


@final
class CpuDevice(AbstractLiveDevice):
    """The processor that this runs on: cores by affinity, clocks by cpufreq, energy by RAPL, as permitted."""

    simulated = False

    def __init__(
        self,
        options: str = "",
        *,
        sysfs: Sysfs | None = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        helper: AskHelper | None = None,
        for_others: bool = False,
    ) -> None:
        """Look at what there is; nothing is changed.

        Where this process may set the clocks, it writes them once per boot as they are, to see if it can.

        Args:
            options: Software knobs, and fewer values of the others: `"cpu_cores=1,2&batch_size=8,16"`.
            sysfs: The kernel's files; this machine's by default.
            clock: The monotonic one by default.
            journal: Where the state is kept while clocks are changed; the default one if None.
            helper: Finds somebody who may set the clock, when this user may not.
            for_others: Whether it is to be held for other processes: then it has no `cpu_cores`, which are
                those of the process that asks.

        Raises:
            DevicePermissionError: An option names a knob that this user may not set.
            DeviceError: An option names a knob that the machine lacks, or no knob is left.
        """
        self.spec = f"cpu?{options}" if options else "cpu"
        self._files = Files(RealSysfs() if sysfs is None else sysfs)
        cores, clocks = CoresPart(self._files.sysfs), CpuClockPart(self._files.sysfs)
        self.name = f"{_model(self._files)} ({len(cores.knobs['cpu_cores'])} CPUs)"
        self.clock = MonotonicClock() if clock is None else clock
        journal = Journal() if journal is None else journal
        try_once(clocks, journal, partial(self._holder_of, journal=journal))
        self._parts, missing, _ = with_help((cores, clocks), helper, key=KEY)
        if for_others:
            self._parts = lasting_parts(self._parts, device=self.name)
        self.space = KnobOptions(options).space(knobs_of(self._parts), device="cpu", missing=missing)
        settings = PartedSettings(
            self._parts, space=self.space, device=self.name, clock=self.clock, missing=missing
        )
        self._holder = self._holder_of(settings, journal)
        self._rapl = Rapl(self._files.sysfs, now_s=self.clock.now_s())
        self.rails = self._rapl.labels
        self.missing = missing if self._rapl.missing is None else (*missing, self._rapl.missing)
        self._temperatures = temperature_files(self._files.sysfs)
        self._throttles = self._files.sysfs.glob(THROTTLES)
        self._lock = threading.Lock()
        self._last = _Look(self.clock.now_s(), 0.0, 0.0)

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
        return {}

    @override
    def notes(self) -> tuple[str, ...]:
        told = [note for part in self._parts for note in part.notes()]
        told += map(note_of, self.missing)
        if self.rails:
            told.append(f"Power is the sum of {', '.join(self.rails)}, from energy counters.")
        if self._rapl.parts:
            told.append(f"{', '.join(self._rapl.parts)} is part of it, and compared with it.")
        return (*told, SOFTWARE_NOTE.format(spec="cpu"))

    @override
    def read_power(self) -> PowerReading:
        if self._rapl.missing is not None:
            raise error_of(self._rapl.missing, device=self.name)
        with self._lock:
            now_s, last = self.clock.now_s(), self._last
            counted = self._rapl.look(now_s)
            # Counters tell energy; power is its mean since the last look, whoever looked.
            dropped, elapsed_s = counted.dropped, now_s - last.time_s
            if dropped or elapsed_s >= SHORTEST_S:
                power_w = (counted.energy_j - last.energy_j) / elapsed_s if elapsed_s > 0 else math.nan
                least_w = (counted.least_j - last.least_j) / elapsed_s if elapsed_s > 0 else math.nan
                last = _Look(now_s, counted.energy_j, counted.least_j)
                last.power_w, last.least_w = (math.nan, math.nan) if dropped else (power_w, least_w)
                self._last = last
        return PowerReading(
            time_s=now_s,
            rails_w={},
            power_w=last.power_w,
            energy_j=counted.energy_j,
            dropped=dropped,
            least_w=last.least_w,
        )

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        return open_job(workload, data=data, usual_workers=1)

    @override
    def throttle_count(self) -> int:
        # A processor that was switched off meanwhile does not answer.
        return sum(self._files.number(path) or 0 for path in self._throttles)

    @override
    def temperature_c(self) -> float:
        return warmest_c(self._files.sysfs, self._temperatures)

    @override
    def environment(self) -> Mapping[str, str]:
        return {"kernel": platform.release(), "python": platform.python_version()}

    def _holder_of(self, settings: Settings, journal: Journal) -> Holder:
        return Holder(settings, name=self.name, spec=self.spec, key=KEY, journal=journal)


def _model(files: Files) -> str:
    """Return the processor's name, as the kernel tells it."""
    # x86 has a "model name" for each processor; Arm kernels name the board, if anything, in one line.
    for line in files.text("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return visible(" ".join(value.replace("\0", " ").split()))[:LONGEST_NAME]
    return platform.machine() or "CPU"
