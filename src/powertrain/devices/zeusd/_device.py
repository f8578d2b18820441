"""A GPU of any vendor as a device, through zeusd alone: no driver library, no root."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import final

from typing_extensions import override

from powertrain.devices._base import AbstractLiveDevice, PowerReading
from powertrain.devices._clock import Clock, MonotonicClock
from powertrain.devices._hold import Holder
from powertrain.devices._journal import Journal
from powertrain.devices._options import SOFTWARE_NOTE, KnobOptions
from powertrain.devices._parts import PartedSettings, knobs_of, lasting_parts, missing_of
from powertrain.devices._readings import board_w
from powertrain.devices._reasons import Reason, Why, error_of, note_of
from powertrain.devices._sysfs import RealSysfs, Sysfs
from powertrain.devices.cpu._cores import CoresPart
from powertrain.devices.zeusd._gpu import ZeusdGpu
from powertrain.devices.zeusd._parts import LOCKS, LimitPart, LocksPart
from powertrain.errors import DeviceError
from powertrain.records import ModeTable, PowerMode
from powertrain.units import joules_from_millijoules, watts_from_milliwatts
from powertrain.workloads import JOB_FORMS, Job, check_job_name, open_job

__all__ = ["ZeusdDevice"]

RAIL = "zeusd GPU power"
OVER_LIMIT = 2.0
"""How far above the greatest power limit of the board a reading is believed: the limit holds in the mean."""
NO_POWER = Reason(
    what="power sensor",
    why=Why.ABSENT,
    sentence="this zeusd does not tell the power of this GPU",
    mend="start it with --enable gpu-read, too",
    consequence="so profiles have times alone",
)
NO_REASONS = Reason(
    what="reasons of cuts",
    why=Why.ABSENT,
    sentence="zeusd does not tell why a GPU slows down",
    consequence="so throttling is not noticed",
)


@final
class ZeusdDevice(AbstractLiveDevice):
    """One GPU: the power limit, clocks that the user names, and the cores of the processor that feeds it."""

    simulated = False

    def __init__(
        self,
        number: int,
        options: str = "",
        *,
        socket: Path,
        clock: Clock | None = None,
        journal: Journal | None = None,
        sysfs: Sysfs | None = None,
        for_others: bool = False,
    ) -> None:
        """Look at what there is; nothing is changed.

        Args:
            number: Of the GPU, as zeusd counts them.
            options: Software knobs, fewer values of the others, and the clocks to offer, as in
                `"gpu_mhz=900,1200&batch_size=8,16"`.
            socket: Where zeusd listens.
            clock: The monotonic one by default.
            journal: Where the state is kept while the GPU is changed; the default one if None.
            sysfs: The kernel's files; this machine's by default.
            for_others: Whether it is to be held for other processes: then it has no `cpu_cores`.

        Raises:
            DevicePermissionError: zeusd is not for this user.
            DeviceError: There is no zeusd, or no such GPU, or no knob is left.
        """
        self._gpu = ZeusdGpu(socket, number)
        self.name, self.spec = self._gpu.name, self._gpu.spec + (f"?{options}" if options else "")
        self.clock = MonotonicClock() if clock is None else clock
        asked = KnobOptions(options)
        clocks = {knob: values for knob in LOCKS if (values := asked.values_of(knob))}
        self._limit = LimitPart(self._gpu)
        cores = CoresPart(RealSysfs() if sysfs is None else sysfs)
        self._parts = (cores, LocksPart(self._gpu, clocks), self._limit)
        if for_others:
            self._parts = lasting_parts(self._parts, device=self._gpu.spec)
        missing = missing_of(self._parts)
        self.space = asked.space(knobs_of(self._parts), device=self._gpu.spec, missing=missing)
        settings = PartedSettings(
            self._parts, space=self.space, device=self.name, clock=self.clock, missing=missing
        )
        key = f"gpu at {self._gpu.address or number}"
        self._holder = Holder(settings, name=self.name, spec=self.spec, key=key, journal=journal)
        reads = self._gpu.find("get_power", "power_mw") is not None
        self.rails = (RAIL,) if reads else ()
        self.missing = (*missing, *(() if reads else (NO_POWER,)), NO_REASONS)

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
        told = [f"zeusd at {self._gpu.client.path} sets and reads this GPU."]
        told += [note for part in self._parts for note in part.notes()]
        told += map(note_of, self.missing)
        if self.rails and self._gpu.counts_energy:
            told.append("Energy is that of the GPU's own counter.")
        return (*told, SOFTWARE_NOTE.format(spec=self._gpu.spec))

    @property
    @override
    def most_power_w(self) -> float:
        return self._limit.most_w * OVER_LIMIT

    @override
    def read_power(self) -> PowerReading:
        if not self.rails:
            raise error_of(NO_POWER, device=self.name)
        # The clock is read after the sensors, whose reading takes a while.
        read_w = watts_from_milliwatts(float(self._gpu.number_of("get_power", "power_mw")))
        power_w = board_w({RAIL: read_w}, (RAIL,))
        energy_j = self._energy_j()
        return PowerReading(
            time_s=self.clock.now_s(), rails_w={RAIL: power_w}, power_w=power_w, energy_j=energy_j
        )

    def _energy_j(self) -> float:
        if not self._gpu.counts_energy:
            return math.nan
        try:
            return joules_from_millijoules(float(self._gpu.number_of("get_cumulative_energy", "energy_mj")))
        except DeviceError:
            return math.nan  # the sensor does without the counter

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        self._check_workload(workload)
        # PyTorch calls GPUs of AMD by the same name.
        return open_job(workload, target=f"cuda:{self._gpu.number}", data=data, usual_workers=2)

    @override
    def throttle_count(self) -> int:
        return 0

    @override
    def temperature_c(self) -> float:
        return math.nan

    @override
    def environment(self) -> Mapping[str, str]:
        return {"pci_address": self._gpu.address} if self._gpu.address else {}
