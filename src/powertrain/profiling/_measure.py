"""Measuring one mode, as a coroutine: whoever trains runs it, be that a job or somebody's own loop.

It yields whenever a minibatch is to be trained, and is then sent whether one was: `True`, or `False` where
the time since was a pause (an evaluation, the end of an epoch).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice
from powertrain.profiling._procedure import Procedure
from powertrain.profiling._sampler import Sampler, Span
from powertrain.profiling._settle import drift, interval_half_width, is_level, last_two_agree
from powertrain.profiling._watch import Watch
from powertrain.quantities import POWER, TIME, by_column
from powertrain.records import PowerMode, Profile
from powertrain.units import ms_from_s

__all__ = ["FLAGS", "Steps", "Stretch", "Subject", "measure"]

Steps = Generator[None, "bool | None", Profile]
"""Measures one mode: yields for each minibatch, and returns the profile."""

FLAGS: Mapping[str, str] = {
    "throttled": "the device cut its clocks by itself meanwhile",
    "unsteady": "it was begun before times and power were steady, because they would not be",
    "drifting": "times or power kept rising or falling while it was taken",
    "interrupted": "many minibatches took several times as long as the others, or the clock was set back",
    "undone": "something else set the device meanwhile, or it was restored",
    "capped": "a clock ran below what was set, for the firmware or a limit",
    "shared": "another process used the device meanwhile",
    "sensor_failed": "the power sensor failed, so there is a time alone",
    "sensors_disagree": "two sensors of the device tell different powers",
    "out_of_memory": "a minibatch did not fit into memory, so there is no number",
    "unreachable": "the device did not take the mode, so there is no number",
}
"""Why a profile is kept and left out of fits."""

POWER_WINDOW_S = 1.0
"""Readings that are looked at to tell whether the power is level; more where a minibatch takes longer."""
LEAST_READINGS = 4
OUTLIER = 5.0
"""A minibatch that takes so many times the median was interrupted."""
MOST_LEFT_OUT = 0.05
"""Share of the minibatches that may have been interrupted: they are left out, and the others count.

A loader whose workers are too slow hands out bursts, a minibatch from each worker, and stalls between them.
These stalls are the training's own. With fewer than twenty workers they are more frequent than this.
"""
LEAST_TO_DRIFT = 8
"""Values of which it can be told whether they drift."""


@final
@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured, as far as a measurement has to know."""

    workload: str
    warm_up_minibatches: int = 1
    units_per_minibatch: float = 1.0
    description: Mapping[str, str] = field(default_factory=dict[str, str])


@final
@dataclass(kw_only=True)
class Stretch:
    """The minibatches since the last pause.

    After a pause the first ones are discarded. A loader of one or two minibatches has none to spare.
    """

    discarded: int
    minibatches: int = 0

    def was_short(self) -> bool:
        """Begin anew after a pause; tell whether too few came before it to discard any."""
        minibatches, self.minibatches = self.minibatches, 0
        return 0 < minibatches < self.discarded + 2


@final
class _Counted:
    """The minibatches that count: how long each took, and the spans of time that they fill.

    On a machine that does other work, a minibatch of a few milliseconds takes several times as long as the
    others now and then. A few such minibatches are left out of times and spans, like pauses.
    """

    def __init__(self, *, senses_power: bool) -> None:
        self._senses_power = senses_power
        self.clock_set_back = False
        self.many_outliers = False
        """Whether too much was interrupted to leave it out."""
        self._each: list[tuple[Span, bool]] = []
        self._follows = False
        self._most_s = math.inf
        self._outliers = 0

    def add(self, before_s: float, after_s: float) -> None:
        """Count one."""
        if after_s <= before_s:
            self.clock_set_back = True
            self.pause()
            return
        self._each.append(((before_s, after_s), self._follows))
        self._follows = True
        seconds = [end_s - start_s for (start_s, end_s), _ in self._each]
        self._most_s = OUTLIER * float(np.median(seconds))
        outliers = [each_s for each_s in seconds if each_s > self._most_s]
        self._outliers = len(outliers)
        # The device rests meanwhile, and a sensor that averages remembers a long rest.
        rested = self._senses_power and 2 * sum(outliers) > sum(seconds)
        self.many_outliers = rested or len(outliers) > MOST_LEFT_OUT * len(seconds)

    def pause(self) -> None:
        """End the span; without a pause, two minibatches are one."""
        self._follows = False

    @property
    def left_out(self) -> int:
        """How many are left out; none where there are many."""
        return 0 if self.many_outliers else self._outliers

    @property
    def times_s(self) -> list[float]:
        """How long each of the others took."""
        return [end_s - start_s for (start_s, end_s), _ in self._each if self._counts(end_s - start_s)]

    @property
    def spans(self) -> list[Span]:
        """The time that they fill."""
        spans, joined = list[Span](), False
        for (start_s, end_s), follows in self._each:
            counts = self._counts(end_s - start_s)
            if counts:
                spans.append((spans.pop()[0] if joined and follows else start_s, end_s))
            joined = counts
        return spans

    @property
    def interrupted(self) -> bool:
        """Whether something came between that no mean should hold."""
        return self.clock_set_back or self.many_outliers

    def _counts(self, seconds: float) -> bool:
        return self.many_outliers or seconds <= self._most_s


