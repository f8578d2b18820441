"""Every source of modes keeps the contract of asking and telling."""

from __future__ import annotations

from powertrain.records import Limits
from powertrain.testing import ModeSourceSuite
from powertrain.tuning import Budget, Climb, FixedModes, Goal, Tuner


class TestATable(ModeSourceSuite):
    def open_source(self, modes):
        return FixedModes(modes)


class TestATunerWithoutReferences(ModeSourceSuite):
    def open_source(self, modes):
        return Tuner(modes, Goal(limits=Limits(max_power_w=12)), budget=Budget(most_trials=8))


class TestAClimbBelowAHardLimit(ModeSourceSuite):
    def open_source(self, modes):
        return Climb(modes, hard_limit_w=12)
