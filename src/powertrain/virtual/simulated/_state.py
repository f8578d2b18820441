"""What changes on a simulated board as time passes: clocks, temperature, throttling, the sensors' memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from powertrain.devices._clock import Clock
from powertrain.records import FloatArray
from powertrain.virtual.simulated._disturbances import Chance
from powertrain.virtual.simulated._mechanism import leakage_factor
from powertrain.virtual.simulated._records import Heat

__all__ = ["Point", "Setting", "State"]

LONGEST_STRIDE_S = 2.0
"""Temperature changes little within this time."""
THROTTLED_POWER = 0.55
"""Share of the dynamic power while clocks are halved; assumed."""


@final
@dataclass(frozen=True, kw_only=True)
class Setting:
    """A mode that is set: its row in the space, and the GPU clusters that are on (None: all)."""

    row: int
    tpcs: int | None = None
    held: bool = False


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """The operating point of one setting, for a workload or at rest; powers `(6,)` by component."""

    time_s: float
    dynamic_w: FloatArray
    leakage_w: FloatArray
    settled_w: FloatArray
    """Power once warm."""
    settled_c: float


@final
class State:
    """Between two events everything is constant but temperature and sensors.

    Those are brought up to date when somebody looks, so a long rest costs nothing.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        chance: Chance,
        heat: Heat,
        greatest_w: float,
        point_at: Callable[[str | None, Setting], Point],
        setting: Setting,
    ) -> None:
        """Start at rest and warm; `greatest_w` is the power at which throttling is as frequent as it gets."""
        self.setting = setting
        self.throttle_count = 0
        self._clock, self._chance, self._given = clock, chance, chance.given
        self._heat, self._greatest_w, self._point_at = heat, greatest_w, point_at
        self._at_s = clock.now_s()
        self._before, self._in_force_s = setting, -math.inf
        self._doing: str | None = None
        self._trained: str | None = None
        self._visit = (1.0, 1.0)
        self._throttled_until_s = -math.inf
        point = point_at(None, setting)
        self._celsius, self._sensed_w = point.settled_c, point.settled_w

    def change(self, setting: Setting) -> None:
        """Ask for other clocks; they are in force after a delay."""
        self._catch_up()
        # A second change before the first took effect starts from whatever is in force then.
        self._before = self._in_force()
        self.setting, self._in_force_s = setting, self._at_s + self._given.mode_change_s
        self._trained = None
        self._visit = self._chance.visit_factors() if setting.held else (1.0, 1.0)

    def step(self, workload: str) -> None:
        """Train one minibatch: let the time pass that it takes."""
        self._catch_up()
        left = self._chance.step_factor() * self._visit[0] * self._chance.drift_factors(self._at_s)[0]
        if self._trained != workload:
            left *= self._given.first_step_factor
            self._trained = workload
        self._doing = workload
        try:
            if self._at_s < self._in_force_s:
                # The old clocks do part of the work, or all of it.
                old_s = self._step_s(workload)
                passed_s = min(self._in_force_s - self._at_s, left * old_s)
                self._sleep(passed_s)
                left -= passed_s / old_s
            if left > 0:
                self._sleep(left * self._step_s(workload))
        finally:
            self._doing = None

    def sensed_w(self) -> FloatArray:
        """Return what the sensors make of each component's power now, `(6,)`."""
        self._catch_up()
        return self._sensed_w * self._chance.reading_factor()

    def celsius(self) -> float:
        """Return the temperature now [degrees C]."""
        self._catch_up()
        return self._celsius

    def _sleep(self, duration_s: float) -> None:
        self._clock.sleep_s(duration_s)
        self._catch_up()

    def _in_force(self) -> Setting:
        return self.setting if self._at_s >= self._in_force_s else self._before

    def _throttled(self) -> bool:
        return self._at_s < self._throttled_until_s

    def _step_s(self, workload: str) -> float:
        speed = self._given.throttle_speed if self._throttled() else 1.0
        return self._point_at(workload, self._in_force()).time_s / speed

    def _catch_up(self) -> None:
        """Let everything that changes by itself follow the clock up to now."""
        now_s = self._clock.now_s()
        while self._at_s < now_s:
            stop_s = min(now_s, self._at_s + LONGEST_STRIDE_S)
            # A stride ends where the clocks change, so that power is constant within each.
            if self._at_s < self._in_force_s < stop_s:
                stop_s = self._in_force_s
            self._pass(stop_s - self._at_s)
            self._at_s = stop_s

    def _pass(self, duration_s: float) -> None:
        power_w = self._power_w()
        total_w = float(power_w.sum())
        # One heat capacity and one resistance: the temperature goes exponentially to where it would settle.
        aim_c = self._heat.ambient_c + self._heat.k_per_w * total_w
        self._celsius = aim_c + (self._celsius - aim_c) * math.exp(-duration_s / self._heat.time_constant_s)
        lag_s = self._given.sensor_lag_s
        kept = math.exp(-duration_s / lag_s) if lag_s else 0.0
        self._sensed_w = power_w + kept * (self._sensed_w - power_w)
        if self._doing and self._chance.throttles(duration_s, total_w / self._greatest_w):
            self.throttle_count += 1
            self._throttled_until_s = self._at_s + duration_s + self._given.throttle_s

    def _power_w(self) -> FloatArray:
        """Return the power of each component now, `(6,)`."""
        point = self._point_at(self._doing, self._in_force())
        factor = self._visit[1] * self._chance.drift_factors(self._at_s)[1]
        if not self._given.heat:
            return point.settled_w * factor
        # Dynamic power is that of the present clocks, leakage that of the present temperature.
        share = THROTTLED_POWER if self._doing and self._throttled() else 1.0
        return (share * point.dynamic_w + leakage_factor(self._celsius) * point.leakage_w) * factor
