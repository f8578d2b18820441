"""The tuner that is asked for the whole front of time and power."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.models.surfaces import SPACE, work

from powertrain.models import predictor_class
from powertrain.optimisation import hypervolume, pareto_front
from powertrain.records import Limits, ModeTable, Profile
from powertrain.space import ModeSpace
from powertrain.tuning import Budget, Goal, Tuner

TARGET = {"shares": (0.5, 0.2, 0.4)}
TRUTH = work("target", SPACE.table(), **TARGET)
COSTS = np.log(np.column_stack([TRUTH.time_ms, TRUTH.power_w]))
ENDS = COSTS[pareto_front(COSTS)]
BEYOND = ENDS.max(axis=0) + 0.1 * np.ptp(ENDS, axis=0)
ROWS = {mode: row for row, mode in enumerate(SPACE)}
FRONT = Goal(objective="front")


def measured(mode):
    table = work("target", ModeTable.of([mode], SPACE.names), **TARGET)
    time_ms, power_w = float(table.time_ms[0]), float(table.power_w[0])
    return Profile(device="board", workload="target", mode=mode, time_ms=time_ms, power_w=power_w)


def run(tuner):
    trials = []
    while (mode := tuner.ask()) is not None:
        trials.append(measured(mode))
        tuner.tell(trials[-1])
    return trials


def covered(modes):
    """How much of the area under the true front some modes dominate."""
    return hypervolume(COSTS[[ROWS[mode] for mode in modes]], BEYOND) / hypervolume(ENDS, BEYOND)


@pytest.fixture(scope="module")
def reference():
    return predictor_class("gp").fit(work("reference", SPACE.table(), noise=0.01, seed=9))


@pytest.mark.parametrize("knows_another", [False, True])
def test_a_few_trials_cover_nearly_the_whole_front_and_more_than_random_ones(reference, knows_another):
    references = [reference] if knows_another else []
    trials = run(Tuner(SPACE, FRONT, references=references, budget=Budget(most_trials=12)))
    drawn = np.random.default_rng(0)
    random = [covered([SPACE[int(i)] for i in drawn.permutation(len(SPACE))[:12]]) for _ in range(20)]
    assert covered([trial.mode for trial in trials]) > max(0.9, *random)


def test_the_decision_is_what_nothing_measured_beats_and_the_fastest_of_it_is_the_mode():
    tuner = Tuner(SPACE, FRONT, budget=Budget(most_trials=9))
    trials = run(tuner)
    decision = tuner.decision()
    costs = np.array([[trial.time_ms, trial.power_w] for trial in trials])
    assert [one.mode for one in decision.front] == [trials[row].mode for row in pareto_front(costs)]
    assert [one.values["time_ms"] for one in decision.front] == sorted(costs[pareto_front(costs), 0])
    assert decision.mode == decision.front[0].mode


def test_only_modes_that_keep_the_limits_are_on_it():
    limits = Limits(max_power_w=9.0, max_time_ms=400.0)
    tuner = Tuner(SPACE, Goal(objective="front", limits=limits), budget=Budget(most_trials=10))
    trials = run(tuner)
    front = tuner.decision().front
    assert len(front) >= 3
    assert all(one.values["power_w"] <= 9.0 and one.values["time_ms"] <= 400.0 for one in front)
    kept = [trial.power_w <= 9.0 and trial.time_ms <= 400.0 for trial in trials]
    assert np.mean(kept[3:]) >= 0.7


def test_there_is_none_where_no_mode_keeps_the_limits():
    goal = Goal(objective="front", limits=Limits(max_power_w=1.0))
    tuner = Tuner(SPACE, goal, budget=Budget(most_trials=5))
    run(tuner)
    assert tuner.decision().front == ()
    assert "none of 5 modes measured keeps the limits" in tuner.decision().why


def test_trials_stay_below_a_hard_limit(reference):
    goal = Goal(objective="front", hard_limit_w=10.0)
    for references in ([], [reference]):
        trials = run(Tuner(SPACE, goal, references=references, budget=Budget(most_trials=8)))
        assert np.mean([trial.power_w > 10.0 for trial in trials]) <= 0.1


def test_trials_end_where_one_more_adds_next_to_nothing():
    small = ModeSpace.of({"cpu_mhz": [345.6, 2035.2], "gpu_mhz": [114.75, 1300.5], "mem_mhz": [1866]})
    tuner = Tuner(small, FRONT, budget=Budget(tolerance=0.2))
    assert len(run(tuner)) < 4
    assert tuner.reason.endswith("% of the area under the front")


def test_a_state_goes_on_as_if_nothing_had_happened():
    whole = Tuner(SPACE, FRONT, budget=Budget(most_trials=6))
    trials = run(whole)
    begun = Tuner(SPACE, FRONT, budget=Budget(most_trials=6))
    for trial in trials[:4]:
        begun.tell(trial)
    resumed = Tuner.resumed(json.loads(json.dumps(begun.state())), SPACE, budget=Budget(most_trials=6))
    assert run(resumed) == trials[4:]
    assert resumed.decision() == whole.decision()
