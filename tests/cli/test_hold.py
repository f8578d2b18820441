"""`powertrain apply` and `powertrain restore`, and what `profile` does with trainings of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.processes import Process
from tests.waiting import PATIENCE_S, until

from powertrain.opening import open_device
from powertrain.workflow import _holding

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="trainings are PyTorch's")
AFFINITY = "import os, sys; print(len(os.sched_getaffinity(0)), os.environ.get('POWERTRAIN_BATCH_SIZE'))"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def board(tmp_path):
    return f"sim:orin-nano?state={tmp_path / 'board.json'}"


def powertrain(*arguments: object, **more) -> Process:
    command = [sys.executable, "-m", "powertrain", *map(str, arguments)]
    return Process(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def terminated(script: Path, board: str, folder: Path) -> tuple[str, str]:
    """Profile a script, send SIGTERM once it says `here`, and return what else was printed."""
    with powertrain("profile", script, "--device", board, "--db", folder / "p.db") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        child.send_signal(signal.SIGTERM)
        printed = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 128 + signal.SIGTERM, printed
    return printed


def test_a_command_runs_in_the_mode_and_its_exit_code_is_passed_on(tmp_path):
    out = tmp_path / "out"
    code = f"{AFFINITY}; sys.exit(7)"
    with out.open("w") as file:
        arguments = ("apply", "cpu_cores=1 batch_size=8", "--device", "cpu", "--", sys.executable, "-c", code)
        child = subprocess.run(
            [sys.executable, "-m", "powertrain", *arguments], stdout=file, stderr=subprocess.PIPE, check=False
        )
    assert child.returncode == 7
    assert child.stderr == b""
    assert out.read_text() == "1 8\n"


def test_the_board_is_in_the_mode_while_the_command_runs_and_as_before_afterwards(done, board, tmp_path):
    before = open_device(board)
    mode, seen = before.space[77], tmp_path / "seen.json"
    ran = done("apply", str(mode), "--device", board, "--json", "--", "cp", tmp_path / "board.json", seen)
    assert '"row": 77' in seen.read_text()
    assert ran.json["mode"] == dict(mode)
    assert ran.json["exit_code"] == 0
    assert open_device(board).mode == before.mode


def test_one_knob_is_set_and_the_others_stay_as_they_are(done, board, tmp_path):
    before, seen = open_device(board).mode, tmp_path / "seen.json"
    value = open_device(board).space.knob("gpu_mhz").values[0]
    assert before["gpu_mhz"] != value
    done("apply", f"gpu_mhz={value}", "--device", board, "--", "cp", tmp_path / "board.json", seen)

    held = open_device(f"sim:orin-nano?state={seen}").mode
    assert held == before.replace(gpu_mhz=value)
    assert open_device(board).mode == before


def test_a_stock_mode_is_applied_by_its_name(done, board):
    name = next(iter(open_device(board).stock_modes()))
    ran = done("apply", name, "--device", board, "--json", "--", "true")
    assert ran.json["mode"] == dict(open_device(board).stock_modes()[name])


@pytest.mark.parametrize(
    ("arguments", "code", "remark"),
    [
        (("cpu_cores=1", "--device", "cpu"), 2, "no COMMAND to run"),
        (("cpu_cores=0", "--device", "cpu", "--", "true"), 2, "the nearest is 1"),
        (("fast", "--device", "sim:orin-nano", "--", "true"), 2, "unknown mode"),
        (("gpu_mhz=1", "--device", "cpu", "--", "true"), 2, "cpu_cores: give"),
        (("cpu_mhz=1", "--device", "sim:orin-nano", "--", "true"), 2, "the nearest is 115.2"),
        (("warp=9", "--device", "sim:orin-nano", "--", "true"), 2, "give some of these"),
        (("cpu_cores=one", "--device", "cpu", "--", "true"), 2, "is not KNOB=NUMBER"),
        (("cpu_cores=1", "--device", "cpu", "--", "/nowhere/to/be/found"), 127, "cannot run /nowhere"),
        (("cpu_cores=1", "--device", "nvml:x", "--", "true"), 2, "given by its number"),
    ],
)
def test_what_cannot_be_applied_is_one_line(run, arguments, code, remark):
    ran = run("apply", *arguments)
    assert ran.code == code
    assert remark in ran.error_line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_gives_the_board_back(board, number, done):
    before = open_device(board).mode
    waiting = (sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    with powertrain("apply", str(open_device(board).space[5]), "--device", board, "--", *waiting) as child:
        assert child.stdout is not None
        command = int(child.stdout.readline())
        held = open_device(board).mode
        child.send_signal(number)
        if number == signal.SIGKILL:
            os.kill(command, signal.SIGKILL)
        child.wait(timeout=PATIENCE_S)
    assert held == open_device(board).space[5]
    if number == signal.SIGKILL:
        assert open_device(board).mode == held
        assert f"restored as it was before process {child.pid}" in done("restore").out
    else:
        assert child.returncode == 128 + signal.SIGTERM
    assert open_device(board).mode == before
    assert done("restore").out == "nothing was left behind\n"
    assert done("restore", "--json").json == {"restored": []}


def test_a_run_that_is_terminated_says_so_and_exits_with_the_signals_code(board, tmp_path):
    options = ("--device", board, "--db", tmp_path / "p.db", "--modes", "grid", "--order", "given")
    with powertrain("profile", "yolo", *options) as child:
        until((tmp_path / "p.db").exists, every_s=0.05)
        time.sleep(1.0)
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from there" in said
    assert open_device(board).mode == open_device("sim:orin-nano").mode


def test_a_script_that_does_not_end_after_sigterm_is_ended(board, tmp_path):
    script = tmp_path / "train.py"
    text = """
