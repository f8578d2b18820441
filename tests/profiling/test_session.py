"""Measuring while somebody else's loop trains."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

import powertrain as pt
from powertrain.errors import DeviceError, MissingKnobError
from powertrain.opening import open_device
from powertrain.profiling import AllMeasured, RunOptions
from powertrain.records import PowerMode
from powertrain.workflow import Record, open_session


@pytest.fixture
def store(tmp_path):
    with pt.open_store(tmp_path / "p.db") as store:
        yield store


@pytest.fixture
def board():
    board = open_device("sim:orin-agx?off=noise")
    before = board.mode
    yield board
    assert board.mode == before


def test_without_anything_that_measures_minibatches_pass_untouched():
    assert list(pt.measured(iter("abc"))) == ["a", "b", "c"]


def test_a_loop_is_measured_like_a_job(board, store):
    modes = board.space.table([3_000, 9_000, 18_000])
    job = board.job("bert")
    with pt.measuring(board, "mine", modes, store, order="given") as found:
        for _ in pt.measured(range(10_000)):
            if len(found) == 3:
                break
            job.step()
    assert [p.mode for p in store.profiles(workload="mine")] == list(modes)
    truth = board.truth("bert", modes)
    for profile, time_ms, power_w in zip(found, truth.time_ms, truth.power_w, strict=True):
        assert profile.flags == ()
        assert profile.time_ms == pytest.approx(time_ms, rel=0.02)
        assert profile.power_w == pytest.approx(power_w, rel=0.04)


def test_training_goes_on_in_the_mode_before_when_all_is_measured(board, store):
    before, seen = board.mode, []
    job = board.job("lstm")
    with pt.measuring(board, "mine", board.space.table([9_000]), store) as found:
        for _ in pt.measured(range(400)):
            job.step()
            seen.append((len(found), board.mode))
    assert len(seen) == 400
    assert (1, before) in seen
    assert (0, board.space[9_000]) in seen


def test_time_between_two_loops_does_not_count(board, store):
    modes = board.space.table([9_000])
    job = board.job("bert")
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in range(100):
            for _ in pt.measured(range(4)):  # epochs far shorter than a mode takes
                job.step()
            board.clock.sleep_s(20.0)  # an evaluation
            if found:
                break
    (profile,) = found
    assert profile.time_ms == pytest.approx(board.truth("bert", modes).time_ms[0], rel=0.03)
    assert "interrupted" not in profile.flags


@pytest.mark.parametrize("length", [1, 2, 3])
def test_loaders_of_a_few_minibatches_are_measured(board, store, length):
    modes = board.space.table([9_000])
    job = board.job("bert")
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in range(100):
            for _ in pt.measured(range(length)):
                job.step()
            if found:
                break
    (profile,) = found
    assert profile.time_ms == pytest.approx(board.truth("bert", modes).time_ms[0], rel=0.03)


def test_leaving_the_loop_early_gives_the_board_back_and_the_next_run_goes_on(board, store):
    modes = board.space.table([3_000, 18_000])
    job = board.job("lstm")
    with pt.measuring(board, "mine", modes, store, order="given") as found:
        for _ in pt.measured(range(10_000)):
            if found:
                break
            job.step()
    with pytest.raises(ZeroDivisionError), pt.measuring(board, "mine", modes, store) as found:  # noqa: PT012
        for batch in pt.measured(range(10_000)):
            job.step()
            1 / (5 - batch)
    assert found == []
    with pt.measuring(board, "mine", modes, store) as found:
        for _ in pt.measured(range(300)):
            job.step()
    assert [p.mode for p in found] == [modes[1]]


def test_it_can_stop_the_training_when_all_is_measured(board, store):
    job, cleaned = board.job("lstm"), []
    with pytest.raises(AllMeasured), pt.measuring(board, "mine", board.space.table([1]), store, stop=True):  # noqa: PT012
        try:
            for _ in pt.measured(range(100_000)):
                job.step()
        finally:
            cleaned.append(True)
    assert cleaned == [True]


def test_a_loop_that_goes_on_after_ctrl_c_measures_nothing_that_passes_for_a_mode(board, store):
    job = board.job("lstm")
    with pt.measuring(board, "mine", board.space.table([9_000]), store) as found:
        for batch in pt.measured(range(400)):
            job.step()
            if batch == 2:
                with contextlib.suppress(KeyboardInterrupt):
                    os.kill(os.getpid(), signal.SIGINT)
    assert "undone" in found[0].flags


def test_nothing_left_to_measure_changes_nothing(board, store):
    before = board.mode
    with pt.measuring(board, "mine", board.space.table([]), store):
        for _ in pt.measured(range(3)):
            assert board.mode == before


def test_knobs_of_the_training_are_refused(store):
    device = open_device("cpu?batch_size=8,16")
    with (
        pytest.raises(MissingKnobError, match=r"FILE\.py:FUNCTION"),
        pt.measuring(device, "mine", device.modes(), store),
    ):
        pass


def test_a_replay_has_nothing_to_measure(store, tmp_path):
    profile = pt.Profile(device="x", workload="w", mode=PowerMode(gpu_mhz=300), time_ms=5.0)
    pt.write_csv([profile], tmp_path / "x.csv")
    device = pt.open_device(f"replay:{tmp_path / 'x.csv'}")
    with (
        pytest.raises(DeviceError, match="powertrain import"),
        pt.measuring(device, "mine", device.modes(), store),
    ):
        pass


def test_a_framework_needs_four_calls(board, store):
    """As a callback would: it is told of epochs, steps, evaluations and the end, whatever the end is."""
    modes, job = board.space.table([9_000, 3_000]), board.job("lstm")
    options = RunOptions(order="given")
    record = Record(board, "mine", modes, store, options)
    session = open_session(board, record, options=options)
    for _ in range(30):
        session.start()
        for batch in range(60):
            job.step()
            session.step(every=2)
            if batch == 30:
                session.pause()
                board.clock.sleep_s(30.0)  # an evaluation
                session.start()
        session.pause()
        board.clock.sleep_s(60.0)
    session.close()
    session.close()
    assert [p.mode for p in record.measured] == list(modes)
    for profile, time_ms in zip(record.measured, board.truth("lstm", modes).time_ms, strict=True):
        assert profile.flags == ()
        assert profile.time_ms == pytest.approx(2 * time_ms, rel=0.02)
    session.step()  # nothing measures any more, and the training goes on


def test_a_framework_that_fails_in_the_middle_gives_the_board_back(board, store):
    record = Record(board, "mine", board.space.table([9_000]), store, RunOptions())
    session, job = open_session(board, record, options=RunOptions()), board.job("lstm")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        try:
            session.start()
            job.step()
            session.step()
            assert board.mode == board.space[9_000]
            1 / 0  # noqa: B018
        finally:
            session.close()
    assert record.measured == []


def test_a_real_loop_on_a_simulated_board_takes_its_own_time_and_its_profile_says_so(board, store, caplog):
    with pt.measuring(board, "real", board.space.table([5]), store) as found:
        for _ in pt.measured(range(100_000)):
            time.sleep(0.001)
            if found:
                break
    assert found[0].time_ms >= 1
    assert "a real program on a simulated board" in found[0].extra["worth"]
    assert len(caplog.messages) == 1
    with pt.measuring(board, "simulated", board.space.table([5]), store) as found:
        job = board.job("lstm")
        for _ in pt.measured(range(400)):
            job.step()
    assert "worth" not in found[0].extra
