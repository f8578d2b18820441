"""This machine's processor as a device."""

from __future__ import annotations

import math
import platform
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._base import AbstractLiveDevice, PowerReading
from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.devices._hold import Holder
from powertrain.devices._journal import Journal
from powertrain.devices._options import SOFTWARE_NOTE, KnobOptions
from powertrain.devices._parts import PartedSettings
from powertrain.devices.cpu._clocks import CpuClockPart
from powertrain.devices.cpu._cores import CoresPart
from powertrain.devices.cpu._energy import Rapl
from powertrain.devices.cpu._temperature import sensors_of, warmest_c
from powertrain.errors import DeviceError
from powertrain.records import ModeTable, PowerMode
from powertrain.workloads import JOB_FORMS, Job, check_job_name, open_job

__all__ = ["CpuDevice"]

SHORTEST_S = 0.001
"""RAPL counters move about every millisecond; over less no power can be told."""


@final
class CpuDevice(AbstractLiveDevice):
    """The processor that this runs on: cores by affinity, clocks by cpufreq, energy by RAPL, as permitted."""

    simulated = False

    def __init__(
        self,
        options: str = "",
        *,
        sysfs: Path = Path("/sys"),
        proc: Path = Path("/proc"),
        clock: Clock | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Look at what there is; nothing is changed.

        Args:
            options: Software knobs, and fewer values of the others: `"cpu_cores=1,2&batch_size=8,16"`.
            sysfs: Where the kernel shows the hardware.
            proc: Where it shows processes.
            clock: The monotonic one by default.
            journal: Where the state is kept while clocks are changed; the default one if None.
        """
        self.spec = f"cpu?{options}" if options else "cpu"
        self._parts = (CoresPart(sysfs=sysfs, proc=proc), CpuClockPart(sysfs=sysfs))
        hardware = {name: values for part in self._parts for name, values in part.knobs.items()}
        self.name = f"{_model(proc)} ({len(hardware['cpu_cores'])} CPUs)"
        self.space = KnobOptions(options).space(hardware, device="cpu")
        self.clock = MonotonicClock() if clock is None else clock
        settings = PartedSettings(self._parts, space=self.space, device=self.name)
        self._holder = Holder(settings, name=self.name, spec=self.spec, key="cpu", journal=journal)
        self._rapl = Rapl(sysfs=sysfs)
        self.rails = self._rapl.labels
        self._temperatures = sensors_of(sysfs)
        self._throttles = sorted(
            (sysfs / "devices/system/cpu").glob("cpu*/thermal_throttle/core_throttle_count")
        )
        self._lock = threading.Lock()
        self._last = (self.clock.now_s(), 0.0, math.nan)

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
        power = (
            f"Power is the sum of {', '.join(self.rails)}, from energy counters."
            if self.rails
            else f"No power sensor, so profiles have times alone: {self._rapl.missing}."
        )
        told = [note for part in self._parts for note in part.notes()]
        return (*told, power, SOFTWARE_NOTE.format(spec="cpu"))

    @override
    def read_power(self) -> PowerReading:
        if not self.rails:
            raise DeviceError(f"{self.name} has no power sensor: {self._rapl.missing}")
        with self._lock:
            try:
                counted_j = self._rapl.read_j()
            except ValueError as error:
                raise DeviceError(f"a RAPL counter of {self.name} cannot be read: {error}") from error
            now_s, total_j = self.clock.now_s(), sum(counted_j.values())
            before_s, before_j, power_w = self._last
            if now_s - before_s >= SHORTEST_S:
                power_w = (total_j - before_j) / (now_s - before_s)
                self._last = (now_s, total_j, power_w)
        return PowerReading(time_s=now_s, rails_w={}, power_w=power_w, energy_j=total_j)

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        return open_job(workload, data=data, usual_workers=1)

    @override
    def throttle_count(self) -> int:
        total = 0
        for file in self._throttles:
            try:
                total += int(file.read_text(encoding="ascii"))
            except (OSError, ValueError):
                continue  # a processor that was switched off meanwhile
        return total

    @override
    def temperature_c(self) -> float:
        return warmest_c(self._temperatures)

    @override
    def environment(self) -> Mapping[str, str]:
        return {"kernel": platform.release(), "python": platform.python_version()}


def _model(proc: Path) -> str:
    """Return the processor's name, as the kernel tells it."""
    try:
        lines = (proc / "cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return " ".join(value.split())
    return platform.machine() or "CPU"