def measure(
    device: AbstractLiveDevice, subject: Subject, mode: PowerMode, how: Procedure, *, held: bool = True
) -> Steps:
    """Measure the mode that is being held; see the module for what is yielded and sent.

    Without `held` nothing is: the device is measured as it was found, and the mode is only a name for that.

    Returns:
        The profile, as the value of the generator.
    """
    clock, throttles, start_c = device.clock, device.throttle_count(), device.temperature_c()
    started_s = clock.now_s()
    sampler, watch = Sampler(device, how.sample_period_s), Watch(device, held=held)
    with sampler.running():
        steady = yield from _stabilise(device, subject, sampler, how, started_s)
        with watch.running():
            counted = yield from _count(device, subject, sampler, how, started_s)
        sampler.read()
    spoilt = watch.found()
    readings_w, power_w = sampler.power_w(counted.spans), sampler.mean_power_w(counted.spans)
    lost = sampler.gives_nothing or (sampler.reads_power and not power_w > 0)
    contradiction = "" if lost else sampler.disagreement(counted.spans)
    time_s, time_rel_se = _mean(counted.times_s)
    _, power_rel_se = _mean(readings_w)
    flagged = {
        "throttled": device.throttle_count() > throttles,
        "unsteady": not steady,
        "drifting": any(_drifts(values, how) for values in (counted.times_s, readings_w)),
        "interrupted": counted.interrupted,
        **{flag: flag in spoilt for flag in ("undone", "capped", "shared")},
        "sensor_failed": lost,
        "sensors_disagree": bool(contradiction),
    }
    others = _others(sampler.others(counted.spans))
    return Profile(
        device=device.name,
        workload=subject.workload,
        mode=mode,
        values={
            **{column: value for column, (value, _) in others.items()},
            TIME.column: ms_from_s(time_s) / subject.units_per_minibatch,
            POWER.column: math.nan if lost else power_w,
        },
        se={
            **{column: se for column, (_, se) in others.items()},
            TIME.column: time_rel_se,
            POWER.column: math.nan if lost else power_rel_se,
        },
        duration_s=max(clock.now_s() - started_s, 0.0),
        flags=tuple(name for name, is_so in flagged.items() if is_so),
        extra={
            **_extra(device, subject, sampler, counted, start_c),
            **spoilt,
            **({"sensors": contradiction} if contradiction else {}),
        },
    )


def _stabilise(
    device: AbstractLiveDevice, subject: Subject, sampler: Sampler, how: Procedure, started_s: float
) -> Generator[None, bool | None, bool]:
    """Train until times and power are steady; return whether they are."""
    clock, stretch = device.clock, Stretch(discarded=max(how.discarded, subject.warm_up_minibatches))
    # A published procedure is kept to the letter, also where the sensors are slower than it knew.
    settle_s = max(how.stabilise_s, device.settle_s) if how.tests_steadiness else how.stabilise_s
    least_window_s = np.nanmax([POWER_WINDOW_S, 2 * device.power_window_s])
    times_s: list[float] = []
    while True:
        before_s = clock.now_s()
        if not (yield):
            if not stretch.was_short():
                times_s.clear()
            started_s += clock.now_s() - before_s  # a pause takes nothing of the time to become steady
            continue
        now_s = clock.now_s()
        stretch.minibatches += 1
        times_s.append(now_s - before_s)
        if len(times_s) < stretch.discarded or now_s < started_s + settle_s:
            continue
        # The first minibatches are slow by nature, so the times are compared after them.
        agree = last_two_agree(times_s[stretch.discarded :], tolerance=how.time_tolerance)
        level = True
        if sampler.reads_power:
            window_s = max(float(least_window_s), times_s[-1])
            level = is_level(sampler.power_w([(now_s - window_s, now_s)]), tolerance=how.power_tolerance)
        if not how.tests_steadiness or (level and agree):
            return True
        if now_s >= started_s + how.stabilise_limit_s and len(times_s) >= stretch.discarded + 2:
            # A sensor that gives nothing is not a sign of unsteadiness: that has a flag of its own.
            return agree and sampler.gives_nothing


