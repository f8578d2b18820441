"""Measuring a workload in some modes, one after the other, on a device that can be held and read."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice, Job
from powertrain.errors import MissingKnobError
from powertrain.records import ModeTable, PowerMode, Profile
from powertrain.units import ms_from_s

__all__ = ["Procedure", "Progress", "profile_modes"]

Progress = Callable[[int, int, str], None]
"""Told about every step: modes done, modes in all, what comes next."""

THROTTLED = "throttled"
"""Flag of a profile during which the device cut its clocks by itself."""


@final
@dataclass(frozen=True, kw_only=True)
class Procedure:
    """How a mode is measured; by default as in the paper, as far as that is remembered (arXiv 2407.13944)."""

    stabilise_s: float = 3.0
    """Training after a change of mode that is not counted: clocks, caches and power sensors settle."""
    minibatches: int = 40
    """Minibatches, of which the first are not counted; stabilising may take more."""
    discarded: int = 1
    """How many at least are not counted."""
    sample_period_s: float = 1.0
    """Between readings of the power."""

    def __post_init__(self) -> None:
        if not 0 <= self.discarded < self.minibatches:
            raise ValueError(
                f"{self.discarded} of {self.minibatches} minibatches discarded: leave at least one"
            )
        if not (self.stabilise_s >= 0 and self.sample_period_s > 0):
            raise ValueError("the rest is at least 0 s and the period of the readings above 0 s")


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
        procedure: How; the paper's way by default.
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
    settling = 0
    while settling < how.discarded or clock.now_s() < started_s + how.stabilise_s:
        job.step()
        settling += 1
    times_s: list[float] = []
    readings_w: list[float] = []

    def read() -> None:
        readings_w.append(device.read_power().power_w)

    with clock.every(how.sample_period_s, read):
        before_s = clock.now_s()
        for _ in range(how.minibatches - how.discarded):
            job.step()
            now_s = clock.now_s()
            times_s.append(now_s - before_s)
            before_s = now_s
    if not readings_w:
        read()  # all was over within one period
    time_ms, time_rel_se = _mean(times_s)
    power_w, power_rel_se = _mean(readings_w)
    return Profile(
        device=device.name,
        workload=job.workload,
        mode=mode,
        time_ms=ms_from_s(time_ms),
        power_w=power_w,
        time_rel_se=time_rel_se,
        power_rel_se=power_rel_se,
        duration_s=clock.now_s() - started_s,
        flags=(THROTTLED,) if device.throttle_count() > throttles else (),
    )


def _mean(values: list[float]) -> tuple[float, float]:
    """Return a mean and its relative standard error (NaN of a single value)."""
    array = np.array(values)
    mean = float(array.mean())
    if len(array) < 2:
        return mean, float("nan")
    return mean, float(array.std(ddof=1) / np.sqrt(len(array)) / mean)
