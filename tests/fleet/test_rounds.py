"""Which mode and how many minibatches each client of a federated round gets."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.errors import DataError
from powertrain.fleet import (
    ClientMemory,
    Clients,
    Front,
    Fronts,
    MeasuredRound,
    clients_of,
    corrected,
    plan_round,
)
from powertrain.records import ModeTable, Prediction

TIMES_MS, JOULES = st.integers(10, 1000), st.integers(1, 50)
MODES = st.lists(st.tuples(TIMES_MS, JOULES), min_size=1, max_size=4)
CLIENT = st.tuples(MODES, st.integers(1, 30), st.integers(0, 3))
CLIENTS = st.lists(CLIENT, min_size=1, max_size=3)


def front(modes, *, sd=0.0) -> Front:
    """Return a front of modes `(time_ms, energy_j)` whose only knob numbers them."""
    time_ms, energy_j = np.array(modes, dtype=float).T
    table = ModeTable(knobs=("gpu_mhz",), values=np.arange(1.0, 1 + len(modes))[:, None])
    bars = np.full(len(modes), sd)
    return Front(modes=table, time_ms=time_ms, energy_j=energy_j, time_rel_sd=bars, energy_rel_sd=bars)


def problem(clients) -> tuple[Fronts, Clients]:
    """Return clients `(modes, minibatches, overhead_s)`, each with a front of its own."""
    fronts = Fronts.of([front(modes) for modes, _, _ in clients])
    minibatches, overhead_s = ([client[i] for client in clients] for i in (1, 2))
    return fronts, Clients.of(range(len(clients)), minibatches, overhead_s=overhead_s)


def every_choice(clients):
    """Yield the time and the energy of every way to let all clients train all their minibatches."""
    for modes in itertools.product(*(client[0] for client in clients)):
        times = [c[2] + c[1] * t / 1000 for c, (t, _) in zip(clients, modes, strict=True)]
        yield max(times), sum(c[1] * j for c, (_, j) in zip(clients, modes, strict=True))


@given(CLIENTS, st.integers(1, 40))
def test_a_deadline_gets_the_least_energy_of_all_choices_in_time(clients, deadline_s):
    plan = plan_round(*problem(clients), deadline_s=deadline_s)

    assert (plan.latest_s <= deadline_s).all()
    in_time = [energy_j for time_s, energy_j in every_choice(clients) if time_s <= deadline_s]
    assert bool(in_time) == (not plan.fewer.any() and not plan.left_out.any())
    if in_time:
        assert plan.total_j == pytest.approx(min(in_time))


@given(CLIENTS, st.integers(1, 3000))
def test_an_energy_budget_gets_the_shortest_round_of_all_choices_within_it(clients, budget_j):
    plan = plan_round(*problem(clients), max_energy_j=budget_j, risk=0.5)

    assert plan.total_j <= budget_j * (1 + 1e-9)
    within = [time_s for time_s, energy_j in every_choice(clients) if energy_j <= budget_j]
    assert bool(within) == (not plan.fewer.any() and not plan.left_out.any())
    if within:
        assert plan.round_s == pytest.approx(min(within))


@given(CLIENTS, st.integers(1, 40), st.integers(1, 40), st.integers(1, 3000))
def test_more_time_never_costs_minibatches_nor_energy(clients, deadline_s, more_s, budget_j):
    short = plan_round(*problem(clients), deadline_s=deadline_s)
    longer = plan_round(*problem(clients), deadline_s=deadline_s + more_s)
    both = plan_round(*problem(clients), deadline_s=deadline_s, max_energy_j=budget_j, risk=0.5)

    assert (longer.minibatches >= short.minibatches).all()
    same = longer.minibatches == short.minibatches
    assert (longer.energy_j[same] <= short.energy_j[same] * (1 + 1e-9)).all()
    assert (both.minibatches <= short.minibatches).all()
    assert both.total_j <= budget_j * (1 + 1e-9)
    assert (both.latest_s <= deadline_s).all()


@given(CLIENTS)
def test_where_the_fastest_modes_are_in_time_no_more_energy_is_used_than_in_them(clients):
    fastest = plan_round(*problem(clients))
    plan = plan_round(*problem(clients), deadline_s=fastest.round_s)

    assert fastest.round_s == pytest.approx(min(time_s for time_s, _ in every_choice(clients)))
    assert (plan.energy_j <= fastest.energy_j * (1 + 1e-9)).all()


def test_a_slow_client_trains_what_it_can_and_one_that_is_too_slow_is_left_out():
    fronts = Fronts.of([front([(100, 2), (200, 1)]), front([(900, 1)]), front([(4000, 1)])])
    clients = Clients.of([0, 1, 2], [10, 10, 10], overhead_s=1.0, warm_up_minibatches=2.0)
    plan = plan_round(fronts, clients, deadline_s=8.0, least_minibatches=3)

    assert plan.minibatches.tolist() == [10, 5, 0]  # 1 s + (2 + 5) x 0.9 s
    assert plan.mode.tolist() == [1, 0, -1]
    assert plan.fewer.tolist() == [False, True, False]
    assert plan.left_out.tolist() == [False, False, True]
    assert plan.time_s.tolist() == pytest.approx([1 + 12 * 0.2, 1 + 7 * 0.9, 0])
    assert plan.energy_j.tolist() == pytest.approx([12, 7, 0])


def test_a_board_that_draws_power_anyway_takes_the_slow_mode_that_saves_above_it():
    modes = front([(100, 1.0), (200, 1.2)])  # 10 W and 6 W

    def mode(idle_power_w):
        fronts = Fronts.of([replace(modes, idle_power_w=idle_power_w)])
        return plan_round(fronts, Clients.of(0, 10), deadline_s=5.0).mode.tolist()

    assert (mode(0.0), mode(5.0), mode(8.0)) == ([0], [1], [1])


def test_a_budget_that_no_mode_keeps_cuts_the_same_share_of_all_minibatches():
    fronts, clients = Fronts.of([front([(100, 2), (200, 1)])]), Clients.of([0, 0], [100, 40])
    plan = plan_round(fronts, clients, max_energy_j=70.0, risk=0.5)

    assert plan.minibatches.tolist() == [50, 20]
    assert plan.total_j == pytest.approx(70)


def test_rounds_are_late_no_more_often_than_was_accepted():
    rng, sd, risk = np.random.default_rng(0), 0.05, 0.05
    fronts = Fronts.of([front([(100, 3), (120, 2), (150, 1)], sd=sd)])
    plan = plan_round(fronts, Clients.of(np.zeros(20), 100), deadline_s=16.0, risk=risk)
    true_s = plan.time_s * np.exp(sd * rng.standard_normal((4000, 20)))
    late = (true_s.max(axis=1) > plan.round_s).mean()

    assert plan.round_s <= 16.0
    assert 0.3 * risk < late <= 1.3 * risk


def test_what_a_client_measures_corrects_its_front_most_in_the_mode_that_was_held():
    predicted = front([(100, 4), (150, 3), (400, 2)], sd=0.1)
    slow, unknown = (ClientMemory(predicted, minibatches=50) for _ in range(2))
    for _ in range(5):
        slow.learn(
            MeasuredRound(
                row=0,
                minibatches=50,
                time_ms=125,
                energy_j=5,
                overhead_s=3.0,
                warm_up_minibatches=4.0,
            )
        )
    # A single minibatch tells the overhead, and not by how much the first one is longer.
    unknown.learn(MeasuredRound(row=None, minibatches=1, overhead_s=1.0))
    fronts, clients = corrected([slow, unknown]), clients_of([slow, unknown])

    ratios = fronts.time_ms[0] / predicted.time_ms
    assert ratios[0] == pytest.approx(1.25, rel=0.02)
    assert ratios[0] > ratios[1] > ratios[2] > 1.05
    assert fronts.energy_j[0, 0] == pytest.approx(5, rel=0.02)
    assert fronts.time_rel_sd[0, 0] < fronts.time_rel_sd[0, 2] < fronts.time_rel_sd[1, 2]
    assert fronts.time_ms[1] == pytest.approx(predicted.time_ms)
    # What a client has not measured is the highest of the others.
    assert clients.overhead_s.tolist() == [3.0, 1.0]
    assert clients.warm_up_minibatches.tolist() == [4.0, 4.0]


@pytest.mark.parametrize("mode", ["gpu_mhz=7", "cpu_mhz=1", "nonsense", ""])
def test_a_mode_that_is_none_of_the_front_is_told_from_those_that_are(mode):
    memory = ClientMemory(front([(100, 4), (150, 3)]), minibatches=50)

    assert memory.row_of(mode) is None
    assert memory.row_of("gpu_mhz=2") == 1


def test_a_front_is_thinned_and_keeps_its_ends():
    gpu_mhz = np.linspace(200.0, 1300.0, 100)
    modes = ModeTable(knobs=("gpu_mhz",), values=gpu_mhz[:, None])
    time_ms, power_w, exact = 5 + 40_000 / gpu_mhz, 6 + (gpu_mhz / 300) ** 3, np.zeros(100)
    prediction = Prediction(time_ms=time_ms, power_w=power_w, time_rel_sd=exact, power_rel_sd=exact)
    whole, thin, above = (
        Front.of(prediction, modes, most=most, idle_power_w=idle_w)
        for most, idle_w in ((1000, 0.0), (8, 0.0), (1000, 4.0))
    )

    assert 2 <= len(thin) <= 8 < len(whole) < len(above)
    assert thin.time_ms[[0, -1]].tolist() == whole.time_ms[[0, -1]].tolist()
    assert whole.time_ms[0] == time_ms.min()
    assert whole.energy_j[-1] == pytest.approx((time_ms * power_w).min() / 1000)
    above_j = above.energy_j - 4.0 * above.time_ms / 1000
    assert above_j[-1] == pytest.approx((time_ms * (power_w - 4)).min() / 1000)
    assert np.diff(np.log(thin.time_ms)).max() < 0.4


def test_a_front_of_a_prediction_without_power_is_refused():
    nothing = np.full(2, np.nan)
    modes = ModeTable(knobs=("gpu_mhz",), values=np.array([[1.0], [2.0]]))
    prediction = Prediction(
        time_ms=np.array([1.0, 2.0]), power_w=nothing, time_rel_sd=nothing, power_rel_sd=nothing
    )

    with pytest.raises(DataError, match="no mode has a predicted time and power"):
        Front.of(prediction, modes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline_s": 0},
        {"max_energy_j": -1},
        {"risk": 0},
        {"least_minibatches": 0},
        {"deadline_s": math.nan},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="give"):
        plan_round(Fronts.of([front([(100, 1)])]), Clients.of(0, 10), **wrong)


def test_a_client_without_a_front_is_refused():
    with pytest.raises(ValueError, match="none of the 1 fronts"):
        plan_round(Fronts.of([front([(100, 1)])]), Clients.of([0, 1], 10), deadline_s=1)


def test_no_clients_make_an_empty_round():
    plan = plan_round(Fronts.of([front([(100, 1)])]), Clients.of([], []), deadline_s=1, max_energy_j=1)

    assert (plan.round_s, plan.total_j) == (0, 0)
