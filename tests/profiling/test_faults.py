"""What goes wrong while modes are measured: the board is restored, and nothing that is finished is lost."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.processes import Process
from tests.profiling.faulty import FaultyBoard
from tests.profiling.forking import STOPPED
from tests.waiting import until

from powertrain.dataset import open_store
from powertrain.devices import Journal, PowerReading
from powertrain.errors import DeviceError, UnreachableModeError, WorkloadError, WorkloadMemoryError
from powertrain.opening import open_device
from powertrain.profiling import FLAGS, Procedure, profile_modes
from powertrain.records import ModeTable, PowerMode, ProfileTable
from powertrain.workflow import profile

QUICK = Procedure(least_minibatches=5, most_minibatches=5, stabilise_limit_s=4.0)


def some_modes(board: FaultyBoard, n: int = 4) -> ModeTable:
    return board.space.table(np.linspace(0, len(board.space) - 1, n).astype(int))


@pytest.fixture
def board():
    board = FaultyBoard()
    before = board.board.mode
    yield board
    assert board.board.mode == before


def test_a_sensor_that_fails_half_way_flags_the_mode_and_the_run_goes_on(board):
    def fail(reading: int) -> None:
        if 30 < reading < 300:
            raise OSError(5, "Input/output error")

    board.at_reading = fail
    profiles = list(profile_modes(board, "resnet18", some_modes(board, 12), procedure=QUICK))
    failed = [p for p in profiles if "sensor_failed" in p.flags]
    assert 1 <= len(failed) < 3
    assert all(p.time_ms > 0 and np.isnan(p.power_w) for p in failed)
    assert all("Input/output error" in p.extra["failed_readings"] for p in failed)
    assert len(ProfileTable.of(profiles)) >= 8


def test_a_few_readings_that_fail_are_counted_and_do_no_harm(board):
    def fail(reading: int) -> None:
        if reading % 7 == 3:
            raise DeviceError("busy")

    board.at_reading = fail
    (profile,) = profile_modes(board, "resnet18", some_modes(board, 1))
    assert profile.flags == ()
    assert int(profile.extra["failed_readings"].split()[0]) > 0
    truth = board.board.truth("resnet18", some_modes(board, 1))
    assert profile.power_w == pytest.approx(truth.power_w[0], rel=0.05)


def test_a_sensor_that_shows_nothing_is_no_measurement_of_zero(board):
    board.read_power = lambda: PowerReading(time_s=board.clock.now_s(), rails_w={}, power_w=0.0)
    (profile,) = profile_modes(board, "resnet18", some_modes(board, 1), procedure=QUICK)
    assert "sensor_failed" in profile.flags
    assert profile.time_ms > 0
    assert np.isnan(profile.power_w)


def test_a_sensor_that_stays_broken_ends_the_run(board):
    def fail(reading: int) -> None:
        raise OSError(5, "Input/output error")

    board.at_reading = fail
    run = profile_modes(board, "resnet18", some_modes(board, 10), procedure=QUICK)
    got = [next(run) for _ in range(3)]
    assert all("sensor_failed" in p.flags for p in got)
    with pytest.raises(DeviceError, match="failed in 3 modes one after the other"):
        next(run)


def test_a_minibatch_that_does_not_fit_flags_its_mode_and_the_run_goes_on(board):
    def fail(step: int) -> None:
        if step == 2:
            raise WorkloadMemoryError("CUDA out of memory")

    board.at_step = fail
    first, *others = profile_modes(board, "resnet18", some_modes(board), procedure=QUICK)
    assert first.flags == ("out_of_memory",)
    assert np.isnan(first.time_ms)
    assert "CUDA out of memory" in first.extra["reason"]
    assert all(p.flags == () for p in others)
    assert len(others) == board.prepared - 1 == 3


def test_a_mode_that_the_device_does_not_take_is_flagged_and_the_run_goes_on(board):
    modes = some_modes(board)

    def refuse(mode) -> None:
        if mode == modes[1]:
            raise UnreachableModeError("mem_mhz shows 2133")

    board.at_write = refuse
    profiles = list(profile_modes(board, "resnet18", modes, procedure=QUICK))
    assert [p.flags for p in profiles] == [(), ("unreachable",), (), ()]
    assert [p.mode for p in profiles] == list(modes)


def test_a_training_that_raises_ends_the_run_and_keeps_what_is_finished(board, tmp_path):
    def fail(step: int) -> None:
        if step == 25:
            raise WorkloadError("mine raised ValueError: nan")

    board.at_step = fail
    modes = some_modes(board)
    with open_store(tmp_path / "p.db") as store:
        with pytest.raises(WorkloadError, match="nan"):
            profile(board, "resnet18", modes, store, procedure=QUICK)
        kept = store.profiles()
        assert 1 <= len(kept) < 4
        board.at_step = lambda _: None
        done = profile(board, "resnet18", modes, store, procedure=QUICK)
        assert (done.kept, done.measured) == (len(kept), 4 - len(kept))


@pytest.mark.parametrize("moved_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_while_a_mode_is_measured_flags_it(board, moved_s):
    how = Procedure(stabilise_s=0.5, stabilise_limit_s=9.0, least_minibatches=10, most_minibatches=10)
    steps: list[int] = []

    def jump(step: int) -> None:
        steps.append(step)
        if step == 40:
            board.clock.moved_s += moved_s

    board.at_step = jump
    flags = [
        p.flags for p in profile_modes(board, "lstm", some_modes(board, 3).take([2, 2, 2]), procedure=how)
    ]
    assert len(steps) > 41
    assert sum(bool(f) for f in flags) == 1
    assert any("interrupted" in f or "unsteady" in f for f in flags)


@pytest.mark.parametrize(("every", "flagged"), [(25, False), (10, True), (4, True)])
def test_a_few_minibatches_that_were_interrupted_are_left_out_and_many_flag_the_mode(board, every, flagged):
    def interrupt(step: int) -> None:
        if step % every == 0:
            board.board.clock.sleep_s(0.4)  # six times as long as a minibatch

    board.at_step = interrupt
    modes = some_modes(board, 3).take([2])
    (profile,) = profile_modes(board, "lstm", modes, procedure=Procedure(least_minibatches=40))
    assert ("interrupted" in profile.flags) == flagged
    assert ("left_out_minibatches" in profile.extra) == (not flagged)
    truth = board.board.truth("lstm", modes)
    assert flagged or profile.time_ms == pytest.approx(truth.time_ms[0], rel=0.02)


def test_a_mode_that_something_else_undid_is_flagged(board):
    board.undone = "policy0 shows 729600 kHz"
    (profile,) = profile_modes(board, "resnet18", some_modes(board, 1))
    assert profile.flags == ("undone",)
    assert profile.extra["undone"] == "policy0 shows 729600 kHz"


def test_every_flag_is_explained(board):
    assert set(FLAGS) == {
        *("throttled", "unsteady", "drifting", "interrupted", "undone"),
        *("capped", "shared", "sensor_failed", "sensors_disagree", "out_of_memory", "unreachable"),
    }


def test_times_that_keep_rising_are_flagged(board):
    def slower(step: int) -> None:
        board.board.clock.sleep_s(0.002 * step)

    board.at_step = slower
    how = Procedure(time_tolerance=1.0, power_tolerance=1.0, precision=1e-6)
    (profile,) = profile_modes(board, "lstm", some_modes(board, 3).take([2]), procedure=how)
    assert "drifting" in profile.flags


FULL_DISK = """
import resource, sys
from powertrain.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["powertrain", *sys.argv[2:]]
main()
"""


def test_a_full_disk_is_one_line_and_nothing_finished_is_lost(tmp_path):
    database, board = tmp_path / "p.db", tmp_path / "board.json"
    options = ("--device", f"sim:orin-nano?state={board}", "--db", str(database), "--modes", "400")
    command = [sys.executable, "-c", FULL_DISK, "400000", "profile", "lstm", *options]
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert str(database) in line
    assert "disk" in line
    with open_store(database) as store:
        assert len(store.profiles()) > 20
    assert open_device(f"sim:orin-nano?state={board}").mode == open_device("sim:orin-nano").mode


KILLS = 30  # benchmarks/kills.py does a thousand
# Each signal, and the exit codes that it may leave; SIGTERM is caught while the board is held.
DEADLY = {
    signal.SIGINT: {STOPPED},
    signal.SIGTERM: {STOPPED, -signal.SIGTERM},
    signal.SIGKILL: {-signal.SIGKILL},
}
FORKING = Path(__file__).with_name("forking.py")


@pytest.fixture
def forking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Start what forks children that profile one board into one database, with journals of their own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    command = [sys.executable, str(FORKING), spec_of(tmp_path), str(tmp_path / "p.db")]
    with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def spec_of(folder: Path) -> str:
    return f"sim:orin-nano-super?state={folder / 'board.json'}"


def fork(forking: Process) -> int:
    """Fork a child; return its pid."""
    print(file=forking.stdin, flush=True)
    return int(forking.stdout.readline())


def kept_modes(folder: Path) -> list[PowerMode]:
    with open_store(folder / "p.db") as store:
        return [p.mode for p in store.profiles()]


def count_kept(folder: Path) -> int:
    """Count profiles as a reader that never waits: opening the store anew may wait for whoever writes."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'p.db'}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM profile").fetchone()
    return count


