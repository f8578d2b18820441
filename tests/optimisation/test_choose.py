"""The mode that is chosen, and what is said about it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from powertrain.errors import DataError, NoFeasibleModeError
from powertrain.optimisation import COSTS, OBJECTIVES, choose, feasible_mask, front_of, pareto_front
from powertrain.records import Limits, ModeTable, Prediction

NAN = np.nan

#                      0      1     2     3
TIME_MS = np.array([40.0, 50.0, 80.0, 50.0])
POWER_W = np.array([40.0, 25.0, 20.0, 25.0])


def predicted(time_ms=TIME_MS, power_w=POWER_W, *, rel_sd=NAN):
    time_ms, power_w = np.asarray(time_ms, dtype=float), np.asarray(power_w, dtype=float)
    sd = np.broadcast_to(rel_sd, time_ms.shape)
    return Prediction(time_ms=time_ms, power_w=power_w, time_rel_sd=sd, power_rel_sd=sd)


def modes(n=4):
    return ModeTable(knobs=("gpu_mhz", "cpu_cores"), values=np.column_stack([np.arange(n) + 1, np.ones(n)]))


few = st.sampled_from([1.0, 2.0, 3.0, 5.0, 10.0, NAN])
problems = st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.lists(few, min_size=n, max_size=n), st.lists(few, min_size=n, max_size=n))
)


def objective_values(prediction, objective):
    energy_j = prediction.time_ms * prediction.power_w / 1e3
    return {
        "time": prediction.time_ms,
        "power": prediction.power_w,
        "energy": energy_j,
        "edp": energy_j * prediction.time_ms / 1e3,
    }[objective]


@pytest.mark.parametrize(
    ("objective", "limit", "index"),
    [
        ("time", {}, 0),
        ("time", {"max_power_w": 30}, 1),
        ("time", {"max_power_w": 20}, 2),
        ("power", {}, 2),
        ("power", {"max_time_ms": 60}, 1),
        ("energy", {}, 1),
        ("energy", {"max_time_ms": 45}, 0),
        ("edp", {"max_energy_j": 1.7}, 1),
    ],
)
def test_the_best_mode_within_the_limits_is_chosen(objective, limit, index):
    choice = choose(predicted(), modes(), objective=objective, **limit)

    assert choice.index == index
    assert choice.mode == modes()[index]
    assert choice.objective == objective
    assert choice.limits == Limits(**limit)


@given(problems, st.sampled_from(OBJECTIVES), st.sampled_from([math.inf, 5.0, 2.0, 0.5]))
def test_no_feasible_mode_has_a_lower_objective_and_none_before_it_an_equal_one(problem, objective, limit):
    prediction = predicted(*problem)
    values = objective_values(prediction, objective)
    try:
        choice = choose(prediction, modes(len(values)), objective=objective, max_power_w=limit)
    except DataError:
        assert np.isnan(prediction.time_ms).all() or np.isnan(prediction.power_w).all()
        return
    except NoFeasibleModeError:
        assert not (feasible_mask(prediction, Limits(max_power_w=limit)) & np.isfinite(values)).any()
        return
    others = np.where(feasible_mask(prediction, Limits(max_power_w=limit)), values, NAN)
    assert others[choice.index] == np.nanmin(others)
    assert not (others[: choice.index] == others[choice.index]).any()


def test_the_next_best_is_the_best_of_the_others_that_keep_the_limits():
    assert choose(predicted(), modes(), max_power_w=30).next_best == modes()[3]
    assert choose(predicted(), modes(), max_power_w=20).next_best is None


def test_an_uncertain_mode_is_chosen_only_by_those_who_accept_the_risk():
    prediction = predicted([40.0, 50.0], [29.0, 25.0], rel_sd=0.1)

    assert choose(prediction, modes(2), max_power_w=30, risk=0.05).index == 1
    assert choose(prediction, modes(2), max_power_w=30, risk=0.5).index == 0
    assert choose(prediction, modes(2), max_power_w=30, risk=0.4).index == 0


def test_what_is_predicted_comes_with_its_90_percent_intervals():
    choice = choose(predicted(rel_sd=0.1), modes())

    for interval, value, rel_sd in (
        (choice.time_ms, 40.0, 0.1),
        (choice.power_w, 40.0, 0.1),
        (choice.energy_j, 1.6, 0.1 * math.sqrt(2)),
    ):
        assert interval.value == pytest.approx(value)
        assert interval.high == pytest.approx(value * math.exp(1.6448536269514722 * rel_sd))
        assert interval.low * interval.high == pytest.approx(value**2)


def test_a_method_without_error_bars_has_no_ends_of_intervals():
    choice = choose(predicted(), modes())

    assert choice.power_w.value == 40.0
    assert math.isnan(choice.power_w.low)
    assert math.isnan(choice.power_w.high)


def test_a_predictor_of_time_alone_chooses_by_time():
    choice = choose(predicted(power_w=np.full(4, NAN)), modes(), max_time_ms=60)

    assert choice.index == 0
    assert math.isnan(choice.power_w.value)
    assert math.isnan(choice.energy_j.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {},
            "objective time was asked, but the predictor has only power: "
            "profile time, or ask for something else",
        ),
        ({"objective": "edp"}, "objective edp was asked, but the predictor has only power: profile time"),
        (
            {"objective": "power", "max_time_ms": 5},
            "a time limit was asked, but the predictor has only power: profile time",
        ),
    ],
)
def test_what_was_never_measured_cannot_be_asked_for(arguments, message):
    with pytest.raises(DataError, match=message):
        choose(predicted(time_ms=np.full(4, NAN)), modes(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"max_power_w": 16, "risk": 0.5},
            "none of 4 modes keeps power <= 16 W at risk 0.5: the nearest, gpu_mhz=3 cpu_cores=1, "
            "misses power by 4 W (25 %); raise the limit or the risk",
        ),
        (
            {"max_power_w": 20, "max_time_ms": 40},
            "none of 4 modes keeps power <= 20 W and time <= 40 ms at risk 0.05: the nearest, "
            "gpu_mhz=2 cpu_cores=1, misses power by 5 W (25 %) and time by 10 ms (25 %); "
            "raise the limits or the risk",
        ),
        (
            {"max_power_w": 30, "max_energy_j": 1},
            "none of 4 modes keeps power <= 30 W and energy <= 1 J at risk 0.05: the nearest, "
            "gpu_mhz=2 cpu_cores=1, misses energy by 0.25 J (25 %); raise the limits or the risk",
        ),
    ],
)
def test_when_no_mode_fits_the_nearest_is_named_with_what_it_misses(arguments, message):
    with pytest.raises(NoFeasibleModeError) as caught:
        choose(predicted(), modes(), **arguments)
    assert str(caught.value) == message


def test_the_nearest_mode_is_judged_by_its_bound_not_by_its_point_prediction():
    prediction = predicted([40.0, 50.0], [20.0, 21.0], rel_sd=np.array([0.5, 0.01]))

    with pytest.raises(NoFeasibleModeError, match="the nearest, gpu_mhz=2"):
        choose(prediction, modes(2), max_power_w=10)


def test_modes_without_a_prediction_of_the_objective_are_neither_chosen_nor_nearest():
    prediction = predicted([NAN, 50.0], [20.0, 30.0])

    assert choose(prediction, modes(2), max_power_w=30).index == 1
    with pytest.raises(NoFeasibleModeError, match=r"the nearest, gpu_mhz=2 .* misses power by 5 W"):
        choose(prediction, modes(2), max_power_w=25)


def test_when_no_mode_has_all_that_was_asked_the_error_says_so():
    with pytest.raises(NoFeasibleModeError, match="none of 2 modes has a finite prediction of all"):
        choose(predicted([NAN, 50.0], [20.0, NAN]), modes(2), max_power_w=30)


def test_there_is_nothing_to_choose_from_no_modes():
    with pytest.raises(NoFeasibleModeError, match="there are no modes to choose from"):
        choose(predicted([], []), modes(0))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "No limit was set, and of 4 modes this one has the lowest predicted time."),
        (
            {"max_power_w": 30},
            "3 of 4 modes keep power <= 30 W with probability 0.95, "
            "and of these this one has the lowest predicted time.",
        ),
        (
            {"max_power_w": 20, "max_time_ms": 90, "risk": 0.5, "objective": "edp"},
            "1 of 4 modes keeps power <= 20 W and time <= 90 ms by the point prediction, "
            "and it has the lowest predicted energy-delay product.",
        ),
    ],
)
def test_one_sentence_says_why(arguments, why):
    assert choose(predicted(), modes(), **arguments).why == why


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"objective": "speed"}, "unknown objective 'speed': give one of time, energy, power, edp"),
        ({"max_power_w": 0}, "max_power_w is 0: a limit is a positive number"),
        ({"max_time_ms": NAN}, "max_time_ms is nan"),
        ({"risk": 1.0}, "risk is 1.0: give a number between 0 and 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        choose(predicted(), modes(), **arguments)


def test_predictions_of_other_modes_are_refused():
    with pytest.raises(ValueError, match="4 predictions for 3 modes"):
        choose(predicted(), modes(3))


# Fronts


def test_the_front_of_time_and_power_is_the_default():
    assert front_of(predicted()).tolist() == [0, 1, 2]


@given(problems, st.lists(st.sampled_from(COSTS), min_size=1, max_size=4))
def test_a_front_is_that_of_the_named_costs(problem, costs):
    prediction = predicted(*problem)
    columns = np.column_stack([objective_values(prediction, cost) for cost in costs])
    try:
        front = front_of(prediction, costs=costs)
    except DataError:
        assert (
            np.isnan(columns).all(axis=0).any()
            or np.isnan(prediction.time_ms).all()
            or (np.isnan(prediction.power_w).all())
        )
        return
    np.testing.assert_array_equal(front, pareto_front(columns))


def test_the_fastest_mode_under_a_limit_is_on_the_front_of_time_and_power():
    rng = np.random.default_rng(0)
    prediction = predicted(rng.random(500) + 1, rng.random(500) + 1)
    for limit in (1.1, 1.5, 1.9):
        choice = choose(prediction, modes(500), max_power_w=limit, risk=0.5)
        assert choice.index in front_of(prediction)


def test_a_front_of_what_was_never_measured_is_refused():
    with pytest.raises(DataError, match="a front of power was asked, but the predictor has only time"):
        front_of(predicted(power_w=np.full(4, NAN)))


@pytest.mark.parametrize(
    ("costs", "message"), [((), "at least one cost"), (("speed",), "unknown cost 'speed'")]
)
def test_a_front_of_unknown_costs_or_none_is_refused(costs, message):
    with pytest.raises(ValueError, match=message):
        front_of(predicted(), costs=costs)


def test_no_modes_have_an_empty_front():
    assert front_of(predicted([], [])).shape == (0,)


# Properties of the choice


@given(problems, st.sampled_from(OBJECTIVES), st.randoms(use_true_random=False))
def test_the_order_of_the_modes_does_not_change_what_is_reached(problem, objective, random):
    prediction = predicted(*problem)
    rows = list(range(len(prediction)))
    random.shuffle(rows)
    try:
        best = choose(prediction, modes(len(rows)), objective=objective)
    except (DataError, NoFeasibleModeError) as error:
        with pytest.raises(type(error)):
            choose(prediction.take(rows), modes(len(rows)).take(rows), objective=objective)
        return
    shuffled = choose(prediction.take(rows), modes(len(rows)).take(rows), objective=objective)
    values = objective_values(prediction, objective)
    assert values[rows[shuffled.index]] == values[best.index]


@given(problems, st.sampled_from([0.5, 2.0, 5.0]), st.sampled_from([1.0, 2.0, 4.0]))
def test_a_higher_limit_never_makes_the_choice_slower(problem, limit, factor):
    prediction = predicted(*problem)
    try:
        tight = choose(prediction, modes(len(prediction)), max_power_w=limit)
    except (DataError, NoFeasibleModeError):
        return
    loose = choose(prediction, modes(len(prediction)), max_power_w=limit * factor)
    assert loose.time_ms.value <= tight.time_ms.value


@given(problems, st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_more_risk_never_makes_the_choice_slower(problem, one, other):
    prediction = predicted(*problem, rel_sd=0.1)
    low, high = sorted((one, other))
    try:
        careful = choose(prediction, modes(len(prediction)), max_power_w=3.0, risk=low)
    except (DataError, NoFeasibleModeError):
        return
    daring = choose(prediction, modes(len(prediction)), max_power_w=3.0, risk=high)
    assert daring.time_ms.value <= careful.time_ms.value


@given(problems)
def test_modes_that_were_left_out_do_not_change_the_choice_among_the_others(problem):
    prediction = predicted(*problem)
    known = np.isfinite(prediction.time_ms) & np.isfinite(prediction.power_w)
    if not known.any():
        return
    of_all = choose(prediction, modes(len(prediction)), objective="energy")
    of_known = choose(prediction.take(known), modes(len(prediction)).take(known), objective="energy")
    assert of_all.mode == of_known.mode
    assert of_known.extra["modes"] == int(known.sum())
