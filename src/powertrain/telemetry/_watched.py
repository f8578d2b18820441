"""A device that remembers what its sensors last showed, whoever asked them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from powertrain.devices import AbstractLiveDevice, PowerReading
from powertrain.errors import DeviceError
from powertrain.records import ModeTable, PowerMode
from powertrain.workloads import Job

__all__ = ["WatchedDevice"]

PATIENCE_S = 5.0
"""For a reading that another thread has begun."""
LONGEST_STEP_S = 10.0
"""Between two readings whose power tells the energy in between; a counter tells it over any time."""
STILL_S = 1.0
"""A counter that does not move for so long does not count."""
SLACK_S = 0.1
"""Counters move now and then: a short step may hold the energy of a longer time."""


@final
class WatchedDevice(AbstractLiveDevice):
    """Stands for a device, and remembers its latest reading and the energy so far.

    A run that measures reads the power all the time. Whoever else wants to know it takes it from here, so
    that a sensor is not read twice and a measurement stays what it is.
    """

    def __init__(self, device: AbstractLiveDevice) -> None:
        """Take the device; it is held through either."""
        self._device, self._holder = device, device._holder
        self.name, self.spec, self.simulated = device.name, device.spec, device.simulated
        self.space, self.clock = device.space, device.clock
        self.rails, self.missing = device.rails, device.missing
        self._reading, self._lock = threading.Lock(), threading.Lock()
        self._meter = EnergyMeter(most_w=device.most_power_w)
        self._shown: tuple[PowerReading, float] | None = None
        self._failures = 0
        self._throttles = self._celsius = math.nan

    @property
    def failures(self) -> int:
        """How often the power could not be read."""
        return self._failures

    @property
    def counted_j(self) -> float:
        """Energy from the first reading to the latest [J]."""
        return self._meter.energy_j

    @property
    def last_throttle_count(self) -> float:
        """What `throttle_count` last returned; NaN before it was asked."""
        return self._throttles

    @property
    def last_temperature_c(self) -> float:
        """What `temperature_c` last returned; NaN before it was asked."""
        return self._celsius

    def latest(self) -> tuple[PowerReading | None, float]:
        """Return the latest reading and its age [s], None if the sensor failed since, or was never read."""
        with self._lock:
            if self._shown is None:
                return None, math.inf
            reading, at_s = self._shown
        return reading, time.monotonic() - at_s

    @override
    def read_power(self) -> PowerReading:
        # The answer of some sensors depends on the one before, so they are asked by one thread at a time.
        if not self._reading.acquire(timeout=PATIENCE_S):
            self._fail()
            raise DeviceError(f"the power sensor has not answered for {PATIENCE_S:g} s")
        try:
            reading = self._device.read_power()
        except Exception:
            self._fail()
            raise
        finally:
            self._reading.release()
        with self._lock:
            self._meter.add(reading)
            self._shown = reading, time.monotonic()
        return reading

    def _fail(self) -> None:
        with self._lock:
            self._failures += 1
            self._shown = None

    @override
    def throttle_count(self) -> int:
        count = self._device.throttle_count()
        self._throttles = float(count)
        return count

    @override
    def temperature_c(self) -> float:
        self._celsius = self._device.temperature_c()
        return self._celsius

    @property
    @override
    def power_window_s(self) -> float:
        return self._device.power_window_s

    @property
    @override
    def most_power_w(self) -> float:
        return self._device.most_power_w

    @property
    @override
    def nested_rails(self) -> tuple[tuple[str, str], ...]:
        return self._device.nested_rails

    @property
    @override
    def settle_s(self) -> float:
        return self._device.settle_s

    @property
    @override
    def key(self) -> str:
        return self._device.key

    @override
    def modes(self, *, workload: str | None = None) -> ModeTable:
        return self._device.modes(workload=workload)

    @override
    def exist(self, modes: ModeTable) -> npt.NDArray[np.bool_]:
        return self._device.exist(modes)

    @override
    def workloads(self) -> tuple[str, ...]:
        return self._device.workloads()

    @override
    def stock_modes(self) -> dict[str, PowerMode]:
        return self._device.stock_modes()

    @override
    def notes(self) -> tuple[str, ...]:
        return self._device.notes()

    @override
    def spoilt(self) -> Mapping[str, str]:
        return self._device.spoilt()

    @override
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        return self._device.job(workload, data=data)

    @override
    def environment(self) -> Mapping[str, str]:
        return self._device.environment()


@final
class EnergyMeter:
    """Adds up the energy between readings: a counter's where it is believed, else by the trapezoidal rule.

    A counter that falls, stands still, or gains more than the device can draw is not believed.
    """

    def __init__(self, *, most_w: float) -> None:
        """Take what the device can draw at most."""
        self.energy_j = 0.0
        self._most_w, self._still_s = most_w, 0.0
        self._last: PowerReading | None = None

    def add(self, now: PowerReading) -> None:
        """Take the next reading."""
        before, self._last = self._last, now
        if before is None:
            return
        elapsed_s, counted_j = now.time_s - before.time_s, now.energy_j - before.energy_j
        if elapsed_s <= 0 or now.dropped:
            return
        self._still_s = self._still_s + elapsed_s if counted_j == 0 else 0.0
        mean_w = (before.power_w + now.power_w) / 2
        if 0 <= counted_j <= self._most_w * (elapsed_s + SLACK_S) and self._still_s <= STILL_S:
            self.energy_j += counted_j
        elif mean_w > 0 and elapsed_s <= LONGEST_STEP_S:
            self.energy_j += mean_w * elapsed_s