import time, powertrain as pt
try:
    print("here", flush=True)
    for _ in pt.measured(range(10**9)):
        time.sleep(0.001)
finally:
    time.sleep(100)  # as a pool does whose workers were killed
"""
    script.write_text(text)
    soon = "import powertrain.cli._root as root; root.LONGEST_END_S = 0.2; root.main()"
    options = ("profile", str(script), "--device", board, "--db", str(tmp_path / "p.db"))
    command = [sys.executable, "-c", soon, *options]
    with Process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 128 + signal.SIGTERM
    assert "SIGTERM came 0.2 s ago, and the script has not ended" in said


def test_a_script_that_fails_because_of_sigterm_has_the_signals_exit_code(board, tmp_path):
    script = tmp_path / "train.py"
    text = """
import time, powertrain as pt
try:
    print("here", flush=True)
    for _ in pt.measured(range(10**9)):
        time.sleep(0.001)
except KeyboardInterrupt:
    raise RuntimeError("a worker was killed") from None  # as PyTorch does where a worker got the signal, too
"""
    script.write_text(text)
    _, said = terminated(script, board, tmp_path)
    assert "RuntimeError: a worker was killed" in said


def test_a_handler_that_raises_while_a_terminated_run_is_closed_changes_no_exit_code(board, tmp_path):
    script = tmp_path / "train.py"
    text = """
import signal, sys, threading, time, traceback, powertrain as pt

def raises(number, frame):
    raise RuntimeError("a worker was killed")  # as PyTorch does, wherever the main thread is

def wait_for_the_end():
    main = threading.main_thread().ident
    while __file__ in "".join(traceback.format_stack(sys._current_frames()[main])):
        time.sleep(0.0001)
    signal.pthread_kill(main, signal.SIGCHLD)

signal.signal(signal.SIGCHLD, raises)
threading.Thread(target=wait_for_the_end, daemon=True).start()
print("here", flush=True)
for _ in pt.measured(range(10**9)):
    time.sleep(0.001)
"""
    script.write_text(text)
    _, said = terminated(script, board, tmp_path)
    assert "Traceback" not in said


def test_a_script_that_hangs_as_python_ends_has_ended_after_sigterm(board, tmp_path):
    script = tmp_path / "train.py"
    text = """
import atexit, time, powertrain as pt

class Pool:
    def __del__(self):
        time.sleep(100)

pool = Pool()
atexit.register(print, "the end", flush=True)
print("here", flush=True)
for _ in pt.measured(range(10**9)):
    time.sleep(0.001)
