"""Reading the power while a training runs: readings with their times, and the energy between two moments."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice, PowerReading
from powertrain.errors import DeviceError
from powertrain.records import FloatArray

__all__ = ["Sampler", "Span", "integrate_j"]

Span = tuple[float, float]
"""Beginning and end [s] on the device's clock."""


def integrate_j(times_s: FloatArray, power_w: FloatArray, span: Span) -> float:
    """Integrate readings `(n,)` over a span by the trapezoidal rule; return the energy [J].

    Before the first reading and after the last the power is taken as theirs; without any the energy is NaN.
    """
    if not len(times_s):
        return math.nan
    start_s, end_s = span
    inside = (times_s > start_s) & (times_s < end_s)
    at_s = np.concatenate([[start_s], times_s[inside], [end_s]])
    at_w = np.interp(at_s, times_s, power_w)  # holds the end values beyond the ends
    return float(((at_w[1:] + at_w[:-1]) / 2 * np.diff(at_s)).sum())


def _within(times_s: FloatArray, spans: Sequence[Span]) -> list[int]:
    """Return the numbers of the readings within some spans."""
    ends = (np.searchsorted(times_s, span, side="right").tolist() for span in spans)
    return [i for first, last in ends for i in range(first, last)]


MANY_FAILURES = 5
PATIENCE_S = 5.0
"""For a reading that another thread has begun."""
STALE_S = 1.0
"""Age beyond the period at which a reading is no answer: it would be taken for the power of another mode."""
LEAST_AROUND = 4
"""Values of which it can be told whether one does not belong to them."""
OVER_OTHERS = 20.0
"""How far above the middle of all others one is not believed, where the device tells no limit of its own."""
SLACK_S = 0.1
"""Counters move now and then, NVML's ten times a second: a short step may hold the energy of a longer
time."""
LEAST_COVERED = 0.5
"""Share of the time whose energy has to be known for a mean."""
TOLERANCE = 0.15
"""How far two sensors of one device may be apart, relative: boards' sensors are rated 5 % each, and one that
averages follows a load that swings only in part."""
MOST_NOISE = 0.15
"""What noise of the readings adds to that at most, however much they swing."""