def _count(
    device: AbstractLiveDevice, subject: Subject, sampler: Sampler, how: Procedure, started_s: float
) -> Generator[None, bool | None, _Counted]:
    """Train and count until it is enough."""
    clock, counted, skipped = device.clock, _Counted(senses_power=sampler.reads_power), 0
    stretch = Stretch(discarded=max(how.discarded, subject.warm_up_minibatches))
    sampler.read()
    while not _enough(counted, sampler, how, clock.now_s() - started_s):
        before_s = clock.now_s()
        trained = yield
        after_s = clock.now_s()
        if not trained:
            counted.pause()
            started_s += after_s - before_s
            skipped = 0 if stretch.was_short() else stretch.discarded
            continue
        stretch.minibatches += 1
        if skipped:
            skipped -= 1
        else:
            counted.add(before_s, after_s)
    return counted


def _enough(counted: _Counted, sampler: Sampler, how: Procedure, spent_s: float) -> bool:
    """Tell whether what was measured will do."""
    times_s = counted.times_s
    n = len(times_s)
    if n >= how.most_minibatches or (n >= 2 and spent_s >= how.limit_s):
        return True
    if n < how.least_minibatches or counted.many_outliers or interval_half_width(times_s) > how.precision:
        return False
    if not sampler.reads_power or sampler.gives_nothing:
        return True
    readings_w = sampler.power_w(counted.spans)
    return len(readings_w) >= LEAST_READINGS and interval_half_width(readings_w) <= how.precision


def _drifts(values: list[float], how: Procedure) -> bool:
    return len(values) >= LEAST_TO_DRIFT and drift(values) > how.drift_tolerance


def _mean(values: list[float]) -> tuple[float, float]:
    """Return a mean and its relative standard error (NaN of fewer than two values)."""
    mean = float(np.mean(values)) if values else math.nan
    return mean, _se(values) / mean if mean > 0 else math.nan


def _se(values: list[float]) -> float:
    """Return the standard error of a mean (NaN of fewer than two values)."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else math.nan


def _others(readings: Mapping[str, list[float]]) -> dict[str, tuple[float, float]]:
    """Return mean and standard error of each further quantity, relative where its errors are."""
    known, found = by_column(), dict[str, tuple[float, float]]()
    for column, values in readings.items():
        mean, rel_se = _mean(values)
        if column in known and known[column].holds(mean):
            found[column] = mean, rel_se if known[column].is_log else _se(values)
    return found


def _extra(
    device: AbstractLiveDevice, subject: Subject, sampler: Sampler, counted: _Counted, start_c: float
) -> dict[str, str]:
    """Return what else a profile says: temperatures, what the power is a sum of, the software."""
    found = {"minibatches": str(len(counted.times_s))}
    if counted.left_out:
        found["left_out_minibatches"] = str(counted.left_out)
    if sampler.reads_power:
        found["power_from"] = " + ".join(device.rails)
        found["energy_by"] = "counter" if sampler.counts_energy else "trapezoid"
        if dropped := sampler.dropped:
            found["dropped_readings"] = dropped
    if sampler.missed:
        found["missed_readings"] = str(sampler.missed)
    if sampler.failures:
        found["failed_readings"] = f"{sampler.failures} ({sampler.error})"
    for column, values in sampler.others(counted.spans).items():
        if column not in by_column():
            found[column] = f"{np.mean(values):.6g}"
    for name, celsius in (("start_c", start_c), ("end_c", device.temperature_c())):
        if not math.isnan(celsius):
            found[name] = f"{celsius:.1f}"
    return {**found, **device.environment(), **subject.description}
