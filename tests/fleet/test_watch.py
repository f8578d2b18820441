"""What is known at once, and read again in the background."""

from __future__ import annotations

import threading

import pytest
from tests.fleet.test_job_view import grid_of
from tests.waiting import PATIENCE_S, until

from powertrain.dataset import open_store
from powertrain.errors import DataError, PowerTrainError, StoreError, UnknownNameError
from powertrain.fleet import FleetWatch, Kept, Workers


class ByHand:
    """A clock that goes on when it is told."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return ByHand()


@pytest.fixture
def kept(clock):
    workers = Workers(2, most_waiting=4)
    yield Kept(workers, period_s=10.0, most=2, clock=clock)
    workers.end()


def known(kept, state, work, key="a"):
    """Ask, wait for what is worked out, and return what is known then."""
    pending = kept.ask(key, state, work).pending
    if pending is not None:
        pending.result(PATIENCE_S)
    return kept.ask(key, state, work)


def test_a_value_is_worked_out_once_for_each_state_and_not_more_often_than_it_may(kept, clock):
    values = iter(range(9))

    def work():
        return next(values)

    assert kept.ask("a", "first", work).value is None
    assert known(kept, "first", work).value == 0
    clock.now_s = 100.0
    assert known(kept, "first", work).value == 0  # nothing has changed
    assert known(kept, "second", work).value == 1
    clock.now_s = 105.0
    assert known(kept, "third", work).value == 1  # the last one is shown until it may be worked out again
    clock.now_s = 120.0
    assert known(kept, "third", work).value == 2


def test_who_asks_while_it_is_worked_out_gets_the_last_one_and_it_is_worked_out_once(kept, clock):
    go, calls = threading.Event(), []

    def slow():
        calls.append(1)
        go.wait(PATIENCE_S)
        return len(calls)

    assert known(kept, 1, lambda: "old").value == "old"
    clock.now_s = 100.0
    answers = [kept.ask("a", 2, slow) for _ in range(20)]
    clock.now_s = 130.0
    waiting = kept.ask("a", 2, slow)
    go.set()
    answers[0].pending.result(PATIENCE_S)

    assert waiting.waited_s == 30.0
    assert {answer.value for answer in answers} == {"old"}
    assert len({id(answer.pending) for answer in answers}) == len(calls) == 1
    assert kept.ask("a", 2, slow).value == 1


def test_what_takes_long_is_worked_out_less_often(kept, clock):
    def slow():
        clock.now_s += 60.0
        return clock.now_s

    first = known(kept, 1, slow).value
    clock.now_s += 500.0
    assert known(kept, 2, slow).value == first
    clock.now_s += 200.0
    assert known(kept, 2, slow).value > first


@pytest.mark.parametrize(("error", "tries"), [(StoreError("away"), 2), (DataError("too few"), 1)])
def test_a_failure_leaves_the_last_value_and_is_tried_again_if_time_can_help(kept, clock, error, tries):
    calls = []

    def failing():
        calls.append(1)
        raise error

    known(kept, 1, lambda: "old")
    clock.now_s = 100.0
    answer = known(kept, 2, failing)
    clock.now_s = 200.0
    known(kept, 2, failing)

    assert (answer.value, str(answer.problem)) == ("old", str(error))
    assert len(calls) == tries


def test_an_error_that_nobody_expected_is_a_problem_of_its_value_alone(kept):
    answer = known(kept, 1, lambda: 1 / 0)

    assert isinstance(answer.problem, PowerTrainError)
    assert str(answer.problem) == "ZeroDivisionError: division by zero"
    assert known(kept, 1, lambda: "fine", key="b").value == "fine"


def test_more_than_can_wait_is_refused_and_the_oldest_values_are_forgotten(kept):
    go = threading.Event()
    answers = [kept.ask(key, 1, lambda: go.wait(PATIENCE_S)) for key in range(20)]
    refused = [answer for answer in answers if answer.pending is None]
    go.set()
    for answer in answers:
        if answer.pending is not None:
            answer.pending.result(PATIENCE_S)

    assert refused
    assert "too much else" in str(refused[0].problem)
    assert known(kept, 1, lambda: "new", key=0).value == "new"  # it is not one of the two that were kept


def test_a_watch_finds_new_profiles_and_fits_the_job_again(tmp_path):
    file = tmp_path / "fleet.db"
    with open_store(file) as store:
        store.add(grid_of("Orin")[:9])
    watch = FleetWatch(file, period_s=0.0, share=0.0)

    def job():
        reading = watch.reading().value
        return reading, watch.job(reading, "Orin", "lstm").value

    until(lambda: job()[1] is not None)
    with open_store(file) as store:
        store.add(grid_of("Orin")[9:])
    until(lambda: job()[1].profiles == 12)
    reading, _ = job()
    with pytest.raises(UnknownNameError, match="no profiles of 'bert' on 'Orin'"):
        watch.job(reading, "Orin", "bert")
    watch.close()


def test_a_watch_of_a_store_that_goes_away_shows_what_it_knew_and_finds_it_again(tmp_path):
    file, away = tmp_path / "fleet.db", tmp_path / "away.db"
    with open_store(file) as store:
        store.add(grid_of("Orin"))
    watch = FleetWatch(file, period_s=0.0, share=0.0)
    read_at = watch.read_at
    file.rename(away)
    until(lambda: watch.reading().problem is not None)
    answer = watch.reading()
    away.rename(file)

    assert "there is no database" in str(answer.problem)
    assert answer.value.holdings["Orin", "lstm"].profiles == 12
    until(lambda: watch.reading().problem is None)
    assert watch.read_at > read_at
    watch.close()


def test_a_watch_of_no_store_is_refused(tmp_path):
    with pytest.raises(StoreError, match="there is no database"):
        FleetWatch(tmp_path / "none.db")
