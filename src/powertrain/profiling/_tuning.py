"""Trying modes while a training runs, and then holding the one that was decided on.

What decides is not here: a `Director` is asked which mode to try, which one to hold, and what to make of how
the training goes in it. So this file knows devices and no models, and a director the other way round.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import DeviceError
from powertrain.planning import ModeSource
from powertrain.profiling._measure import Stretch, Subject, measure
from powertrain.profiling._options import RunOptions
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._run import Prepare, Run, one_mode
from powertrain.profiling._sampler import Sampler
from powertrain.records import PowerMode, Profile
from powertrain.units import ms_from_s

__all__ = ["Director", "Glance", "Watching", "tune_modes"]

MOST_SENSOR_FAILURES = 2
"""Trials one after the other whose power could not be read, after which no more is tried."""
FASTEST_GROWTH = 4
"""Of the minibatches that are timed together, from one block to the next."""
MOST_LOST = 3
"""Times that a mode which something else has changed is set again."""


@final
@dataclass(frozen=True, kw_only=True)
class Watching:
    """How closely the mode that is held is watched; looking costs well below 1 % of a minibatch."""

    glance_s: float = 10.0
    """Training that one look takes in, at least."""
    block_s: float = 0.5
    """Minibatches that are timed together take about so long."""
    least_blocks: int = 4
    sample_period_s: float = 0.5
    """Between readings of the power."""

    def __post_init__(self) -> None:
        if not (min(self.glance_s, self.block_s, self.sample_period_s) > 0 and self.least_blocks > 0):
            raise ValueError("times and numbers of a watch are above 0")


@final
@dataclass(frozen=True, kw_only=True)
class Glance:
    """How a training went for a while in the mode that is held."""

    time_ms: float
    """Time of a minibatch, the median of blocks."""
    power_w: float
    """Mean power; NaN where it cannot be read."""
    duration_s: float
    minibatches: int
    throttled: bool
    """Whether the device has cut its clocks by itself meanwhile."""
    at_s: float
    """When it ended, on the device's clock."""


class Director(ModeSource):
    """Says which modes a training tries, in which it goes on, and when it is to try again."""

    @abstractmethod
    def begin(self) -> bool:
        """Take in that the training begins; return whether to measure it before anything is changed."""

    @abstractmethod
    def found(self, profile: Profile, *, is_mode: bool) -> None:
        """Take in how the training goes before anything is changed.

        With `is_mode` the device was found in a mode of its space, which the profile names; without, the
        profile's mode is the upper end of what each knob was left to.
        """

    @abstractmethod
    def decide(self) -> PowerMode | None:
        """Return the mode to go on in, None to leave the device as it was found; `ask` had none to try."""

    @abstractmethod
    def saw(self, glance: Glance) -> bool:
        """Take in how the training goes in the mode that is held; return whether to try modes again."""

    @abstractmethod
    def lost(self, why: str) -> None:
        """Take in that something else has changed the mode that was held; it is set again."""


def tune_modes(
    device: AbstractLiveDevice,
    workload: str,
    director: Director,
    prepare: Prepare,
    options: RunOptions,
    watching: Watching | None = None,
) -> Run:
    """Try the modes that a director asks for, then hold the one that it decides on, for good.

    Between trials, and after the end, the device is as it was found. Ends by itself only where there is
    nothing to hold.

    Raises:
        DeviceError: The power sensor fails in one trial after the other, or the mode that is held is changed
            by something else again and again.
    """
    how, failures, lost = options.procedure or Procedure(), 0, 0
    with device.reserved():
        if director.begin():
            yield from _look_first(device, director, prepare, how)
        while True:
            while (mode := director.ask()) is not None:
                profile = yield from one_mode(device, workload, mode, prepare, how)
                yield profile
                director.tell(profile)
                failures = failures + 1 if "sensor_failed" in profile.flags else 0
                if failures == MOST_SENSOR_FAILURES:
                    raise DeviceError(
                        f"the power sensor of {device.name} failed in {failures} trials one after the other "
                        f"({profile.extra.get('failed_readings', '')})"
                    )
            if (mode := director.decide()) is None:
                return
            with device.hold(mode):
                why = yield from _watch(device, prepare(mode), director, watching or Watching())
            if why:
                lost += 1
                if lost == MOST_LOST:
                    raise DeviceError(f"{device.name} does not stay in {mode}: {why}")
                director.lost(why)


def found_mode(device: AbstractLiveDevice) -> tuple[PowerMode, bool]:
    """Return the mode that the device is in, and whether it is one of its space.

    Where a knob is left to move, it is the upper end; where it cannot be read, the knob's highest value.
    """
    seen = device.in_force()
    knobs = device.space.knobs
    mode = PowerMode({k.name: seen[k.name][1] if k.name in seen else max(k.values) for k in knobs})
    fixed = all(k.name in seen and seen[k.name][0] == seen[k.name][1] for k in knobs)
    return mode, fixed and mode in device.space


def _look_first(
    device: AbstractLiveDevice, director: Director, prepare: Prepare, how: Procedure
) -> Generator[Profile | None, bool | None, None]:
    """Measure the training as the device was found."""
    mode, is_mode = found_mode(device)
    profile = yield from measure(device, prepare(None), mode, how, held=False)
    if is_mode:
        yield profile
    director.found(profile, is_mode=is_mode)


def _watch(
    device: AbstractLiveDevice, subject: Subject, director: Director, how: Watching
) -> Generator[int, bool | None, str]:
    """Look now and then how the training goes in the mode that is held, until the director wants to leave it.

    Returns:
        Why the mode is no longer in force; empty if the director wants to try again.
    """
    sampler = Sampler(device, how.sample_period_s)
    with sampler.running():
        while True:
            glance = yield from _glance(device, subject, sampler, how)
            if why := device.still_holds():
                return why
            if director.saw(glance):
                return ""


def _glance(
    device: AbstractLiveDevice, subject: Subject, sampler: Sampler, how: Watching
) -> Generator[int, bool | None, Glance]:
    clock, throttles = device.clock, device.throttle_count()
    times_s: list[float] = []
    spans: list[tuple[float, float]] = []
    stretch = Stretch(discarded=subject.warm_up_minibatches)
    block, minibatches, skipped = 1, 0, stretch.discarded
    while sum(end_s - start_s for start_s, end_s in spans) < how.glance_s or len(spans) < how.least_blocks:
        before_s = clock.now_s()
        trained = yield block
        after_s = clock.now_s()
        if not trained:
            skipped, block = 0 if stretch.was_short() else stretch.discarded, 1
            continue
        stretch.minibatches += block
        each_s = (after_s - before_s) / block
        if skipped > 0 or each_s <= 0:
            skipped -= block
        else:
            times_s.append(each_s)
            spans.append((before_s, after_s))
            minibatches += block
        # Nobody waits for the device, so the first minibatches may only seem to be quick.
        block = max(1, min(round(how.block_s / max(each_s, 1e-9)), FASTEST_GROWTH * block))
    sampler.read()
    lost = sampler.gives_nothing
    glance = Glance(
        time_ms=ms_from_s(float(np.median(times_s))) / subject.units_per_minibatch,
        power_w=math.nan if lost else sampler.mean_power_w(spans),
        duration_s=sum(end_s - start_s for start_s, end_s in spans),
        minibatches=minibatches,
        throttled=device.throttle_count() > throttles,
        at_s=clock.now_s(),
    )
    sampler.forget()
    return glance
