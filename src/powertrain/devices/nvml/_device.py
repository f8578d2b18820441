"""An NVIDIA GPU as a device, through the driver's own library."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices._base import AbstractLiveDevice, PowerReading
from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.devices._hold import Holder
from powertrain.devices._journal import Journal
from powertrain.devices._options import SOFTWARE_NOTE, KnobOptions
from powertrain.devices._parts import Part, PartedSettings, knobs_of, lasting_parts, missing_of
from powertrain.devices._readings import board_w
from powertrain.devices._reasons import Reason, Why, error_of, note_of
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.cpu._cores import CoresPart
from powertrain.devices.nvml._driver import UNSUPPORTED, Call, NvmlGpu, why_forbidden
from powertrain.devices.nvml._parts import ClocksPart, PowerLimitPart
from powertrain.devices.nvml._processes import Neighbours
from powertrain.devices.nvml._zeusd import ZeusdSetter
from powertrain.devices.remote._base import AskHelper, with_help, without_help
from powertrain.devices.zeusd import without_socket, zeusd_socket
from powertrain.errors import DeviceError
from powertrain.records import ModeTable, PowerMode
from powertrain.units import joules_from_millijoules, watts_from_milliwatts
from powertrain.workloads import JOB_FORMS, Job, check_job_name, cuda_index, open_job

__all__ = ["NvmlDevice"]

RAIL, COUNTER = "NVML board power", "NVML energy counter"
COUNTER_S = 0.2
"""Time over which the counter tells a power where there is no sensor: it moves about every 0.1 s."""
OVER_LIMIT = 2.0
"""How far above the greatest power limit of the board a reading is believed: the limit holds in the mean."""
LEAST_SHARE = 0.002
"""Of the least power limit of the board: it draws more than that at rest, and less is a number in another
unit. Boards that are known draw 2 % and more."""
NO_POWER = Reason(
    what="power sensor",
    why=Why.ABSENT,
    sentence=UNSUPPORTED,
    consequence="so profiles have times alone",
)
BY_COUNTER = "so power is what the energy counter tells"
NO_ENERGY = Reason(what="energy counter", why=Why.ABSENT, sentence=UNSUPPORTED)
NO_REASONS = Reason(
    what="reasons of cuts",
    why=Why.ABSENT,
    sentence="this GPU or its driver does not tell why it slows down",
    consequence="so throttling is not noticed",
)
THROTTLING = 0x08 | 0x20 | 0x40 | 0x80
"""Bits of nvmlClocksEventReasons that count as throttling: hardware slowdown, software thermal slowdown,
hardware thermal slowdown, hardware power brake.

