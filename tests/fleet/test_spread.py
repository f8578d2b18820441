"""Boards are compared by the modes that several of them measured, and their differences are taken out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.fleet import BOARD, levelled, spread_of
from powertrain.records import PowerMode, Profile

MODES = [PowerMode(gpu_mhz=100 * i) for i in range(1, 13)]


def measured(board, mode, *, time=1.0, power=1.0, flags=(), **more):
    gpu_mhz = mode["gpu_mhz"]
    return Profile(
        device="Orin",
        workload="lstm",
        mode=mode,
        time_ms=time * 40_000 / gpu_mhz,
        power_w=power * (5 + gpu_mhz / 100),
        flags=flags,
        extra={BOARD: board},
        **more,
    )


factors = st.floats(0.8, 1.25)


@given(st.lists(st.tuples(factors, factors), min_size=2, max_size=5), st.integers(2, 12))
def test_without_noise_the_factors_are_found_exactly_and_taken_out(boards, shared):
    profiles = [
        measured(f"b{i}", mode, time=time, power=power)
        for i, (time, power) in enumerate(boards)
        for mode in MODES[:shared]
    ]
    found = spread_of(profiles)

    for name, column in (("time", 0), ("power", 1)):
        logs = np.log([board[column] for board in boards])
        got = np.log([f.factor for f in found.quantities[name].boards])
        assert got == pytest.approx(logs - logs.mean(), abs=1e-9)
    level = levelled(profiles, found)
    for mode in MODES[:shared]:
        times = [p.time_ms for p in level if p.mode == mode]
        assert times == pytest.approx([times[0]] * len(boards), rel=1e-6)


def noisy(rng, true, modes, noise=0.01):
    return [
        measured(f"b{i}", mode, time=math.exp(effect + noise * rng.standard_normal()))
        for i, effect in enumerate(true)
        for mode in modes
    ]


def test_the_errors_of_the_factors_cover_the_truth_as_often_as_they_say():
    inside = total = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        true = 0.02 * rng.standard_normal(3)
        for i, found in enumerate(spread_of(noisy(rng, true, MODES[:6])).quantities["time"].boards):
            inside += abs(math.log(found.factor) - (true[i] - true.mean())) <= 1.96 * found.rel_se
            total += 1
    assert 0.85 <= inside / total <= 1


def test_one_measurement_gone_wrong_does_not_count_for_much():
    profiles = noisy(np.random.default_rng(1), [0.03, -0.03], MODES)
    spoilt = [measured("b0", MODES[3], time=3.0) if p.mode == MODES[3] else p for p in profiles[:12]]
    found = spread_of([*spoilt, *profiles[12:]]).quantities["time"]

    assert math.log(found.of("b0").factor) == pytest.approx(0.03, abs=0.012)
    assert found.noise_rel_sd < 0.03


def test_a_spread_that_chance_explains_is_hardly_taken_out():
    taken, found = [], []
    for seed in range(20):
        spread = spread_of(noisy(np.random.default_rng(seed), [0, 0, 0], MODES[:3])).quantities["time"]
        taken += [math.log(board.taken_out) for board in spread.boards]
        found += [math.log(board.factor) for board in spread.boards]
    assert np.std(taken) < 0.75 * np.std(found)


def test_boards_that_share_no_mode_are_left_as_they_are():
    profiles = [measured("a", m, time=1.1) for m in MODES[:4]] + [measured("b", m) for m in MODES[:4]]
    alone = [measured("c", m) for m in MODES[4:]]
    spread = spread_of([*profiles, *alone])
    c = spread.quantities["time"].of("c")

    assert math.isnan(c.factor)
    assert c.taken_out == 1
    assert [p.time_ms for p in levelled(alone, spread)] == [p.time_ms for p in alone]
    assert spread.known


def test_a_third_board_links_two_that_share_nothing():
    profiles = [
        *(measured("a", m, power=1.1) for m in MODES[:3]),
        *(measured("b", m) for m in MODES[:6]),
        *(measured("c", m, power=0.9) for m in MODES[3:6]),
    ]
    power = spread_of(profiles).quantities["power"]

    assert power.of("a").factor / power.of("c").factor == pytest.approx(1.1 / 0.9)


def test_one_shared_mode_has_the_error_that_the_profiles_tell():
    profiles = [measured(b, MODES[0], time=t, time_rel_se=0.01) for b, t in (("a", 1.05), ("b", 1.0))]
    a = spread_of(profiles).quantities["time"].of("a")

    assert a.factor == pytest.approx(math.sqrt(1.05))
    assert a.rel_se == pytest.approx(0.01 / math.sqrt(2))
    assert 1.0 < a.taken_out < a.factor


@pytest.mark.parametrize(
    "profiles",
    [
        [],
        [measured("a", MODES[0])],
        [measured("a", MODES[0]), measured("b", MODES[0], flags=("drift",))],
        [measured("a", MODES[0]), measured("b", MODES[1])],
    ],
    ids=["none", "one", "flagged", "nothing shared"],
)
def test_where_nothing_is_shared_nothing_is_known_and_nothing_changes(profiles):
    assert not spread_of(profiles).known
    assert levelled(profiles) == profiles


def test_what_was_levelled_is_not_levelled_again():
    profiles = [measured(b, m, time=t) for b, t in (("a", 1.1), ("b", 1)) for m in MODES[:4]]
    once = levelled(profiles)

    assert levelled(once, spread_of(profiles)) == once
