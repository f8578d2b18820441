from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.waiting import until

import powertrain as pt
from powertrain.devices import PowerReading
from powertrain.opening import open_device
from powertrain.profiling import Procedure
from powertrain.telemetry import Telemetry, WatchedDevice, _telemetry

QUICK = Procedure(precision=0.3)
PERIOD_S = 0.01


@pytest.fixture
def board():
    return open_device("sim:orin-nano")


def fails(*_):
    raise OSError("the bus does not answer")


def test_what_a_device_shows_is_known_without_a_run(board):
    telemetry = Telemetry(board)
    with telemetry.looking():
        now = telemetry.now()

    assert (now.device, now.simulated) == (board.name, True)
    assert now.in_force == {name: (value, value) for name, value in board.mode.items()}
    assert now.power_w == sum(now.rails_w[rail] for rail in board.rails)
    assert now.temperature_c == pytest.approx(board.temperature_c(), abs=1)
    assert (now.throttle_count, set(now.errors.values())) == (0, {0})


@pytest.mark.parametrize(
    ("part", "method", "value"),
    [
        ("power", "read_power", "power_w"),
        ("temperature", "temperature_c", "temperature_c"),
        ("throttling", "throttle_count", "throttle_count"),
    ],
)
def test_a_part_that_fails_is_counted_and_hides_no_other(board, monkeypatch, part, method, value):
    monkeypatch.setattr(board, method, fails)
    telemetry = Telemetry(board, period_s=PERIOD_S)
    with telemetry.looking():
        until(lambda: telemetry.now().errors[part] > 1)
        now = telemetry.now()

    assert math.isnan(getattr(now, value))
    assert sum(not math.isnan(n) for n in (now.power_w, now.temperature_c, now.throttle_count)) == 2
    assert {name for name, count in now.errors.items() if count} == {part}
    assert now.in_force


def test_a_sensor_that_hangs_delays_nobody_and_is_counted(board, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr(_telemetry, "STALE_S", 0.2)
    monkeypatch.setattr(_telemetry, "FIRST_LOOK_S", 0.2)
    monkeypatch.setattr(board, "read_power", lambda: fails(answers.wait()))
    telemetry = Telemetry(board, period_s=PERIOD_S)
    with telemetry.looking():
        until(lambda: telemetry.now().errors["power"] > 0)
        assert math.isnan(telemetry.now().power_w)
        until(lambda: telemetry.now().in_force)
        answers.set()


class Readings:
    """A sensor that shows one reading after the other."""

    def __init__(self, *readings):
        self.readings = list(readings)

    def __call__(self):
        time_s, power_w, *energy_j = self.readings.pop(0)
        return PowerReading(
            time_s=time_s, rails_w={}, power_w=power_w, energy_j=energy_j[0] if energy_j else math.nan
        )


@pytest.mark.parametrize(
    ("readings", "energy_j"),
    [
        (((0, 10), (1, 20), (3, 20)), 15 + 40),
        (((0, 10, 1000), (1, 20, 1012), (100, 20, 2000)), 12 + 988),
        (((0, 10, 1000), (1, 20, 0)), 15),  # a counter that began anew
        (((0, 10, 7), (1, 10, 7), (2, 10, 7), (3, 10, 7)), 20),
        (((0, 10), (100, 10)), 0),  # nobody knows what was in between
        (((0, 10), (0, 10)), 0),
    ],
    ids=["by trapezoid", "by counter", "counter falls", "counter stands still", "long gap", "same moment"],
)
def test_energy_is_that_of_a_counter_or_of_the_readings(board, monkeypatch, readings, energy_j):
    monkeypatch.setattr(board, "read_power", Readings(*readings))
    device = WatchedDevice(board)
    for _ in readings:
        device.read_power()

    assert device.counted_j == energy_j


def test_a_run_on_a_simulated_board_has_the_same_numbers_with_telemetry_and_without():
    def profiled(device, store):
        pt.profile(device, "mobilenet_v3", board.space.table(range(0, 90, 30)), store, procedure=QUICK)
        return store.profiles()

    board = open_device("sim:orin-nano")
    alone = profiled(board, pt.open_store())
    board = open_device("sim:orin-nano")
    telemetry, store = Telemetry(board, command="profile", shared=True, period_s=PERIOD_S), pt.open_store()
    with telemetry.looking():
        profiled(telemetry.device, telemetry.announcing(store))
        now = telemetry.now()

    assert store.profiles() == alone
    assert now.run.trials == {"kept": 3, "exceeded": 0, "flagged": 0}
    assert now.workloads[0].time_ms == alone[-1].time_ms
    assert now.energy_j > 0


def test_a_tuning_is_followed_up_to_its_drift(board):
    telemetry, seen = Telemetry(board, command="tune", shared=True), []

    def look(glance):
        telemetry.looked(replace(glance, time_ms=1.25 * glance.time_ms))
        seen.append(telemetry.now())

    options = pt.workflow.TuneOptions.of(
        {
            "device": telemetry.device,
            "max_power_w": 12,
            "trials": 3,
            "procedure": QUICK,
            "say": lambda _: telemetry.told(),
            "look": look,
        }
    )
    for tuning in pt.workflow.tune_job("lstm", options, minibatches=2000):
        telemetry.follow(tuning)
    run, (workload,) = seen[-1].run, seen[-1].workloads

    assert (run.state, run.limits, run.objective) == ("held", {"power_w": 12}, "time")
    assert sum(run.trials.values()) == len(tuning.trials)
    assert workload.predicted_time_ms == tuning.decision.values["time_ms"]
    assert workload.time_drift == pytest.approx(0.25, abs=0.1)
    assert abs(workload.power_drift) < 0.1


def test_a_database_tells_what_workloads_take_in_the_mode_in_force(board):
    modes = board.space.table(range(0, len(board.modes()), 40))
    store = pt.open_store()
    table = board.measure("lstm", modes)
    store.add(
        pt.Profile(device=board.name, workload="lstm", mode=mode, time_ms=time_ms, power_w=power_w)
        for mode, time_ms, power_w in zip(modes, table.time_ms, table.power_w, strict=True)
    )
    store.add([pt.Profile(device=board.name, workload="new", mode=board.mode, time_ms=7.0, power_w=8.0)])
    telemetry = Telemetry(board, store=store)
    with telemetry.looking():
        until(lambda: telemetry.now().workloads)
        lstm, new = telemetry.now().workloads
    truth = board.truth("lstm", pt.ModeTable.of([board.mode], board.space.names))

    assert (lstm.profiles, new.profiles) == (len(modes), 1)
    assert lstm.predicted_time_ms == pytest.approx(float(truth.time_ms[0]), rel=0.3)
    assert lstm.predicted_power_w == pytest.approx(float(truth.power_w[0]), rel=0.3)
    assert (new.time_ms, new.power_w) == (7.0, 8.0)
    assert np.isnan(new.predicted_time_ms)
