"""Looking at a device beside a run, on a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, final

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice, PowerReading, live
from powertrain.profiling import Glance
from powertrain.records import Profile
from powertrain.telemetry._announcing import AnnouncingStore
from powertrain.telemetry._records import TelemetryNow, WorkloadNow
from powertrain.telemetry._stored import StoredWorkloads
from powertrain.telemetry._told import ToldRun
from powertrain.telemetry._watched import WatchedDevice
from powertrain.workflow import Tuning

__all__ = ["Telemetry"]

PARTS = ("power", "mode", "temperature", "throttling", "database", "prediction", "run")
"""What can fail by itself."""
PERIOD_S = 1.0
"""Between readings of the power: a trapezoid over a second tells the energy of a training well."""
SLOWER = 2
"""Periods between looks at all else, such as the mode, which is many files."""
STALE_S = 5.0
"""Age at which a value is left out: it is no longer how the device is."""
QUIET_S = 2.0
"""A run that measures reads the power more often than that; where it does not, the telemetry reads it."""
STORE_S = 10.0
"""Between looks into a database."""
FIRST_LOOK_S = 2.0
"""For the first look, so that the first answer is a whole one; a sensor may hang."""


@final
class Telemetry:
    """Knows what a device and a training do now.

    Values are read on a thread and kept, so that an answer takes no longer where a sensor hangs, and several
    who ask read no sensor more often. A part that fails is left out of the answer and counted.

    A run is given `device` instead of its own, and what it measures is taken from there. On a simulated board
    whose time is simulated too, nothing else is read during a run, so that its numbers stay the same.
    """

    def __init__(
        self,
        device: AbstractDevice,
        *,
        command: str = "metrics",
        shared: bool = False,
        store: AbstractStore | None = None,
        period_s: float = PERIOD_S,
    ) -> None:
        """Get ready; nothing is read yet.

        Args:
            device: A live device.
            command: What is done with it, for whoever sees the numbers.
            shared: Whether a run that measures reads the power of `device`.
            store: What is known of workloads here, to be told and to predict from.
            period_s: Between readings of the power.

        Raises:
            DeviceError: The device is not live.
        """
        self.device = WatchedDevice(live(device))
        self._run = ToldRun(command)
        self._shared, self._period_s = shared, period_s
        self._errors = Counter[str]()
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[Any, float]] = {}
        self._asking: dict[str, float] = {}
        self._ends = threading.Event()
        self._stored = None if store is None else StoredWorkloads(store, self.device, self._count)
        self._store_at_s = -math.inf
        self._tuning: Tuning | None = None

    @contextmanager
    def looking(self) -> Generator[None]:
        """Look at the device after each period while the context lasts."""
        # The power has a thread of its own: a sensor that hangs hides nothing else.
        looks = {self._look: SLOWER * self._period_s}
        if self._reads_power:
            looks[self._look_at_power] = self._period_s
        started = [(look, period_s, threading.Event()) for look, period_s in looks.items()]
        name = "powertrain-telemetry"
        threads = [threading.Thread(target=self._go_on, args=one, name=name, daemon=True) for one in started]
        for thread in threads:
            thread.start()
        until_s = time.monotonic() + FIRST_LOOK_S
        for *_, looked in started:
            looked.wait(max(until_s - time.monotonic(), 0.0))
        try:
            yield
        finally:
            self._ends.set()
            for thread in threads:  # one whose sensor never answers is left to itself
                thread.join(FIRST_LOOK_S)

    def announcing(self, store: AbstractStore) -> AbstractStore:
        """Return a store for a run, which tells of every profile."""
        return AnnouncingStore(store, self._kept)

    def follow(self, tuning: Tuning) -> None:
        """Take the tuning that `told` and `looked` are about."""
        self._tuning = tuning

    def told(self) -> None:
        """Take in how the tuning stands; on the thread that trains."""
        if self._tuning is None:
            return
        try:
            goal = self._tuning.options.goal
            limits = {quantity.column: limit for quantity, limit in goal.limits.by_quantity().items()}
            self._run.told(self._tuning.report(), limits, goal.hard_limit_w)
        except Exception:  # whatever fails here is none of the training's
            self._count("run")

    def looked(self, glance: Glance) -> None:
        """Take in how the tuned training goes in the mode that is held; on the thread that trains."""
        if self._tuning is None:
            return
        try:
            self._run.looked(glance, self._tuning.report().minibatches)
        except Exception:  # whatever fails here is none of the training's
            self._count("run")

    def now(self) -> TelemetryNow:
        """Return what is known now; no sensor is asked. Safe on any thread."""
        self._count_what_hangs()
        reading = self._reading()
        run, workloads = self._run.now()
        stored: tuple[WorkloadNow, ...] = self._value("database", (), age_s=STALE_S + STORE_S)
        throttles, celsius = self.device.last_throttle_count, self.device.last_temperature_c
        if self._asks:
            throttles, celsius = self._value("throttling", math.nan), self._value("temperature", math.nan)
        with self._lock:
            errors = {part: self._errors[part] for part in PARTS}
        errors["power"] += self.device.failures
        return TelemetryNow(
            device=self.device.name,
            spec=self.device.spec,
            simulated=self.device.simulated,
            in_force=self._value("mode", {}),
            power_w=math.nan if reading is None else reading.power_w,
            rails_w={} if reading is None else reading.rails_w,
            energy_j=self.device.counted_j if self.device.rails else math.nan,
            temperature_c=celsius,
            throttle_count=throttles,
            run=run,
            workloads=workloads or stored,
            errors=errors,
        )

    @property
    def _asks(self) -> bool:
        """Whether to ask sensors: not those of simulated time while a run lets it pass."""
        return not (self._shared and self.device.clock.virtual)

    @property
    def _reads_power(self) -> bool:
        return self._asks and bool(self.device.rails)

    def _kept(self, profile: Profile) -> None:
        self._run.kept(profile)

    def _reading(self) -> PowerReading | None:
        reading, age_s = self.device.latest()
        return reading if age_s <= STALE_S or not self._asks else None

    def _value(self, part: str, absent: Any, *, age_s: float = STALE_S) -> Any:
        with self._lock:
            value, at_s = self._seen.get(part, (absent, -math.inf))
        return value if time.monotonic() - at_s <= age_s else absent

    def _count(self, part: str) -> None:
        with self._lock:
            self._errors[part] += 1

    def _count_what_hangs(self) -> None:
        with self._lock:
            for part, since_s in self._asking.items():
                self._errors[part] += time.monotonic() - since_s > STALE_S

    def _go_on(self, look: Callable[[], None], period_s: float, looked: threading.Event) -> None:
        while not self._ends.is_set():
            look()
            looked.set()
            self._ends.wait(period_s)

    def _look_at_power(self) -> None:
        if not (self._shared and self.device.latest()[1] < QUIET_S):
            self._ask("power", self.device.read_power, counted=True)

    def _look(self) -> None:
        """Ask each part but the power once."""
        self._ask("mode", self._in_force)
        if self._asks:
            self._ask("temperature", self.device.temperature_c)
            self._ask("throttling", self.device.throttle_count)
        stored, now_s = self._stored, time.monotonic()
        if stored is not None and now_s - self._store_at_s >= STORE_S:
            self._store_at_s = now_s
            self._ask("database", lambda: stored.look(self._value("mode", {})))
        if self.device.clock.virtual and not self._shared:
            self.device.clock.sleep_s(SLOWER * self._period_s)  # nobody else lets time pass on it

    def _in_force(self) -> Mapping[str, tuple[float, float]]:
        return dict(self.device.in_force())

    def _ask(self, part: str, read: Callable[[], Any], *, counted: bool = False) -> None:
        """Ask a part and keep its answer; one that fails is left out, and counted unless that was done."""
        with self._lock:
            self._asking[part] = time.monotonic()
        try:
            value = read()
        except Exception:  # the thread's boundary: a part that fails takes no other with it
            with self._lock:
                self._errors[part] += not counted
                self._seen.pop(part, None)
        else:
            with self._lock:
                self._seen[part] = value, time.monotonic()
        finally:
            with self._lock:
                del self._asking[part]
