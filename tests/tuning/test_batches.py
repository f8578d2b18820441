"""Several equal boards measure at the same time what one tuner proposes."""

from __future__ import annotations

import json

import pytest
from tests.models.surfaces import SPACE, work

from powertrain.models import predictor_class
from powertrain.records import Limits, ModeTable, Profile
from powertrain.tuning import Budget, Goal, Tuner

TARGET = {"shares": (0.5, 0.2, 0.4)}
TRUTH = work("target", SPACE.table(), **TARGET)
GOAL = Goal(limits=Limits(max_power_w=10.0))
BOARDS = 3


def measured(mode, *, flags=()):
    table = work("target", ModeTable.of([mode], SPACE.names), **TARGET)
    time_ms, power_w = float(table.time_ms[0]), float(table.power_w[0])
    return Profile(
        device="board", workload="target", mode=mode, time_ms=time_ms, power_w=power_w, flags=flags
    )


def run(tuner, boards=BOARDS):
    """Let boards measure, round by round; return the rounds."""
    rounds = []
    while modes := tuner.propose(boards):
        rounds.append(modes)
        for mode in reversed(modes):
            tuner.tell(measured(mode))
    return rounds


@pytest.fixture(scope="module")
def reference():
    return predictor_class("gp").fit(work("reference", SPACE.table(), noise=0.01, seed=9))


@pytest.mark.parametrize(("knows_another", "objective"), [(False, "time"), (True, "front")])
def test_boards_measure_different_modes_and_find_what_one_board_finds(reference, knows_another, objective):
    goal = Goal(objective=objective, limits=GOAL.limits)
    references = [reference] if knows_another else []
    tuner = Tuner(SPACE, goal, references=references, budget=Budget(most_trials=12))
    rounds = run(tuner)
    modes = [mode for batch in rounds for mode in batch]
    best_ms = TRUTH.time_ms[TRUTH.power_w <= 10.0].min()
    assert len(rounds[0]) == BOARDS
    assert len(set(modes)) == len(modes) <= 12
    assert tuner.decision().values["power_w"] <= 10.0
    assert objective == "front" or tuner.decision().values["time_ms"] <= 1.06 * best_ms
    assert tuner.left == 0


def test_the_order_in_which_boards_are_done_changes_nothing():
    found = []
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        tuner = Tuner(SPACE, GOAL, budget=Budget(most_trials=9))
        for mode in tuner.propose(BOARDS):
            tuner.tell(measured(mode))
        batch = tuner.propose(BOARDS)
        for i in order:
            tuner.tell(measured(batch[i]))
        found.append((batch, tuner.propose(BOARDS), tuner.state()))
    assert all(one == found[0] for one in found)


def test_a_board_that_is_done_gets_another_mode_while_others_measure():
    tuner = Tuner(SPACE, GOAL, budget=Budget(most_trials=10))
    first = tuner.propose(BOARDS)
    tuner.tell(measured(first[1]))
    (more,) = tuner.propose(1)
    assert more not in first
    assert tuner.left == 10 - BOARDS - 1
    assert tuner.decision().trials == 1


def test_a_state_knows_what_is_being_measured():
    whole = Tuner(SPACE, GOAL, budget=Budget(most_trials=9))
    batch = whole.propose(BOARDS)
    whole.tell(measured(batch[2]))
    kept = json.loads(json.dumps(whole.state()))
    resumed = Tuner.resumed(kept, SPACE, budget=Budget(most_trials=9))
    for tuner in (whole, resumed):
        for mode in batch[:2]:
            tuner.tell(measured(mode))
    assert resumed.state() == whole.state()
    assert run(resumed) == run(whole)


def test_a_mode_that_could_not_be_measured_is_told_as_such_and_not_proposed_again():
    tuner = Tuner(SPACE, GOAL, budget=Budget(most_trials=6))
    lost, *others = tuner.propose(BOARDS)
    tuner.tell(measured(lost, flags=("unreachable",)))
    for mode in others:
        tuner.tell(measured(mode))
    assert lost not in [mode for batch in run(tuner) for mode in batch]


def test_no_more_is_proposed_than_trials_are_left():
    tuner = Tuner(SPACE, GOAL, budget=Budget(most_trials=4))
    assert len(tuner.propose(9)) == 4
    assert tuner.propose(1) == []
    assert tuner.left == 0


def test_below_a_hard_limit_boards_wait_for_what_makes_the_next_step_safe(reference):
    goal = Goal(limits=Limits(max_power_w=9.0), hard_limit_w=11.0)
    alone = Tuner(SPACE, goal, budget=Budget(most_trials=9))
    assert alone.propose(BOARDS) == [SPACE[0]]
    tuner = Tuner(SPACE, goal, references=[reference], budget=Budget(most_trials=6))
    modes = [mode for batch in run(tuner) for mode in batch]
    assert len(modes) > 3
    assert all(measured(mode).power_w <= 11.0 for mode in modes)


def test_none_at_all_are_no_batch():
    with pytest.raises(ValueError, match="give 1 or more"):
        Tuner(SPACE, GOAL).propose(0)