The software power cap (0x04) does not count, whether or not `power_limit_w` is a knob. The driver keeps every
GPU below some limit at all times; what a mode gives under it is the same tomorrow, and a training gets it.
Heat and a power brake come and go.
"""


@final
class NvmlDevice(AbstractLiveDevice):
    """One GPU: clocks by locking, the power limit, and the cores of the processor that feeds it."""

    simulated = False

    def __init__(
        self,
        index: int,
        options: str = "",
        *,
        nvml: Any = None,
        clock: Clock | None = None,
        journal: Journal | None = None,
        sysfs: Sysfs | None = None,
        euid: Callable[[], int] = os.geteuid,
        helper: AskHelper | None = None,
        for_others: bool = False,
        probe: bool = True,
    ) -> None:
        """Look at what there is; nothing is changed.

        Args:
            index: NVML's number of the GPU, from 0.
            options: Software knobs and fewer values of the hardware's, as in `"gpu_mhz=990&batch_size=8,16"`.
                `zeusd=PATH` has the Zeus daemon at that socket set the GPU, whoever this process is.
            nvml: The binding to the driver's library; the installed `pynvml` if None.
            clock: The monotonic one by default.
            journal: Where the state is kept while the GPU is changed; the default one if None.
            sysfs: The kernel's files; this machine's by default.
            euid: Tells the effective user; only root may change a GPU.
            helper: Finds somebody who may change the GPU, when this user may not.
            for_others: Whether it is to be held for other processes: then it has no `cpu_cores`, which are
                those of the process that asks.
            probe: Whether to find out by calls that change nothing which knobs the driver lets anybody set.

        Raises:
            MissingExtraError: `nvidia-ml-py` is not installed.
            DevicePermissionError: An option names a knob that this process may not change.
            DeviceError: There is no driver, no such GPU, an option names a knob that it lacks, or no knob is
                left.
        """
        self._index, self._gpu = index, NvmlGpu(index, nvml)
        self.name, self.spec = self._gpu.name, self._gpu.spec + (f"?{options}" if options else "")
        self.clock = MonotonicClock() if clock is None else clock
        files = RealSysfs() if sysfs is None else sysfs
        options, socket = without_socket(options)
        asked = KnobOptions(options)
        self._zeusd = None if socket is None else self._through(ZeusdSetter(socket, self._gpu))
        forbidden = why_forbidden(self._gpu.spec, euid, sysfs=files) if socket is None else None
        missing = self._find_parts(CoresPart(files), forbidden, asked, helper, probe=probe)
        if for_others:
            self._parts = lasting_parts(self._parts, device=self._gpu.spec)
        self._hardware = knobs_of(self._parts)
        space = asked.space(self._hardware, device=self._gpu.spec, missing=missing)
        self.space = self._clocks.narrowed(space)
        self._holder = self._holder_of(missing, journal)
        self._sensors, self._neighbours = _Sensors(self._gpu), Neighbours(self._gpu, files)
        self.rails = self._sensors.rails
        self.missing = (*missing, *self._sensors.missing)
        self._environment = _environment(self._gpu)
        if "power_limit_w" not in self._hardware and not math.isnan(self._limit.now_w):
            self._environment["power_limit_w"] = f"{self._limit.now_w:g}"
        self._lock = threading.Lock()
        self._cuts, self._seen = 0, 0

    def _holder_of(self, missing: Sequence[Reason], journal: Journal | None) -> Holder:
        settings = PartedSettings(
            self._parts, space=self.space, device=self.name, clock=self.clock, missing=missing
        )
        return Holder(settings, name=self.name, spec=self.spec, key=self._gpu.uuid, journal=journal)

    def _find_parts(
        self,
        cores: CoresPart,
        forbidden: Reason | None,
        asked: KnobOptions,
        helper: AskHelper | None,
        *,
        probe: bool,
    ) -> tuple[Reason, ...]:
        """Find who sets the knobs: this process, or else powertrain-helper, or else a zeusd.

        Returns:
            What is missing all the same, with the reasons.
        """
        own = self._own_parts(cores, forbidden, asked, tries=probe and forbidden is None)
        self._parts, missing, remote = with_help(own, helper, key=self._gpu.uuid)
        socket = zeusd_socket()
        lacks = any(reason.why is Why.FORBIDDEN for reason in missing)
        # Who asks no helper asks nobody: the helper itself, which is root.
        if not lacks or remote is not None or helper is None or self._zeusd is not None or socket is None:
            return missing
        try:
            self._zeusd = self._through(ZeusdSetter(socket, self._gpu))
        except DeviceError as error:
            return tuple(without_help(reason, error, who="zeusd") for reason in missing)
        self._parts = self._own_parts(cores, None, asked, tries=probe)
        return missing_of(self._parts)

    def _through(self, zeusd: ZeusdSetter) -> ZeusdSetter:
        self._gpu.setter = zeusd.change
        return zeusd

    def _own_parts(
        self, cores: CoresPart, forbidden: Reason | None, asked: KnobOptions, *, tries: bool
    ) -> tuple[Part, ...]:
        """Return what this process sets, by NVML or through a zeusd; `tries` as for the parts."""
        self._clocks = ClocksPart(self._gpu, forbidden=forbidden, clock=self.clock, tries=tries)
        self._limit = PowerLimitPart(
            self._gpu,
            forbidden=forbidden,
            clock=self.clock,
            tries=tries,
            pinned_w=asked.only_value("power_limit_w"),
        )
        return cores, self._clocks, self._limit

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        if workload is not None:
            self._check_workload(workload)
        grid = self.space.table()
        return grid.take(self.exist(grid))

    @override
    def exist(self, modes: ModeTable) -> npt.NDArray[np.bool_]:
        return self._clocks.exist(modes)

    @override
    def workloads(self) -> tuple[str, ...]:
        return JOB_FORMS

    @override
    def _check_workload(self, workload: str) -> None:
        check_job_name(workload)

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        """Return how the machine comes, where a mode can say it: no mode says "clocks not locked"."""
        stock = {name: values[-1] for name, values in self._hardware.items() if name == "cpu_cores"}
        if not math.isnan(self._limit.default_w):
            stock["power_limit_w"] = float(round(self._limit.default_w))
        if not set(self.space.names) <= set(stock):
            return {}
        mode = PowerMode({name: stock[name] for name in self.space.names})
        return {"default": mode} if mode in self.space else {}

    @override
    def notes(self) -> tuple[str, ...]:
        told = [note for part in self._parts for note in part.notes()]
        if self._zeusd is not None:
            knobs = [*self._clocks.knobs, *self._limit.knobs]
            told.insert(0, f"zeusd at {self._zeusd.path} sets {', '.join(knobs) or 'nothing here'}.")
        software = SOFTWARE_NOTE.format(spec=self._gpu.spec)
        return (*told, *map(note_of, self.missing), *self._sensors.notes(), software)

    @property
    @override
    def most_power_w(self) -> float:
        return self._limit.most_w * OVER_LIMIT

    @override
    def read_power(self) -> PowerReading:
        if not self.rails:
            raise error_of(NO_POWER, device=self.name)
        if not self._sensors.power:
            return self._read_counter()
        # The clock is read after the sensors, whose reading takes a while.
        power_w = board_w({RAIL: self._sensors.power_w()}, (RAIL,))
        if power_w < self._limit.least_w * LEAST_SHARE:
            raise DeviceError(
                f"{RAIL} shows {power_w:.4g} W, and the least limit of the board is {self._limit.least_w:g} W"
            )
        try:
            energy_j = self._sensors.energy_j()
        except DeviceError:
            energy_j = math.nan  # the sensor does without the counter
        now_s = self.clock.now_s()
        self._look_for_cuts()
        return PowerReading(time_s=now_s, rails_w={RAIL: power_w}, power_w=power_w, energy_j=energy_j)

    def _read_counter(self) -> PowerReading:
        """Read the energy counter, and tell the power since the look before."""
        energy_j, now_s = self._sensors.energy_j(), self.clock.now_s()
        with self._lock:
            power_w = self._sensors.counted_w(energy_j, now_s)
        self._look_for_cuts()
        return PowerReading(time_s=now_s, rails_w={}, power_w=power_w, energy_j=energy_j)

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        self._check_workload(workload)
        # CUDA counts GPUs by speed and by what is visible, NVML by the bus: only the UUID names one in both.
        known = cuda_index(self._gpu.uuid)
        index = self._index if known is None else known
        return open_job(workload, target=f"cuda:{index}", data=data, usual_workers=2)

    @override
    def throttle_count(self) -> int:
        """Return how many cuts of the clocks were seen, whenever power or this was read.

        NVML tells which cuts are in force, not how many there were. One that lasts counts anew after each
        question, so that two questions with a cut between them never have the same answer.
        """
        self._look_for_cuts()
        with self._lock:
            self._seen = 0
            return self._cuts

    @override
    def temperature_c(self) -> float:
        try:
            return self._sensors.temperature_c()
        except DeviceError:
            return math.nan

    @override
    def spoilt(self) -> Mapping[str, str]:
        mode = self._holder.mode
        below, above = ("", "") if mode is None else self._clocks.off_lock(mode)
        others = self._neighbours.busy()
        told = {
            "capped": below,
            "undone": (above and f"{above}: something else has taken the lock away")
            or self._limit.moved(mode),
            "shared": others and f"{others} used the GPU meanwhile",
        }
        return {flag: sentence for flag, sentence in told.items() if sentence}

    @override
    def environment(self) -> Mapping[str, str]:
        return self._environment

    def _look_for_cuts(self) -> None:
        try:
            cuts = self._sensors.cuts()
        except DeviceError:
            return  # a question without an answer takes no reading with it
        with self._lock:
            # One slowdown raises two bits, its kind and that there is one, and is still one cut.
            self._cuts += bool(cuts & ~self._seen)
            self._seen = cuts


@final
class _Sensors:
    """What a GPU lets be read, each by the first function that answers here."""

    def __init__(self, gpu: NvmlGpu) -> None:
        self._gpu = gpu
        self.power = gpu.working(("nvmlDeviceGetPowerUsage",))
        self._energy = gpu.working(("nvmlDeviceGetTotalEnergyConsumption",))
        # The first name came with driver 535; the second ends with CUDA 14 (nvml.h, deprecated).
        self._reasons = gpu.working(
            ("nvmlDeviceGetCurrentClocksEventReasons",), ("nvmlDeviceGetCurrentClocksThrottleReasons",)
        )
        self._counted = (-math.inf, math.nan, math.nan)
        """When the counter was last looked at for a power, what it showed [J], and the power since before."""
        self._temperature = gpu.working(("nvmlDeviceGetTemperatureV", 0), ("nvmlDeviceGetTemperature", 0))

    @property
    def rails(self) -> tuple[str, ...]:
        """What tells the power; none where nothing does."""
        return (RAIL,) if self.power else (COUNTER,) if self._energy else ()

    def power_w(self) -> float:
        return watts_from_milliwatts(self._read(self.power))

    def energy_j(self) -> float:
        return joules_from_millijoules(self._read(self._energy))

    def counted_w(self, energy_j: float, now_s: float) -> float:
        """Return the power that the counter tells since an earlier look; NaN at first, and where it fell."""
        before_s, before_j, power_w = self._counted
        if now_s - before_s >= COUNTER_S:
            power_w = (energy_j - before_j) / (now_s - before_s)
            self._counted = now_s, energy_j, power_w if power_w >= 0 else math.nan
        return self._counted[2]

    def temperature_c(self) -> float:
        return self._read(self._temperature)

    def cuts(self) -> int:
        return 0 if self._reasons is None else self._gpu.number(*self._reasons) & THROTTLING

    @property
    def missing(self) -> tuple[Reason, ...]:
        """What this GPU does not let be read, with the reasons."""
        no_power = replace(NO_POWER, consequence=BY_COUNTER) if self._energy else NO_POWER
        calls = ((self.power, no_power), (self._energy, NO_ENERGY), (self._reasons, NO_REASONS))
        return tuple(reason for call, reason in calls if call is None)

    def notes(self) -> tuple[str, ...]:
        told: list[str] = []
        if self.power and self._energy:
            told.append(
                f"Power is {RAIL}, energy is that of the GPU's own counter, which is preferred since it "
                "misses nothing; profiles for which the two disagree are flagged."
            )
        elif self.power:
            # NVML API reference, nvmlDeviceGetPowerUsage.
            told.append(f"Power is {RAIL}, on most GPUs since Ampere an average over the last second.")
        if self._reasons:
            told.append("Heat and power brakes count as throttling, a power limit does not.")
        return tuple(told)

    def _read(self, call: Call | None) -> float:
        return math.nan if call is None else float(self._gpu.number(*call))


def _environment(gpu: NvmlGpu) -> dict[str, str]:
    """Return versions, and what is not a knob and still decides how fast a GPU is."""
    found: dict[str, str] = {}
    for name, function in (("driver", "nvmlSystemGetDriverVersion"), ("nvml", "nvmlSystemGetNVMLVersion")):
        if text := gpu.version(function):
            found[name] = text
    if cuda := gpu.system_number("nvmlSystemGetCudaDriverVersion_v2"):
        found["cuda_driver"] = f"{cuda // 1000}.{cuda % 1000 // 10}"  # as nvml.h packs it: 12040 is 12.4
    width = gpu.find("nvmlDeviceGetMaxPcieLinkWidth")
    generation = gpu.find("nvmlDeviceGetMaxPcieLinkGeneration")
    if width and generation:
        found["pcie"] = f"gen {generation} x{width}"
    persistence = gpu.find("nvmlDeviceGetPersistenceMode")
    if persistence is not None:
        found["persistence_mode"] = "on" if persistence else "off"
    return found
