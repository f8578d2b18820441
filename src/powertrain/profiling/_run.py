"""Measuring a workload in some modes, one after the other, on a device that can be held and read."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice, Job
from powertrain.errors import MissingKnobError
from powertrain.profiling._settle import interval_half_width, is_level, last_two_agree
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.units import ms_from_s

__all__ = ["Procedure", "Progress", "profile_modes"]

Progress = Callable[[int, int, str], None]
"""Told about every step: modes done, modes in all, what comes next."""

THROTTLED = "throttled"
"""Flag of a profile during which the device cut its clocks by itself."""
UNSTEADY = "unsteady"
"""Flag of a profile that was begun before times and power were steady, because they would not be."""

POWER_WINDOW_S = 1.0
"""Readings that are looked at to tell whether the power is level; more where a minibatch takes longer."""
LEAST_READINGS = 4


@final
@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How a mode is measured.

    By default as much as the precision asks for: train until times and power are steady, then until the
    95 % confidence intervals of both means are narrow. `paper` is the published way.
    """

    stabilise_s: float = 1.0
    """Training after a change of mode that is not counted, at least: clocks, caches and sensors settle."""
    stabilise_limit_s: float = 15.0
    """And at most, unless a single minibatch takes longer; a mode that is not steady then is flagged."""
    time_tolerance: float = 0.1
    """Times are steady when the last two minibatches agree to within this, relative; infinity: no test."""
    power_tolerance: float = 0.025
    """Power is steady when the halves of the last second of readings agree to within this."""
    discarded: int = 1
    """Minibatches that are not counted, at least: the first in a mode is slow."""
    least_minibatches: int = 5
    """Minibatches that are counted, at least."""
    most_minibatches: int = 40
    precision: float = 0.02
    """Relative half-width of the 95 % confidence intervals of both means at which measuring ends."""
    limit_s: float = 300.0
    """Time on one mode after which measuring ends with what there is: two minibatches at least."""
    sample_period_s: float = 0.2
    """Between readings of the power."""

    def __post_init__(self) -> None:
        if self.discarded < 0 or not 1 <= self.least_minibatches <= self.most_minibatches:
            raise ValueError(
                f"{self.least_minibatches} to {self.most_minibatches} minibatches after {self.discarded}: "
                "count at least one"
            )
        if not (0 <= self.stabilise_s <= self.stabilise_limit_s and self.sample_period_s > 0):
            raise ValueError("stabilising takes 0 s or more, up to its limit; the period is above 0 s")
        if not min(self.precision, self.time_tolerance, self.power_tolerance, self.limit_s) > 0:
            raise ValueError("precision, tolerances and the limit on a mode are above 0")

    @classmethod
    def paper(cls) -> Procedure:
        """Return the paper's procedure, as far as it is remembered (arXiv 2407.13944).

        A few seconds to stabilise, 40 minibatches without the first, and a reading of the power each second.
        """
        return cls(
            stabilise_s=3.0,
            stabilise_limit_s=3.0,
            time_tolerance=math.inf,
            power_tolerance=math.inf,
            least_minibatches=39,
            most_minibatches=39,
            limit_s=math.inf,
            sample_period_s=1.0,
        )

    @property
    def tests_steadiness(self) -> bool:
        """Whether times and power have to be steady before they are counted."""
        return math.isfinite(self.time_tolerance) or math.isfinite(self.power_tolerance)


def profile_modes(
    device: AbstractLiveDevice,
    workload: str,
    modes: ModeTable,
    *,
    procedure: Procedure | None = None,
    progress: Progress | None = None,
) -> Generator[Profile, None, None]:
    """Measure a workload in each of `modes`, in their order; yield each profile as soon as it is finished.

    Each mode is held while it is measured, and given back on every way out: also when the caller stops
    asking, or presses Ctrl-C.

    Args:
        device: What is measured.
        workload: One of the device's.
        modes: `(n, n_knobs)` modes of the device.
        procedure: How; as much as the precision asks for, by default.
        progress: Told about every mode.

    Raises:
        UnknownNameError, MissingKnobError, DeviceError: The device lacks the workload, a knob or a mode.
    """
    if set(modes.knobs) != set(device.space.names):
        raise MissingKnobError(
            f"the modes have the knobs {', '.join(modes.knobs)}; {device.name} has "
            f"{', '.join(device.space.names)}: give exactly these"
        )
    how = procedure or Procedure()
    job = device.job(workload)
    for done, mode in enumerate(modes):
        if progress is not None:
            progress(done, len(modes), str(mode))
        with device.hold(mode):
            profile = _measure(device, job, mode, how)
        yield profile


