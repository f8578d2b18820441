"""Reading the power while a training runs: readings with their times, and the energy between two moments."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

import numpy as np

from powertrain.devices import AbstractLiveDevice
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


@final
class Sampler:
    """Reads the power of a device at a fixed period, on a thread where the clock is real.

    A device with an energy counter is integrated by it; otherwise the readings are, by trapezoid.
    """

    def __init__(self, device: AbstractLiveDevice, period_s: float) -> None:
        self._device, self._period_s = device, period_s
        self._lock = threading.Lock()
        self._times_s: list[float] = []
        self._power_w: list[float] = []
        self._counter_j: list[float] = []
        self._others: list[Mapping[str, float]] = []
        self._failed_in_a_row = 0
        self.failures = 0
        """Readings that the sensor did not give."""
        self.error: Exception | None = None
        """Why it did not give the last of them."""

    @property
    def reads_power(self) -> bool:
        """Whether the device has a power sensor."""
        return bool(self._device.rails)

    @property
    def gives_nothing(self) -> bool:
        """Whether the sensor fails: the last `MANY_FAILURES` readings, or most of them."""
        return self._failed_in_a_row >= MANY_FAILURES or self.failures > len(self._times_s)

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
        with self._lock:
            try:
                reading = self._device.read_power()
            except (DeviceError, OSError) as error:
                self.failures += 1
                self._failed_in_a_row += 1
                self.error = error
                return
            self._failed_in_a_row = 0
            if math.isnan(reading.power_w):
                return
            self._times_s.append(reading.time_s)
            self._power_w.append(reading.power_w)
            self._counter_j.append(reading.energy_j)
            self._others.append(reading.others)

    def forget(self) -> None:
        """Leave out all readings but the last, from which the next span goes on."""
        with self._lock:
            for readings in (self._times_s, self._power_w, self._counter_j):
                del readings[:-1]
            self.failures = 0

    @property
    def counts_energy(self) -> bool:
        """Whether all readings came with an energy counter's."""
        return bool(self._counter_j) and not any(map(math.isnan, self._counter_j))

    @property
    def missed(self) -> int:
        """Readings that were due and came too late by a period or more."""
        gaps = np.diff(self._times_s) / self._period_s
        return int(np.maximum(np.round(gaps) - 1, 0).sum())

    def power_w(self, spans: Sequence[Span]) -> list[float]:
        """Return the readings within some spans, in the order of their times."""
        with self._lock:
            times_s, power_w = np.array(self._times_s), list(self._power_w)
        return [power_w[i] for i in _within(times_s, spans)]

    def others(self, spans: Sequence[Span]) -> dict[str, list[float]]:
        """Return the readings of everything else within some spans, by column, without those that are NaN."""
        with self._lock:
            times_s, others = np.array(self._times_s), list(self._others)
        found: dict[str, list[float]] = {}
        for i in _within(times_s, spans):
            for column, value in others[i].items():
                if not math.isnan(value):
                    found.setdefault(column, []).append(value)
        return found

    def mean_power_w(self, spans: Sequence[Span]) -> float:
        """Return the energy over some spans, divided by their duration; NaN without any reading."""
        times_s = np.array(self._times_s)
        duration_s = sum(end_s - start_s for start_s, end_s in spans)
        if not len(times_s) or not duration_s > 0:
            return math.nan
        if self.counts_energy:
            ends_s = np.array(spans).ravel()
            counted_j = np.interp(ends_s, times_s, np.array(self._counter_j))
            energy_j = float((counted_j[1::2] - counted_j[::2]).sum())
        else:
            power_w = np.array(self._power_w)
            energy_j = sum(integrate_j(times_s, power_w, span) for span in spans)
        return energy_j / duration_s
