"""A minibatch that hangs ends by a limit, in words, with where it hangs and the device restored."""

from __future__ import annotations

import math
import signal
import threading
import time

import pytest

import powertrain as pt
from powertrain.errors import ProgramError
from powertrain.profiling import RunOptions

LIMIT_S = 1.0
FOR_EVER_S = 100.0


@pytest.fixture
def board():
    return pt.open_device("emulated:orin-nano@jp6")


@pytest.fixture
def store(tmp_path):
    with pt.open_store(tmp_path / "p.db") as opened:
        yield opened


def loop(board, store, train, **options):
    """Measure a loop of somebody's own, whose every minibatch calls `train`."""
    modes = board.modes().take([0, 40])
    with pt.measuring(board, "mine", modes, store, step_limit_s=LIMIT_S, **options):
        for number in pt.measured(range(1000)):
            train(number)


def test_a_minibatch_that_hangs_ends_with_where_it_hangs_and_the_device_restored(board, store):
    before, handlers = board.state(), [signal.getsignal(n) for n in range(1, signal.SIGRTMAX)]

    def train(number):
        time.sleep(FOR_EVER_S if number == 3 else 0.001)

    with pytest.raises(ProgramError, match=r"did not end within 1 s.*hangs in train .*test_patience") as told:
        loop(board, store, train)
    assert "time.sleep(FOR_EVER_S" in told.value.trace
    assert board.state() == before
    assert [signal.getsignal(n) for n in range(1, signal.SIGRTMAX)] == handlers


def test_a_training_that_catches_the_exception_ends_at_its_next_minibatch(board, store):
    before, seen = board.state(), []

    def train(number):
        try:
            time.sleep(FOR_EVER_S if number == 3 else 0.001)
        except ProgramError:
            seen.append(number)

    with pytest.raises(ProgramError, match="hangs"):
        loop(board, store, train)
    assert seen == [3]
    assert board.state() == before


def test_where_the_training_does_not_react_the_device_is_restored_and_the_caller_is_told(board, store):
    before, let_go, told = board.state(), threading.Event(), []

    def train(number):
        if number == 3:  # a signal reaches the main thread alone
            let_go.wait(FOR_EVER_S)

    def given_up(error):
        told.append((str(error), board.state()))
        let_go.set()

    def run():
        with pytest.raises(ProgramError, match="hangs"):
            loop(board, store, train, given_up=given_up)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    ((message, state),) = told
    assert "hangs in wait" in message
    assert state == before


def test_a_pause_does_not_count(board, store):
    seen = []

    def train(number):
        seen.append(number)
        if number == 3:
            pt.pause()
            time.sleep(1.5 * LIMIT_S)

    loop(board, store, train)
    assert len(seen) == 1000


def test_a_job_that_hangs_ends_too(store):
    device = pt.open_device("cpu?cpu_cores=1")

    def train():
        time.sleep(FOR_EVER_S)

    with pytest.raises(ProgramError, match="minibatch of train did not end"):
        pt.profile(device, pt.workload(train), device.modes(), store, step_limit_s=LIMIT_S)


@pytest.mark.parametrize("limit_s", [0, -1, math.nan])
def test_a_limit_that_is_none_is_refused(limit_s):
    with pytest.raises(ValueError, match="step_limit_s"):
        RunOptions(step_limit_s=limit_s)
