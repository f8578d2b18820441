"""Readings of the power, and the energy between two moments."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.profiling.faulty import FaultyBoard
from tests.waiting import until

from powertrain.devices import MonotonicClock, PowerReading
from powertrain.errors import DeviceError
from powertrain.opening import open_device
from powertrain.profiling import Procedure, Sampler, integrate_j, profile_modes
from powertrain.records import ModeTable, ProfileTable
from powertrain.virtual import ReplayDevice

power = arrays(np.float64, st.integers(2, 30), elements=st.floats(0, 100))


@given(power, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_energies_of_neighbouring_spans_add_up(power_w, a, b, c):
    times_s = np.arange(len(power_w), dtype=float)
    first, middle, last = sorted(share * times_s[-1] for share in (a, b, c))
    parts = integrate_j(times_s, power_w, (first, middle)) + integrate_j(times_s, power_w, (middle, last))
    assert parts == pytest.approx(integrate_j(times_s, power_w, (first, last)), abs=1e-9)


@given(power, st.floats(0.1, 10))
def test_over_the_readings_themselves_it_is_the_trapezoidal_rule(power_w, period_s):
    times_s = period_s * np.arange(len(power_w))
    expected = ((power_w[1:] + power_w[:-1]) / 2 * period_s).sum()
    assert integrate_j(times_s, power_w, (0, times_s[-1])) == pytest.approx(expected, abs=1e-9)


@given(st.floats(0.1, 100), st.floats(-5, 5), st.floats(0, 10))
def test_a_constant_power_gives_its_energy_also_beyond_the_readings(watts, start_s, duration_s):
    energy_j = integrate_j(np.array([0.0, 1.0]), np.array([watts, watts]), (start_s, start_s + duration_s))
    assert energy_j == pytest.approx(watts * duration_s)


def test_without_readings_the_energy_is_not_known():
    assert math.isnan(integrate_j(np.array([]), np.array([]), (0, 1)))


def energy_of(board, workload: str, mode, *, period_s: float = 0.004) -> tuple[float, float]:
    """Return the mean time [s] and power [W] of 60 minibatches, read 25 times as often."""
    times, readings = [], []
    with board.job(workload) as job, board.hold(mode):
        board.clock.sleep_s(5.0)
        for _ in range(30):
            job.step()
        with board.clock.every(period_s, lambda: readings.append(board.read_power())):
            for _ in range(60):
                before_s = board.clock.now_s()
                job.step()
                times.append(board.clock.now_s() - before_s)
    watts = np.array([r.power_w for r in readings])
    at_s = np.array([r.time_s for r in readings])
    return float(np.mean(times)), float(
        ((watts[1:] + watts[:-1]) / 2 * np.diff(at_s)).sum() / (at_s[-1] - at_s[0])
    )


@pytest.mark.parametrize("spec", ["sim:orin-agx", "sim:xavier-agx", "sim:orin-nano"])
def test_the_energy_of_a_profile_is_that_of_an_independent_integration_on_a_board(spec):
    quiet = f"{spec}?off=noise,drift,throttle,heat,quantisation"
    board = open_device(quiet)
    mode = board.space[len(board.space) // 2]
    (found,) = profile_modes(board, "resnet18", ModeTable.of([mode]))
    time_s, power_w = energy_of(open_device(quiet), "resnet18", mode)
    assert found.energy_j == pytest.approx(time_s * power_w, rel=0.005)
    assert found.extra["energy_by"] == "trapezoid"
    assert found.extra["power_from"] == " + ".join(board.rails)


def test_the_energy_of_a_profile_is_that_of_an_independent_integration_on_a_replay():
    modes = ModeTable(knobs=("gpu_mhz",), values=np.array([[300.0], [900.0]]))
    device = ReplayDevice(
        [
            ProfileTable(
                device="A board",
                workload="bert",
                modes=modes,
                time_ms=np.array([420.0, 130.0]),
                power_w=np.array([9.5, 21.25]),
            )
        ]
    )
    profiles = list(profile_modes(device, "bert", modes))
    assert len(profiles) == len(modes)
    for row, found in enumerate(profiles):
        time_s, power_w = energy_of(device, "bert", modes[row])
        assert found.energy_j == pytest.approx(time_s * power_w, rel=0.005)
        assert found.energy_j == pytest.approx([420e-3 * 9.5, 130e-3 * 21.25][row], rel=0.005)


def test_a_power_that_swings_is_integrated_over_exactly_the_minibatches_that_count():
    board = FaultyBoard("sim:orin-nano?off=all")
    board.read_power = lambda: PowerReading(  # type: ignore[method-assign]
        time_s=board.clock.now_s(), rails_w={}, power_w=10 + 4 * math.sin(board.clock.now_s() * 2)
    )
    how = Procedure(power_tolerance=10.0, least_minibatches=40, most_minibatches=40)
    (found,) = profile_modes(board, "unet", board.space.table([1700]), procedure=how)
    end_s = board.clock.now_s()
    start_s = end_s - 40 * found.time_ms / 1e3
    exact_j = 10 * (end_s - start_s) - 2 * (math.cos(2 * end_s) - math.cos(2 * start_s))
    assert found.power_w * (end_s - start_s) == pytest.approx(exact_j, rel=0.005)


def test_a_counter_is_preferred_to_the_readings_beside_it():
    board = FaultyBoard("sim:orin-nano?off=all")
    board.read_power = lambda: PowerReading(  # type: ignore[method-assign]
        time_s=board.clock.now_s(), rails_w={}, power_w=5.0, energy_j=8.0 * board.clock.now_s()
    )
    (found,) = profile_modes(board, "lstm", board.space.table([1700]))
    assert found.power_w == pytest.approx(8.0)
    assert found.extra["energy_by"] == "counter"


class Slow:
    """A sensor that takes three periods now and then."""

    rails = ("slow",)
    most_power_w = math.inf

    def __init__(self) -> None:
        self.clock, self.readings = MonotonicClock(), 0

    def read_power(self) -> PowerReading:
        self.readings += 1
        if self.readings == 5:
            time.sleep(0.13)
        if self.readings == 7:
            raise DeviceError("not now")
        return PowerReading(time_s=self.clock.now_s(), rails_w={}, power_w=1.0)


def test_deadlines_that_are_missed_and_readings_that_fail_are_counted():
    device = Slow()
    sampler = Sampler(device, 0.04)  # type: ignore[arg-type]
    with sampler.running():
        until(lambda: device.readings > 7)
    assert sampler.missed >= 2
    assert sampler.failures == 1
    assert str(sampler.error) == "not now"
    assert not sampler.gives_nothing