def _measure(device: AbstractLiveDevice, job: Job, mode: PowerMode, how: Procedure) -> Profile:
    """Measure the mode that is being held."""
    clock, throttles = device.clock, device.throttle_count()
    started_s = clock.now_s()
    readings = _Readings(device)
    with clock.every(how.sample_period_s, readings.read):
        steady = _stabilise(device, job, readings, how, started_s)
        readings.forget()
        times_s: list[float] = []
        while not _enough(times_s, readings.power_w, how, clock.now_s() - started_s):
            before_s = clock.now_s()
            job.step()
            times_s.append(clock.now_s() - before_s)
    if not readings.power_w:
        readings.read()  # all was over within one period
    time_s, time_rel_se = _mean(times_s)
    power_w, power_rel_se = _mean(readings.power_w)
    throttled = device.throttle_count() > throttles
    return Profile(
        device=device.name,
        workload=job.workload,
        mode=mode,
        time_ms=ms_from_s(time_s),
        power_w=power_w,
        time_rel_se=time_rel_se,
        power_rel_se=power_rel_se,
        duration_s=clock.now_s() - started_s,
        flags=(*([THROTTLED] if throttled else []), *([] if steady else [UNSTEADY])),
    )


@final
class _Readings:
    """Readings of the power, in the order of their times."""

    def __init__(self, device: AbstractLiveDevice) -> None:
        self._device = device
        self.power_w: list[float] = []
        self._times_s: list[float] = []

    def read(self) -> None:
        """Take one."""
        reading = self._device.read_power()
        self.power_w.append(reading.power_w)
        self._times_s.append(reading.time_s)

    def forget(self) -> None:
        """Begin anew."""
        self.power_w, self._times_s = [], []

    def since(self, time_s: float) -> list[float]:
        """Return the readings after a moment."""
        return self.power_w[bisect.bisect_right(self._times_s, time_s) :]


def _stabilise(
    device: AbstractLiveDevice, job: Job, readings: _Readings, how: Procedure, started_s: float
) -> bool:
    """Train until times and power are steady; return whether they are."""
    clock = device.clock
    times_s: list[float] = []
    while True:
        before_s = clock.now_s()
        job.step()
        now_s = clock.now_s()
        times_s.append(now_s - before_s)
        if len(times_s) < how.discarded or now_s < started_s + how.stabilise_s:
            continue
        # The first minibatch is slow by nature, so the times are compared from the second on.
        window_s = max(POWER_WINDOW_S, times_s[-1])
        level = is_level(readings.since(now_s - window_s), tolerance=how.power_tolerance)
        agree = last_two_agree(times_s[how.discarded :], tolerance=how.time_tolerance)
        if not how.tests_steadiness or (level and agree):
            return True
        if now_s >= started_s + how.stabilise_limit_s and len(times_s) >= how.discarded + 2:
            return False


def _enough(times_s: list[float], power_w: list[float], how: Procedure, spent_s: float) -> bool:
    """Tell whether what was measured will do."""
    n = len(times_s)
    if n >= how.most_minibatches or (n >= 2 and spent_s >= how.limit_s):
        return True
    if n < how.least_minibatches or len(power_w) < LEAST_READINGS:
        return False
    return max(interval_half_width(times_s), interval_half_width(power_w)) <= how.precision


def _mean(values: list[float]) -> tuple[float, float]:
    """Return a mean and its relative standard error (NaN of a single value)."""
    array = np.array(values)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, float("nan")
    return mean, float(array.std(ddof=1) / np.sqrt(len(array)) / mean)
