"""`powertrain show` and `powertrain status`, completion, and how tables look."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from tests.processes import Process

from powertrain.cli import powertrain
from powertrain.dataset import open_store
from powertrain.opening import open_device
from powertrain.records import PowerMode, Profile


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_a_database_and_its_csv_show_the_same(done, database, grid_csv, board_name):
    shown = done("show", database, "--json").json["workloads"]
    from_csv = done("show", grid_csv, "--json").json["workloads"]
    from_pipe = done("show", "-", "--json", stdin=grid_csv.read_text()).json["workloads"]

    key = lambda one: one["workload"]  # noqa: E731
    assert sorted(shown, key=key) == sorted(from_csv, key=key) == sorted(from_pipe, key=key)
    (lstm,) = (one for one in shown if one["workload"] == "lstm")
    assert (lstm["device"], lstm["profiles"], lstm["flags"]["modes"]) == (board_name, 160, 160)
    assert lstm["ranges"]["time_ms"][0] < lstm["ranges"]["time_ms"][1]
    assert "480 profiles of 3 workloads" in done("show", database).out


def test_flags_are_shown_with_their_reasons(done, tmp_path):
    with open_store(tmp_path / "p.db") as store:
        store.add(
            Profile(device="b", workload="w", mode=PowerMode(cpu_cores=n), time_ms=5, flags=flags)
            for n, flags in ((1, ()), (2, ("throttled",)))
        )
    shown = done("show", tmp_path / "p.db").out

    assert "1 of 2 modes left out of fits" in shown
    assert "the device cut its clocks by itself meanwhile" in shown
    assert "--retry-flagged" in shown


def test_a_predictor_tells_what_it_learned_from_and_how_well_it_does(done, predictor_file):
    shown = done("show", predictor_file, "--json").json["predictor"]

    assert (shown["method"], shown["workload"]) == ("gp", "lstm")
    assert shown["learned"]["modes"] == {"time": 160, "power": 160}
    assert [workload for _, workload in shown["learned"]["references"]] == ["resnet18"]
    assert shown["learned"]["ranges"]["cpu_cores"][1] == 12
    assert 0 < shown["learned"]["left_out_errors"]["time"] < 10
    assert "each predicted from the others is off by" in done("show", predictor_file).out


@pytest.mark.parametrize("method", ["linear", "paper-scratch"])
def test_a_method_that_keeps_less_shows_less(done, database, tmp_path, method):
    learned = ("--db", database, "--workload", "lstm", "--method", method)
    done("fit", *learned, "--out", tmp_path / "p.ptm")

    assert done("show", tmp_path / "p.ptm", "--json").json["predictor"]["method"] == method
    assert "made by" in done("show", tmp_path / "p.ptm").out


def test_what_is_no_such_file_is_refused(run, tmp_path):
    assert run("show", tmp_path / "nothing.db").code == 2
    (tmp_path / "odd.ptm").write_text("odd")
    assert "not a predictor file" in run("show", tmp_path / "odd.ptm").error_line


def test_status_tells_what_is_in_force_and_that_nobody_holds_it(done):
    (told,) = done("status", "emulated:orin-nano@jp6", "--json").json["devices"]

    assert told["hold"] is None
    assert told["in_force"]["cpu_cores"] == [6, 6]
    assert told["in_force"]["gpu_mhz"][0] < told["in_force"]["gpu_mhz"][1]
    assert told["stock_mode"] == "15W"
    assert told["power_w"] > 0
    shown = done("status", "emulated:orin-nano@jp6").out
    assert "nobody" in shown
    assert "moves from" in shown


def test_status_without_a_device_is_about_this_machine(done):
    assert "cpu" in [device["spec"] for device in done("status", "--json").json["devices"]]


WAITS = (sys.executable, "-c", "print('held', flush=True); input()")


@contextlib.contextmanager
def holding(board, mode="cpu_cores=1"):
    """Hold a board in another process."""
    command = (sys.executable, "-m", "powertrain", "apply", mode, "--device", board, "--", *WAITS)
    with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        try:
            yield child
        finally:
            child.stdin.close()


@pytest.mark.parametrize("board", ["cpu", "sim:orin-nano", "emulated:orin-nano@jp6"])
def test_status_tells_who_holds_what_since_when_and_in_which_mode(done, board):
    mode = "cpu_cores=1" if board != "emulated:orin-nano@jp6" else "gpu_mhz=306"
    before_s = time.time()
    with holding(board, mode) as one, holding(board, mode) as other:
        told = {device["spec"]: device for device in done("status", "--json").json["devices"]}[board]
        shown = done("status", board).out
    assert {hold["pid"] for hold in told["holds"]} == {one.pid, other.pid}
    assert told["hold"] == told["holds"][0]
    for hold in told["holds"]:
        assert (hold["mode"], hold["left_behind"]) == (mode, False)
        assert before_s - 1 <= hold["since_s"] <= time.time()
        assert f"apply {mode} --device {board}" in hold["command"]
    assert f"process {one.pid}, since 20" in shown
    after = done("status", board, "--json").json["devices"][0]
    assert (after["hold"], after["holds"]) == (None, [])


def test_what_nobody_holds_is_not_shown_beside_this_machine(done):
    with holding("sim:orin-nano"):
        pass
    assert "sim:orin-nano" not in done("status").out


def test_status_tells_who_holds_a_board_and_who_left_it_behind(done, tmp_path):
    board = f"sim:orin-nano?state={tmp_path / 'board.json'}"
    waiting = (sys.executable, "-c", "print('held', flush=True); input()")
    command = (sys.executable, "-m", "powertrain", "apply", "cpu_cores=1", "--device", board, "--", *waiting)
    with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        (held,) = done("status", board, "--json").json["devices"]
        child.kill()
    (left,) = done("status", board, "--json").json["devices"]

    assert held["hold"]["pid"] == left["hold"]["pid"] == child.pid
    assert (held["hold"]["left_behind"], left["hold"]["left_behind"]) == (False, True)
    assert held["in_force"]["cpu_cores"] == [1, 1]
    assert "powertrain restore" in done("status", board).out
    done("restore")
    assert done("status", board, "--json").json["devices"][0]["hold"] is None


def completed(words, incomplete):
    env = {
        "_POWERTRAIN_COMPLETE": "bash_complete",
        "COMP_WORDS": f"powertrain {words} {incomplete}",
        "COMP_CWORD": str(1 + len(words.split())),
    }
    ran = CliRunner().invoke(powertrain, [], prog_name="powertrain", env=env)
    return [line.partition(",")[2] for line in ran.output.splitlines() if line]


def test_a_shell_completes_devices_workloads_and_modes(database):
    assert "sim:orin-nano" in completed("modes", "sim:")
    assert "mobilenet_v3" in completed("tune", "mobilenet_v")
    assert completed("tune", "") == [""]  # files, which the shell completes itself
    assert completed(f"choose --db {database} --workload", "l") == ["lstm"]
    assert completed("profile", "mob") == ["mobilenet_v3"]
    assert completed("apply --device sim:orin-nano", "gpu") == ["gpu_mhz="]
    assert "gpu_mhz=306" in completed("apply --device sim:orin-nano", "gpu_mhz=")
    assert completed("choose --db /nowhere/to/be/found.db --device", "zzz") == []


def test_what_is_in_force_is_told_by_the_device_itself():
    board = open_device("sim:orin-nano")
    assert board.in_force() == {name: (value, value) for name, value in board.mode.items()}