def has_ended(pid: int) -> bool:
    """Tell whether a process has ended, whether or not it has been waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.timeout(240)
def test_killed_at_random_moments_the_board_comes_back_and_no_profile_is_lost(tmp_path, forking):
    before = open_device(spec_of(tmp_path)).mode
    chance = random.Random(5)
    kept, most, given_back, finished = 0, 0, 0, 0
    there_are = open_device(spec_of(tmp_path)).count()
    with open_store(tmp_path / "p.db"):
        pass
    for turn in range(KILLS):
        number, codes = list(DEADLY.items())[turn % 3]
        child = fork(forking)
        if turn % 4 == 0:  # however slow the machine is, some keep a profile before they are killed
            until(lambda pid=child, n=kept: count_kept(tmp_path) > n or has_ended(pid), every_s=0.02)
        elif chance.random() < 0.9:  # some are killed before they hold anything
            until(lambda pid=child: Journal().devices() or has_ended(pid))
        time.sleep(chance.uniform(0, 0.2))
        if turn % 6 == 2:  # some SIGKILLs surely find the board held, however little of the time that is
            until(lambda pid=child: Journal().devices() or has_ended(pid), every_s=0.0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
        code = int(forking.stdout.readline())
        finished += code == 0  # a fast machine may come to the end of the modes
        assert code in {0, *codes}
        given_back += number == signal.SIGKILL and open_device(spec_of(tmp_path)).restore()
        assert open_device(spec_of(tmp_path)).mode == before
        modes = kept_modes(tmp_path)
        assert len(modes) == len(set(modes)) >= kept  # none lost, none measured twice
        kept, most = len(modes), max(most, len(modes))
        if kept == there_are:  # a child that was left alone for long came to the end: begin anew
            for file in tmp_path.glob("p.db*"):
                file.unlink()
            with open_store(tmp_path / "p.db"):
                kept = 0
    assert finished < KILLS / 2
    assert given_back > 3
    assert most > 6
    assert Journal().devices() == []
