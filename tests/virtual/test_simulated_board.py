"""Simulated boards as devices: what they do while they work, and what each disturbance does."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from powertrain.devices import MonotonicClock
from powertrain.opening import open_device
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import ModeTable, ProfileTable
from powertrain.virtual import BOARDS, DISTURBANCES, Disturbances, SimulatedBoard

SPECS = tuple(BOARDS)


def some_modes(board: SimulatedBoard, n: int = 5) -> ModeTable:
    return board.space.table(np.linspace(0, len(board.space) - 1, n).astype(int))


def profiled(board: SimulatedBoard, workload: str = "resnet18", n: int = 5) -> ProfileTable:
    return ProfileTable.of(profile_modes(board, workload, some_modes(board, n)))


def alone(name: str) -> Disturbances:
    """Return a laboratory with one disturbance left on."""
    return Disturbances().without(other for other in DISTURBANCES if other != name)


@pytest.mark.parametrize("spec", SPECS)
def test_without_disturbances_what_is_measured_is_the_truth(spec):
    board = open_device(f"{spec}?off=all")
    measured = profiled(board, "yolo")
    truth = board.truth("yolo", some_modes(board))
    np.testing.assert_allclose(measured.time_ms, truth.time_ms, rtol=1e-9)
    np.testing.assert_allclose(measured.power_w, truth.power_w, rtol=1e-9)


@pytest.mark.parametrize("spec", SPECS)
def test_with_them_it_is_near_the_truth_and_repeats_with_its_seed(spec):
    measured, again, other = (profiled(open_device(f"{spec}?seed={seed}")) for seed in (1, 1, 2))
    truth = open_device(spec).truth("resnet18", measured.modes)
    np.testing.assert_allclose(measured.time_ms, truth.time_ms, rtol=0.1)
    np.testing.assert_allclose(measured.power_w, truth.power_w, rtol=0.1)
    np.testing.assert_array_equal(measured.power_w, again.power_w)
    assert (measured.time_ms != other.time_ms).all()


def test_energy_is_power_times_time():
    board = open_device("sim:orin-agx?off=all")
    mode, readings = board.space[12_345], []
    with board.hold(mode), board.clock.every(0.01, lambda: readings.append(board.read_power())):
        job = board.job("bert")
        before_s = board.clock.now_s()
        for _ in range(20):
            job.step()
        taken_s = board.clock.now_s() - before_s
    energy_j = sum(
        (a.power_w + b.power_w) / 2 * (b.time_s - a.time_s) for a, b in itertools.pairwise(readings)
    )
    truth = board.truth("bert", ModeTable.of([mode]))
    assert taken_s * 1e3 == pytest.approx(20 * truth.time_ms[0])
    assert energy_j == pytest.approx(truth.power_w[0] * (readings[-1].time_s - readings[0].time_s))


@pytest.mark.parametrize("spec", SPECS)
def test_readings_come_in_the_steps_of_their_rails_and_sum_by_the_boards_rule(spec):
    board = open_device(spec)
    with board.hold(board.space[0]):
        board.job("lstm").step()
        reading = board.read_power()
    rails = {rail.label: rail for rail in BOARDS[spec].rails}
    for label, watts in reading.rails_w.items():
        steps = watts / rails[label].step_w
        assert steps == pytest.approx(round(steps), abs=1e-6)
        assert watts >= 0
    totals = [w for label, w in reading.rails_w.items() if rails[label].role == "total"]
    parts = [w for label, w in reading.rails_w.items() if rails[label].role == "part"]
    assert reading.power_w == pytest.approx(sum(totals or parts))


def test_it_boots_in_the_stock_mode_that_the_real_one_boots_in():
    board = open_device("sim:orin-agx")
    assert board.mode == board.stock_modes()["MODE_30W"]


def test_new_clocks_take_effect_late_and_the_first_minibatch_is_slow():
    board = SimulatedBoard(BOARDS["sim:orin-agx"], disturbances=alone("settling"))
    fast = board.space[len(board.space) - 1]
    truth_s = board.truth("bert", ModeTable.of([fast])).time_ms[0] / 1e3
    times_s = []
    with board.hold(fast):
        job = board.job("bert")
        for _ in range(3):
            before_s = board.clock.now_s()
            job.step()
            times_s.append(board.clock.now_s() - before_s)
    assert times_s[0] > 5 * truth_s
    assert times_s[1:] == pytest.approx([truth_s, truth_s])


def test_readings_lag_behind_the_power():
    board = SimulatedBoard(BOARDS["sim:orin-agx"], disturbances=alone("settling"))
    idle_w = board.read_power().power_w
    mode = board.space[len(board.space) - 1]
    power_w = board.truth("lstm", ModeTable.of([mode])).power_w[0]
    job = board.job("lstm")
    with board.hold(mode):
        board.clock.sleep_s(5)
        job.step()
        job.step()
        early_w = board.read_power().power_w
        for _ in range(300):
            job.step()
        late_w = board.read_power().power_w
    assert idle_w < early_w < 0.9 * power_w
    assert late_w == pytest.approx(power_w, rel=1e-3)


def test_a_board_warms_up_and_draws_more_for_it():
    board = SimulatedBoard(BOARDS["sim:orin-agx"], disturbances=alone("heat"))
    mode = board.space[len(board.space) - 1]
    job = board.job("resnet18")
    seen = []
    with board.hold(mode):
        for _ in range(2):
            job.step()
            seen.append((board.temperature_c(), board.read_power().power_w))
            while board.clock.now_s() < 900:
                job.step()
    (cold_c, cold_w), (warm_c, warm_w) = seen
    assert warm_c > cold_c + 15
    truth_w = board.truth("resnet18", ModeTable.of([mode])).power_w[0]
    assert 0.9 * truth_w < cold_w < warm_w
    assert warm_w == pytest.approx(truth_w, rel=1e-3)


def test_throttling_comes_with_hot_work_is_counted_and_flags_the_profile():
    board = SimulatedBoard(BOARDS["sim:orin-agx"], disturbances=Disturbances(throttles_per_h=2_000.0), seed=1)
    ends = board.space.table([0, len(board.space) - 1])
    slow, fast = profile_modes(
        board, "bert", ends, procedure=Procedure(least_minibatches=100, most_minibatches=100)
    )
    assert slow.flags == ()
    assert fast.flags == ("throttled",)
    assert board.throttle_count() > 0
    assert fast.time_ms > 1.05 * board.truth("bert", ends).time_ms[1]


def test_drift_is_slow_and_small():
    board = SimulatedBoard(BOARDS["sim:orin-nano"], disturbances=alone("drift"))
    mode = ModeTable.of([board.space[1_000]])
    factors = []
    for _ in range(12):
        (profile,) = profile_modes(board, "lstm", mode)
        factors.append(profile.time_ms / board.truth("lstm", mode).time_ms[0])
        board.clock.sleep_s(1_800)
    assert 0.002 < np.ptp(factors) < 0.02
    assert np.abs(np.array(factors) - 1).max() < 0.01


def test_a_measurement_by_itself_scatters_around_the_truth_by_one_or_two_per_cent():
    board = open_device("sim:orin-agx")
    modes = board.modes()
    truth, measured = board.truth("lstm", modes), board.measure("lstm", modes)
    for true, got in ((truth.time_ms, measured.time_ms), (truth.power_w, measured.power_w)):
        error = np.log(got / true)
        assert abs(error.mean()) < 2e-3
        assert 0.005 < error.std() < 0.02


def test_the_noise_of_a_measurement_differs_between_seeds_and_workloads():
    board = open_device("sim:orin-agx")
    modes = board.space.table([5, 6])

    def noise(workload: str, seed: int) -> np.ndarray:
        return board.measure(workload, modes, seed=seed).time_ms / board.truth(workload, modes).time_ms

    base = noise("lstm", 0)
    np.testing.assert_array_equal(base, noise("lstm", 0))
    assert base[0] != base[1]
    assert not np.allclose(base, noise("lstm", 1))
    assert not np.allclose(base, noise("bert", 0))


def test_on_a_real_clock_it_takes_as_long_as_the_board_would():
    board = open_device("sim:orin-agx?clock=real&off=all")
    assert isinstance(board.clock, MonotonicClock)
    top = board.space.table([len(board.space) - 1])
    how = Procedure(stabilise_s=0.0, power_tolerance=0.5, most_minibatches=5, sample_period_s=0.02)
    (profile,) = profile_modes(board, "lstm", top, procedure=how)
    truth = board.truth("lstm", top)
    assert profile.time_ms >= truth.time_ms[0]
    # Now and then a reading falls between two minibatches, when the board is at rest for an instant.
    assert profile.power_w == pytest.approx(truth.power_w[0], rel=0.2)
