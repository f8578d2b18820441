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
        self._last: PowerReading | None = None
        self._shown: tuple[PowerReading, float] | None = None
        self._energy_j, self._failures = 0.0, 0
        self._throttles = self._celsius = math.nan

    @property
    def failures(self) -> int:
        """How often the power could not be read."""
        return self._failures

    @property
    def counted_j(self) -> float:
        """Energy from the first reading to the latest [J]."""
        return self._energy_j

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
            if self._last is not None:
                self._energy_j += gained_j(self._last, reading, most_w=self.most_power_w)
            self._last, self._shown = reading, (reading, time.monotonic())
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


def gained_j(before: PowerReading, now: PowerReading, *, most_w: float) -> float:
    """Return the energy between two readings [J]: a counter's, else by the trapezoidal rule; 0: not known.

    A counter that falls, or gains more than the device can draw, is not believed.
    """
    elapsed_s = now.time_s - before.time_s
    if elapsed_s <= 0 or now.dropped:
        return 0.0
    counted_j = now.energy_j - before.energy_j
    if 0 <= counted_j <= most_w * (elapsed_s + SLACK_S):
        return counted_j
    mean_w = (before.power_w + now.power_w) / 2
    return mean_w * elapsed_s if mean_w > 0 and elapsed_s <= LONGEST_STEP_S else 0.0