"""
    script.write_text(text)
    out, _ = terminated(script, board, tmp_path)
    assert out == "the end\n"


def test_several_workloads_are_profiled_in_one_run(done, tmp_path):
    options = ("--device", "sim:orin-nano", "--db", tmp_path / "p.db", "--modes", 3)
    runs = done("profile", "lstm", "bert", *options, "--json").json["runs"]
    assert [(r["workload"], r["measured"]) for r in runs] == [("lstm", 3), ("bert", 3)]
    assert len(done("profile", "lstm", "bert", *options).out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "remark"),
    [
        (("train.py",), 2, "there is no file train.py"),
        (("train.py:make",), 2, "there is no file train.py"),
        (("lstm", "bert", "--name", "x"), 2, "names one WORKLOAD"),
        (("lstm", "--name", "x"), 2, "not a training of your own"),
        (("lstm", "--args", "--x"), 2, "are for a script"),
        pytest.param(("lstm", "--data", "."), 1, "cannot read .", marks=needs_torch),
        (("lstm", "--precision", "0"), 2, "precision"),
    ],
)
def test_a_run_that_makes_no_sense_says_why(run, tmp_path, monkeypatch, arguments, code, remark):
    monkeypatch.chdir(tmp_path)
    ran = run("profile", *arguments, "--device", "cpu", "--db", tmp_path / "p.db", "--modes", "1")
    assert ran.code == code
    assert remark in (ran.error_line if code == 1 else ran.err)


def test_a_training_that_does_not_follow_a_knob_is_refused_before_anything_is_measured(run, tmp_path):
    (tmp_path / "train.py").write_text("def make(): yield")
    options = ("--device", "cpu?batch_size=8,16", "--db", tmp_path / "p.db", "--modes", "grid")
    ran = run("profile", f"{tmp_path / 'train.py'}:make", *options)
    assert ran.code == 1
    assert "does not follow the knob batch_size: it follows no software knob" in ran.error_line
    ran = run("profile", tmp_path / "train.py", *options)
    assert "FILE.py:FUNCTION" in ran.error_line


def test_devices_of_this_machine_are_listed_with_what_is_missing(done):
    shown = done("devices").out
    assert "Devices of this machine" in shown
    assert "cpu_cores is the affinity" in shown
    listed = done("devices", "--json").json["devices"]
    assert "cpu" in [device["spec"] for device in listed]
    assert done("devices", "cpu?batch_size=8,16").out.count("batch_size: 2 values") == 1


def test_a_journal_that_cannot_be_read_does_not_keep_others_from_being_given_back(run, tmp_path):
    folder = tmp_path / "state/powertrain"
    folder.mkdir(parents=True)
    (folder / "odd.json").write_text("x")
    ran = run("restore")
    assert ran.code == 1
    assert "odd" in ran.out + ran.err


def test_a_command_whose_mode_is_lost_goes_on_and_that_is_said_at_once(board, monkeypatch, caplog, tmp_path):
    device = open_device(board)
    monkeypatch.setattr(_holding, "LOOK_S", 0.05)
    looked = tmp_path / "looked"
    monkeypatch.setattr(device._holder, "lost", lambda: looked.touch() or "the helper vanished")
    command = ("sh", "-c", f"until [ -e {looked} ]; do sleep 0.02; done; exit 7")
    assert _holding.run_held(device, device.space[5], command) == 7
    assert caplog.messages == ["the command goes on, but not in its mode: the helper vanished"]


@pytest.mark.parametrize(
    ("command", "code", "why"),
    [("nosuchcommand", 127, "No such file"), ("./no_program.txt", 126, "Permission denied"), ("/", 126, "")],
)
def test_a_command_that_cannot_be_run_leaves_the_exit_code_of_a_shell(
    run, tmp_path, monkeypatch, command, code, why
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_program.txt").write_text("text")
    before = os.sched_getaffinity(0)
    ran = run("apply", "cpu_cores=1", "--device", "cpu", "--", command)
    assert ran.code == code
    assert ran.error_line.startswith(f"error: cannot run {command}: {why}")
    assert os.sched_getaffinity(0) == before
