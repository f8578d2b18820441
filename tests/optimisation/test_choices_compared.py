"""How one choice stands to another: with more modes, other limits, less risk, another order."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from powertrain.errors import NoFeasibleModeError
from powertrain.optimisation import OBJECTIVES, choose
from powertrain.records import Choice, ModeTable, Prediction

N = 12
MODES = ModeTable(knobs=("gpu_mhz",), values=np.arange(1.0, N + 1)[:, None])
columns = hnp.arrays(np.float64, N, elements=st.floats(1, 100))
sds = hnp.arrays(np.float64, N, elements=st.floats(0, 0.5))
predictions = st.builds(
    lambda t, p, s, r: Prediction(time_ms=t, power_w=p, time_rel_sd=s, power_rel_sd=r),
    columns,
    columns,
    sds,
    sds,
)
objectives = st.sampled_from(sorted(OBJECTIVES))
watts = st.floats(1, 150)
risks = st.floats(0.01, 0.5)


def chosen(prediction: Prediction, modes: ModeTable = MODES, **asked) -> Choice | None:
    """Return the choice, or None where no mode keeps the limits."""
    try:
        return choose(prediction, modes, **asked)
    except NoFeasibleModeError:
        return None


def value(choice: Choice | None, objective: str) -> float:
    """Return what was minimised, infinite where nothing could be chosen."""
    if choice is None:
        return np.inf
    if objective == "edp":
        return choice.energy_j.value * choice.time_ms.value
    return {"time": choice.time_ms, "power": choice.power_w, "energy": choice.energy_j}[objective].value


@given(predictions, objectives, watts, watts, risks)
def test_a_higher_limit_never_gives_a_worse_choice(prediction, objective, one_w, other_w, risk):
    low_w, high_w = sorted((one_w, other_w))
    tight = chosen(prediction, objective=objective, max_power_w=low_w, risk=risk)
    loose = chosen(prediction, objective=objective, max_power_w=high_w, risk=risk)
    assert value(loose, objective) <= value(tight, objective)


@given(predictions, objectives, watts, risks, risks)
def test_accepting_more_risk_never_gives_a_worse_choice(prediction, objective, limit_w, one, other):
    careful, bold = sorted((one, other))
    safe = chosen(prediction, objective=objective, max_power_w=limit_w, risk=careful)
    risky = chosen(prediction, objective=objective, max_power_w=limit_w, risk=bold)
    assert value(risky, objective) <= value(safe, objective)


@given(predictions, objectives, watts, st.permutations(range(N)))
def test_the_order_of_modes_decides_ties_and_nothing_else(prediction, objective, limit_w, order):
    rows = np.array(order)
    first = chosen(prediction, objective=objective, max_power_w=limit_w)
    again = chosen(prediction.take(rows), MODES.take(rows), objective=objective, max_power_w=limit_w)
    assert value(again, objective) == value(first, objective)


@given(predictions, objectives, watts, st.integers(1, N))
def test_more_modes_never_give_a_worse_choice(prediction, objective, limit_w, n):
    rows = np.arange(n)
    some = chosen(prediction.take(rows), MODES.take(rows), objective=objective, max_power_w=limit_w)
    every = chosen(prediction, objective=objective, max_power_w=limit_w)
    assert value(every, objective) <= value(some, objective)


@given(predictions, objectives, watts)
def test_without_the_chosen_mode_the_next_best_is_chosen(prediction, objective, limit_w):
    first = chosen(prediction, objective=objective, max_power_w=limit_w)
    assume(first is not None)
    rest = np.flatnonzero(MODES.values[:, 0] != first.mode["gpu_mhz"])
    second = chosen(prediction.take(rest), MODES.take(rest), objective=objective, max_power_w=limit_w)
    assert first.next_best == (None if second is None else second.mode)


@pytest.mark.parametrize("risk", [0.05, 0.2, 0.5])
def test_the_chosen_mode_exceeds_the_limit_as_often_as_the_risk_says_and_no_more(risk):
    rng = np.random.default_rng(8)
    power_w, rel_sd = np.linspace(20, 40, N), np.full(N, 0.1)
    prediction = Prediction(time_ms=1e3 / power_w, power_w=power_w, time_rel_sd=rel_sd, power_rel_sd=rel_sd)
    choice = choose(prediction, MODES, max_power_w=30.0, risk=risk)
    true_w = choice.power_w.value * np.exp(0.1 * rng.standard_normal(100_000))
    exceeded = np.mean(true_w > 30.0)
    assert exceeded <= risk + 0.005
    following_w = power_w[power_w > choice.power_w.value].min() * np.exp(0.1 * rng.standard_normal(100_000))
    assert np.mean(following_w > 30.0) > risk - 0.005  # the next mode up would exceed it too often


@given(predictions, st.floats(0.1, 0.9), risks)
def test_a_limit_that_is_raised_by_what_the_nearest_mode_misses_is_kept(prediction, share, risk):
    limit_w = float(prediction.power_w.min() * share)
    with pytest.raises(NoFeasibleModeError) as refusal:
        choose(prediction, MODES, max_power_w=limit_w, risk=risk)
    missing_w = float(re.search(r"misses power by ([\d.,]+) W", str(refusal.value)).group(1).replace(",", ""))
    assert (
        chosen(prediction, max_power_w=limit_w + 1.01 * missing_w, risk=risk) is not None
    )  # three digits shown
