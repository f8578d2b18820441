"""What is known at one moment, as frozen records; NaN is what is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

__all__ = ["RunNow", "TelemetryNow", "WorkloadNow"]


@final
@dataclass(frozen=True, kw_only=True)
class WorkloadNow:
    """How a workload goes in the mode that is in force, as measured and as expected."""

    workload: str
    time_ms: float = math.nan
    """Time of a minibatch, as last measured."""
    power_w: float = math.nan
    """Mean power of its minibatches, as last measured."""
    predicted_time_ms: float = math.nan
    predicted_power_w: float = math.nan
    profiles: float = math.nan
    """How many the database holds; NaN without a database."""

    @property
    def time_drift(self) -> float:
        """By how much a minibatch takes longer than predicted, relative."""
        return self.time_ms / self.predicted_time_ms - 1

    @property
    def power_drift(self) -> float:
        """By how much the power is above the prediction, relative."""
        return self.power_w / self.predicted_power_w - 1


@final
@dataclass(frozen=True, kw_only=True)
class RunNow:
    """What a command of PowerTrain is doing with the device."""

    command: str
    workload: str = ""
    objective: str = ""
    state: str = ""
    """A `TuneState`; empty for a command that tunes nothing."""
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    """By the column of the quantity: `{"power_w": 30.0}`."""
    hard_limit_w: float = math.nan
    trials: Mapping[str, int] = field(default_factory=dict[str, int])
    """Modes of the workload measured since the command began, by outcome: `kept`, `exceeded` (a limit) and
    `flagged`."""
    minibatches: float = math.nan
    changes: float = math.nan
    """Times that modes were tried again."""


@final
@dataclass(frozen=True, kw_only=True)
class TelemetryNow:
    """What a device and a training do now."""

    device: str
    spec: str
    simulated: bool
    in_force: Mapping[str, tuple[float, float]]
    """By knob, the least and the greatest value that is set, equal where it is held."""
    power_w: float
    rails_w: Mapping[str, float]
    energy_j: float
    """Since the telemetry began; NaN without a power sensor."""
    temperature_c: float
    throttle_count: float
    run: RunNow
    workloads: tuple[WorkloadNow, ...]
    errors: Mapping[str, int]
    """How often each part could not be read, since the telemetry began."""