@final
class Sampler:
    """Reads the power of a device at a fixed period, on a thread if the clock is real.

    A device with an energy counter is integrated by it; otherwise the readings are, by trapezoid. A counter
    misses nothing between two readings, and so is preferred; where it cannot be used the readings are. What
    no machine draws enters no mean: a counter that falls or leaps, a reading below zero or beyond all others.
    """

    def __init__(self, device: AbstractLiveDevice, period_s: float) -> None:
        self._device, self._period_s = device, period_s
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._readings: list[PowerReading] = []
        self._failed_in_a_row = 0
        self._asked_s = math.nan
        self.failures = 0
        """Readings that the sensor did not give, or that cannot be."""
        self.error: Exception | None = None
        """Why it did not give the last of them."""

    @property
    def reads_power(self) -> bool:
        """Whether the device has a power sensor."""
        return bool(self._device.rails)

    @property
    def gives_nothing(self) -> bool:
        """Whether the sensor fails: the last `MANY_FAILURES` readings, or most of them; or one never ends."""
        hangs = self._device.clock.now_s() - self._asked_s > PATIENCE_S
        return hangs or self._failed_in_a_row >= MANY_FAILURES or self.failures > len(self._readings)

    @contextmanager
    def running(self) -> Generator[None]:
        """Take a reading now and after each period while the context lasts."""
        if not self.reads_power:
            yield
            return
        self.read()
        with self._device.clock.every(self._period_s, self.read):
            yield

    def read(self) -> None:
        """Take one reading now."""
        if not self.reads_power:
            return
        # One at a time. A reading that hangs must hang nobody else: not whoever asks for what was read so
        # far.
        if not self._reading.acquire(timeout=PATIENCE_S):
            self._fail(DeviceError(f"the power sensor has not answered for {PATIENCE_S:g} s"))
            return
        try:
            self._asked_s = self._device.clock.now_s()
            reading = self._device.read_power()
            self._check(reading)
        except (DeviceError, OSError) as error:
            self._fail(error)
        else:
            with self._lock:
                self._failed_in_a_row = 0
                # A source that tells the same line twice has told nothing new.
                if not self._readings or reading.time_s > self._readings[-1].time_s:
                    self._readings.append(reading)
        finally:
            self._asked_s = math.nan
            self._reading.release()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            self.failures += 1
            self._failed_in_a_row += 1
            self.error = error

    def _check(self, reading: PowerReading) -> None:
        """Refuse a reading that is old, or that no device draws; all devices are treated alike."""
        age_s = self._device.clock.now_s() - reading.time_s
        if age_s > STALE_S + self._period_s:
            raise DeviceError(f"the power sensor's latest reading is {age_s:.1f} s old")
        power_w = reading.power_w
        if math.isnan(power_w):
            if math.isnan(reading.energy_j) and not reading.dropped:
                raise DeviceError("the power sensor shows nothing")
        elif power_w < 0 or (power_w == 0 and math.isnan(reading.energy_j)):
            raise DeviceError(f"the power sensor shows {power_w:.4g} W, which cannot be")
        elif power_w > self._device.most_power_w:
            most_w = self._device.most_power_w
            raise DeviceError(
                f"the power sensor shows {power_w:.4g} W, and the device draws {most_w:.4g} W at most"
            )

    def forget(self) -> None:
        """Leave out all readings but the last, from which the next span goes on."""
        with self._lock:
            del self._readings[:-1]
            self.failures = 0

    @property
    def counts_energy(self) -> bool:
        """Whether the mean is by an energy counter: one that counted over most of the time."""
        return self._steps().is_enough

    @property
    def missed(self) -> int:
        """Readings that were due and came too late by a period or more."""
        gaps = np.diff(self._times_s()) / self._period_s
        return int(np.maximum(np.round(gaps) - 1, 0).sum())

    @property
    def dropped(self) -> str:
        """How many readings enter no mean, and why the last of them does not; empty where all do."""
        steps, left_out = self._steps(), self._left_out()
        reasons = [reading.dropped for reading in self._readings if reading.dropped]
        if steps.refused:
            reasons += [steps.refused_because] * steps.refused
        if left_out:
            reasons += [f"a reading was more than {OVER_OTHERS:g} times all others"] * left_out
        return f"{len(reasons)} ({reasons[-1]})" if reasons else ""

    def power_w(self, spans: Sequence[Span]) -> list[float]:
        """Return the readings within some spans, in the order of their times."""
        times_s, power_w = self._believed()
        return [float(power_w[i]) for i in _within(times_s, spans)]

    def others(self, spans: Sequence[Span]) -> dict[str, list[float]]:
        """Return the readings of everything else within some spans, by column, without those that are NaN."""
        readings = self._read_so_far()
        found: dict[str, list[float]] = {}
        for i in _within(np.array([reading.time_s for reading in readings]), spans):
            for column, value in readings[i].others.items():
                if not math.isnan(value):
                    found.setdefault(column, []).append(value)
        return found

    def mean_power_w(self, spans: Sequence[Span]) -> float:
        """Return the energy over some spans, divided by their duration; NaN where it is not known."""
        if not sum(end_s - start_s for start_s, end_s in spans) > 0:
            return math.nan
        steps = self._steps()
        counted_w = steps.mean_w(spans) if steps.is_enough else math.nan
        return self._mean_reading_w(spans) if math.isnan(counted_w) else counted_w

    def disagreement(self, spans: Sequence[Span]) -> str:
        """Return how two sensors of the device contradict each other over some spans; empty if they do not.

        A counter and a sensor of the power have to tell the same to within `TOLERANCE`, and what noise makes
        of a mean of few readings. What parts of the device draw cannot be more than the whole.
        """
        mean_w, readings_w = self.mean_power_w(spans), self.power_w(spans)
        if not readings_w or not mean_w > 0:
            return ""
        noise_w = 4 * float(np.std(readings_w)) / math.sqrt(len(readings_w))
        noise_w = min(noise_w, MOST_NOISE * mean_w)
        sensor_w = self._mean_reading_w(spans)
        if self.counts_energy and abs(sensor_w - mean_w) > TOLERANCE * max(sensor_w, mean_w) + noise_w:
            return (
                f"the energy counter tells {mean_w:.4g} W, which is kept, and the power sensor "
                f"{sensor_w:.4g} W: they disagree by more than {TOLERANCE:.0%}"
            )
        least_w = self._mean_least_w(spans)
        if least_w > (1 + TOLERANCE) * mean_w + noise_w:
            return (
                f"the whole is told as {mean_w:.4g} W, which is kept, and parts of it as {least_w:.4g} W: "
                f"they disagree by more than {TOLERANCE:.0%}"
            )
        return ""

    def _mean_least_w(self, spans: Sequence[Span]) -> float:
        """Return the mean of what other sensors showed at least; NaN without any."""
        seen = [r for r in self._read_so_far() if any(start < r.time_s <= end for start, end in spans)]
        known = [reading.least_w for reading in seen if math.isfinite(reading.least_w)]
        return float(np.mean(known)) if known and len(known) == len(seen) else math.nan

    def _mean_reading_w(self, spans: Sequence[Span]) -> float:
        times_s, power_w = self._believed()
        # What is left of readings of which most were dropped is no mean of the time.
        if len(times_s) < LEAST_COVERED * len(self._readings):
            return math.nan
        duration_s = sum(end_s - start_s for start_s, end_s in spans)
        return sum(integrate_j(times_s, power_w, span) for span in spans) / duration_s

    def _read_so_far(self) -> list[PowerReading]:
        with self._lock:
            return list(self._readings)

    def _times_s(self) -> FloatArray:
        return np.array([reading.time_s for reading in self._read_so_far()])

    def _believed(self) -> tuple[FloatArray, FloatArray]:
        """Return times and powers of the readings that may enter a mean, `(n,)` each."""
        known = [r for r in self._read_so_far() if math.isfinite(r.power_w) and not r.dropped]
        times_s = np.array([reading.time_s for reading in known])
        power_w = np.array([reading.power_w for reading in known])
        kept = power_w <= _most_w(power_w, self._device.most_power_w)
        return times_s[kept], power_w[kept]

    def _left_out(self) -> int:
        """Return how many readings are beyond all others."""
        known = sum(math.isfinite(r.power_w) and not r.dropped for r in self._read_so_far())
        return known - len(self._believed()[0])

    def _steps(self) -> _Steps:
        return _Steps(self._read_so_far(), most_w=self._device.most_power_w)


