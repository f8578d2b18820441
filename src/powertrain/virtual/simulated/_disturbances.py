"""What sensors and boards do to a measurement: parameters, and the processes they drive."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from powertrain.errors import UnknownNameError

__all__ = ["DISTURBANCES", "Chance", "Disturbances"]


@final
@dataclass(frozen=True, kw_only=True)
class Disturbances:
    """The disturbances of a simulated board. A part that is 0 or False is off."""

    step_noise_rel_sd: float = 0.02
    """Of the time of one minibatch. Assumed."""
    visit_time_rel_sd: float = 0.008
    """Run-to-run: of all times while a mode is held once. Assumed."""
    visit_power_rel_sd: float = 0.006
    reading_noise_rel_sd: float = 0.015
    """Of one reading of the power, which is not the mean over minibatches. Assumed."""
    mode_change_s: float = 0.5
    """Until new clocks are in force. Public scripts wait 1 to 3 s."""
    first_step_factor: float = 8.0
    """How much longer the first minibatch in a mode takes; seen on a board: 112 ms for 13 ms."""
    sensor_lag_s: float = 0.5
    """Time constant of the power sensor: INA3221 were seen to average 512 samples."""
    quantised: bool = True
    """Whether readings come in the steps of the board's rails."""
    throttles_per_h: float = 2.0
    """Over-current events per hour of work at the top of the board's power. Assumed."""
    throttle_s: float = 1.0
    throttle_speed: float = 0.5
    """Clocks are halved for the duration."""
    heat: bool = True
    """Whether the board has to warm up; off, it always has the temperature that its power leads to."""
    drift_rel: float = 0.007
    """Greatest slow drift of time and power over hours. Assumed."""

    @classmethod
    def none(cls) -> Disturbances:
        """Return a laboratory: every reading is the truth."""
        return cls().without(DISTURBANCES)

    def without(self, names: Iterable[str]) -> Disturbances:
        """Switch off some of `DISTURBANCES` by name.

        Raises:
            UnknownNameError: There is no such disturbance.
        """
        changed = self
        for name in names:
            if name not in _OFF:
                raise UnknownNameError.of("disturbance", name, (*_OFF, "all"))
            changed = replace(changed, **_OFF[name])
        return changed


_OFF: dict[str, dict[str, float]] = {
    "noise": {
        "step_noise_rel_sd": 0.0,
        "visit_time_rel_sd": 0.0,
        "visit_power_rel_sd": 0.0,
        "reading_noise_rel_sd": 0.0,
    },
    "settling": {"mode_change_s": 0.0, "first_step_factor": 1.0, "sensor_lag_s": 0.0},
    "quantisation": {"quantised": False},
    "throttle": {"throttles_per_h": 0.0},
    "heat": {"heat": False},
    "drift": {"drift_rel": 0.0},
}
DISTURBANCES: tuple[str, ...] = tuple(_OFF)
"""Names of what can be switched off."""

BLOCK = 4096
"""Numbers that are drawn at once: one at a time would cost more than the minibatch that it is for."""
DRIFT_PERIODS_H = (0.7, 2.0, 6.0)
"""Slow waves whose sum is the drift. Assumed."""


@final
class Chance:
    """Everything random on one board in one run, from one seed."""

    def __init__(self, disturbances: Disturbances, seed: int) -> None:
        self.given = disturbances
        # A stream of its own for each purpose: switching one off leaves the others as they were.
        self._steps, self._visits, self._readings, self._events, waves = (
            np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(5)
        )
        self._step_block = iter(())
        self._reading_block = iter(())
        self._phases: list[list[float]] = waves.uniform(
            0.0, 2 * math.pi, size=(2, len(DRIFT_PERIODS_H))
        ).tolist()
        self._exposure_left = float(self._events.exponential())

    def step_factor(self) -> float:
        """Draw by how much one minibatch takes longer than the mean."""
        sd = self.given.step_noise_rel_sd
        if not sd:
            return 1.0
        drawn = next(self._step_block, None)
        if drawn is None:
            # Log-normal with mean 1, so that means of many minibatches are unbiased.
            block = np.exp(sd * self._steps.standard_normal(BLOCK) - sd**2 / 2)
            self._step_block = iter(block.tolist())
            drawn = next(self._step_block)
        return drawn

    def visit_factors(self) -> tuple[float, float]:
        """Draw the factors on time and power for one visit of a mode."""
        draws = self._visits.standard_normal(2)
        time_sd, power_sd = self.given.visit_time_rel_sd, self.given.visit_power_rel_sd
        return math.exp(time_sd * draws[0]), math.exp(power_sd * draws[1])

    def reading_factor(self) -> float:
        """Draw the factor on one reading of the power."""
        sd = self.given.reading_noise_rel_sd
        if not sd:
            return 1.0
        drawn = next(self._reading_block, None)
        if drawn is None:
            block = np.exp(sd * self._readings.standard_normal(BLOCK) - sd**2 / 2)
            self._reading_block = iter(block.tolist())
            drawn = next(self._reading_block)
        return drawn

    def drift_factors(self, now_s: float) -> tuple[float, float]:
        """Return the factors on time and power at a moment."""
        size = self.given.drift_rel / len(DRIFT_PERIODS_H)
        if not size:
            return 1.0, 1.0
        turns = [2 * math.pi * now_s / (3600 * hours) for hours in DRIFT_PERIODS_H]
        time_wave, power_wave = (
            sum(math.sin(turn + phase) for turn, phase in zip(turns, phases, strict=True))
            for phases in self._phases
        )
        return 1.0 + size * time_wave, 1.0 + size * power_wave

    def throttles(self, busy_s: float, power_share: float) -> bool:
        """Tell whether so many seconds of work at a share of the greatest power set off a throttle.

        None below half of the greatest power, the full rate from 80 % on.
        """
        # Exposure to an event of an exponential law: the moment does not depend on how often one looks.
        weight = min(max((power_share - 0.5) / 0.3, 0.0), 1.0)
        self._exposure_left -= busy_s * weight * self.given.throttles_per_h / 3600
        if self._exposure_left > 0:
            return False
        self._exposure_left = float(self._events.exponential())
        return True
