"""What a device reads besides its power goes into profiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.profiling.faulty import FaultyBoard

import powertrain as pt
from powertrain import quantities
from powertrain.dataset import MemoryStore
from powertrain.profiling import Procedure, profile_modes
from powertrain.quantities import Quantity

LOAD = Quantity(
    name="load",
    column="load_pct",
    unit="%",
    title="load of the GPU",
    link="linear",
    reaches_low=True,
    high=100.0,
)


class ReadingBoard(FaultyBoard):
    """A board of these tests, which also reads how busy it is, how warm, and something that nobody knows."""

    def read_power(self):
        reading = super().read_power()
        others = {"load_pct": self.load_pct(), "hotspot_c": 41.5, "fan_pct": float("nan")}
        return replace(reading, others=others)

    def load_pct(self) -> float:
        return 80.0 + 10.0 * (self.readings % 2)


class IdleBoard(ReadingBoard):
    def load_pct(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def load_is_a_quantity(monkeypatch):
    monkeypatch.setitem(quantities.QUANTITIES, LOAD.name, LOAD)


def measured(board: FaultyBoard, n: int = 1):
    modes = board.space.table(np.arange(0, 50 * n, 50))
    return profile_modes(board, "resnet18", modes, procedure=Procedure(least_minibatches=40))


def test_what_is_a_quantity_becomes_one_with_its_standard_error():
    (profile,) = measured(ReadingBoard())
    assert profile.values["load_pct"] == pytest.approx(85.0, abs=1.5)
    assert 0 < profile.se["load_pct"] < 3
    assert profile.time_ms > 0
    assert profile.power_w > 0


def test_what_nobody_knows_is_a_remark_and_what_was_not_read_is_left_out():
    (profile,) = measured(ReadingBoard())
    assert profile.extra["hotspot_c"] == "41.5"
    assert not {"hotspot_c", "fan_pct"} & set(profile.values)
    assert "fan_pct" not in profile.extra


def test_the_lowest_value_is_one_where_the_quantity_reaches_it():
    (profile,) = measured(IdleBoard())
    assert profile.values["load_pct"] == 0.0


def test_it_is_stored_predicted_and_limited_like_any_other():
    store = MemoryStore(measured(ReadingBoard(), 8))
    table = store.table(workload="resnet18")
    predictor = pt.fit(table)
    choice = pt.choose(predictor, table.modes, max_load_pct=99.0)
    assert 60 < choice.others["load_pct"].value < 99