@final
class _Steps:
    """What an energy counter counted from reading to reading, without the steps that cannot be."""

    refused_because = "the energy counter fell, or rose by more than can be drawn"

    def __init__(self, readings: Sequence[PowerReading], *, most_w: float) -> None:
        counted: list[PowerReading] = []
        for reading in readings:
            # A counter that moves now and then shows the same between: its step is from one move to the next.
            moved = not counted or reading.energy_j != counted[-1].energy_j or reading.dropped
            if math.isfinite(reading.energy_j) and moved:
                counted.append(reading)
        self.times_s = np.array([reading.time_s for reading in counted])
        seconds, joules = np.diff(self.times_s), np.diff([reading.energy_j for reading in counted])
        told = np.array([not reading.dropped for reading in counted[1:]], dtype=bool)
        watts = joules / (seconds + SLACK_S)
        believed = told & (joules >= 0)
        believed[believed] = watts[believed] <= _most_w(watts[believed], most_w)
        self.refused = int((told & ~believed).sum())
        # Energy and time of what is believed, from the first reading on: a step that is not has neither.
        self._joules = np.concatenate([[0.0], np.cumsum(np.where(believed, joules, 0.0))])
        self._seconds = np.concatenate([[0.0], np.cumsum(np.where(believed, seconds, 0.0))])
        span_s = readings[-1].time_s - readings[0].time_s if readings else 0.0
        self.is_enough = bool(
            len(counted) > 1 and self._joules[-1] > 0 and self._seconds[-1] >= LEAST_COVERED * span_s
        )

    def mean_w(self, spans: Sequence[Span]) -> float:
        """Return the mean power over what is believed of some spans; NaN where that is not most of them."""
        ends_s = np.array(spans).ravel()
        joules, seconds = (np.interp(ends_s, self.times_s, total) for total in (self._joules, self._seconds))
        energy_j, time_s = ((total[1::2] - total[::2]).sum() for total in (joules, seconds))
        if time_s < LEAST_COVERED * (ends_s[1::2] - ends_s[::2]).sum():
            return math.nan
        return float(energy_j / time_s)


def _most_w(watts: FloatArray, limit_w: float) -> float:
    """Return the power beyond which a value is not believed: the device's limit, or many times the others."""
    # A counter that moves now and then shows zeros between: they say nothing of how much is drawn.
    above = watts[watts > 0]
    if math.isfinite(limit_w) or len(above) < LEAST_AROUND:
        return limit_w
    return OVER_OTHERS * float(np.median(above))
