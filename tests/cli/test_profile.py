from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from tests.processes import Process
from tests.waiting import PATIENCE_S, until

from powertrain.dataset import open_store
from powertrain.opening import open_device
from powertrain.records import Profile

NANO = ("--device", "sim:orin-nano")


@pytest.fixture
def db(tmp_path):
    return tmp_path / "profiles.db"


def counts(path) -> int:
    with open_store(path) as store:
        return sum(store.counts().values())


def test_it_measures_some_modes_and_keeps_them(done, db):
    shown = done("profile", "lstm", *NANO, "--db", db, "--modes", 5).out

    assert shown.startswith("5 modes of lstm on Jetson Orin Nano 8GB (simulated) measured in ")
    assert counts(db) == 5


def test_what_it_kept_can_be_learnt_from(done, db, tmp_path):
    done("profile", "resnet18", *NANO, "--db", db, "--modes", 60)
    done("profile", "lstm", *NANO, "--db", db, "--modes", 10)
    done("fit", "--db", db, "--workload", "resnet18", "--out", tmp_path / "r.ptm")
    learnt = ("--workload", "lstm", "--reference", tmp_path / "r.ptm", "--out", tmp_path / "l.ptm")
    done("transfer", "--db", db, *learnt)
    shown = done("choose", tmp_path / "l.ptm", *NANO, "--max-power", 9).out

    assert "lstm on Jetson Orin Nano 8GB (simulated)" in shown


def test_a_mode_that_is_there_is_not_measured_again_unless_asked(done, db):
    done("profile", "lstm", *NANO, "--db", db, "--modes", 10)
    more = done("profile", "lstm", *NANO, "--db", db, "--modes", 13, "--json").json["runs"][0]
    again = done("profile", "lstm", *NANO, "--db", db, "--modes", 3, "--again", "--json").json["runs"][0]

    assert (more["measured"], more["kept"]) == (3, 10)
    assert (again["measured"], again["kept"]) == (3, 0)
    assert counts(db) == 16


def test_modes_come_from_a_file_too(done, db, tmp_path):
    done("modes", "sim:orin-nano", "--sample", 4, "--csv", tmp_path / "modes.csv")
    run = done("profile", "lstm", *NANO, "--db", db, "--modes", tmp_path / "modes.csv", "--json").json[
        "runs"
    ][0]

    assert run["measured"] == 4


@pytest.mark.parametrize(
    ("arguments", "code", "remark"),
    [
        (("lstmm", *NANO), 2, "did you mean 'lstm'"),
        (("lstm", "--device", "sim:orin-nanos"), 2, "did you mean"),
        (("lstm", *NANO, "--modes", "2000"), 1, "there are 1,800"),
    ],
)
def test_what_the_device_lacks_is_one_line(run, db, arguments, code, remark):
    ran = run("profile", *arguments, "--db", db)

    assert ran.code == code
    assert remark in ran.error_line


def test_a_device_with_fewer_modes_than_usual_is_measured_in_all_and_that_is_said(done, db):
    small = "emulated:orin-nano@jp6?cpu_cores=1,2,3&cpu_mhz=115.2,1510.4&gpu_mhz=306&mem_mhz=2133"
    ran = done("profile", "lstm", "--device", small, "--db", db)

    assert ran.err == "measuring all 6 modes that Jetson Orin Nano 8GB (simulated) has\n"
    assert ran.out.startswith("6 modes of lstm")


@pytest.mark.parametrize("workload", ["nothere.py", "nothere.py:make"])
def test_a_missing_script_is_told_before_the_number_of_modes_is_judged(run, db, workload):
    ran = run("profile", workload, "--device", "cpu", "--db", db, "--modes", 100_000)

    assert ran.code == 2
    assert "there is no file nothere.py" in ran.error_line
    assert not db.exists()


def test_a_replay_has_nothing_to_measure(run, db, grid_csv):
    ran = run("profile", "lstm", "--device", f"replay:{grid_csv}", "--db", db)

    assert ran.code == 1
    assert "powertrain import" in ran.error_line


def test_modes_that_are_no_modes_are_wrong_use(run, db):
    assert run("profile", "lstm", *NANO, "--db", db, "--modes", "many").code == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_and_measures_no_finished_mode_twice(done, db, how):
    options = (*NANO, "--db", str(db), "--modes", "100")
    command = [sys.executable, "-m", "powertrain", "profile", "yolo", *options]
    with Process(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        until(lambda: db.exists() and counts(db) > 10, every_s=0.05)
        child.send_signal(how)
        _, said = child.communicate(timeout=PATIENCE_S)
    before = counts(db)
    run = done("profile", "yolo", *NANO, "--db", db, "--modes", "100", "--json").json["runs"][0]

    assert child.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    assert how == signal.SIGKILL or b"goes on from there" in said
    assert 10 < before < 100
    assert run["kept"] + run["measured"] == 100
    assert counts(db) == 100 + (before - run["kept"])


def test_the_closing_table_explains_the_flags_and_how_to_measure_again(done, db):
    board = open_device("sim:orin-nano")
    with open_store(db) as store:
        store.add(
            Profile(device=board.name, workload="lstm", mode=board.space[row], time_ms=9, flags=flags)
            for row, flags in (
                (7, ("throttled",)),
                (8, ("throttled", "drifting")),
                (9, ("drifting",)),
                (9, ()),
            )
        )
    ran = done("profile", "lstm", *NANO, "--db", db, "--modes", 1)

    assert ran.out.startswith(f"1 mode of lstm on {board.name} measured in ")
    assert " 0.0 " not in ran.out
    assert "2 of 4 modes left out of fits" in ran.out
    assert "the device cut its clocks by itself meanwhile" in ran.out
    assert "--retry-flagged measures them again" in ran.out
    told = done("profile", "lstm", *NANO, "--db", db, "--modes", 1, "--json").json["flagged"]["lstm"]
    assert told == {"modes": 4, "flagged": 2, "by_flag": {"throttled": 2, "drifting": 1}}


def test_without_flags_there_is_no_table(done, db):
    ran = done("profile", "lstm", *NANO, "--db", db, "--modes", 1)
    assert len(ran.out.splitlines()) == 1
    assert done("profile", "lstm", *NANO, "--db", db, "--modes", 1).out.endswith(f"1 was in {db} already\n")


def test_a_hard_limit_leaves_out_what_is_known_to_exceed_it(done, run, db):
    done("profile", "resnet18", *NANO, "--db", db, "--modes", 40, "--hard-limit", 9)
    assert 0 < counts(db) < 40


@pytest.mark.skipif(bool(open_device("cpu").rails), reason="this machine's power can be read")
def test_a_hard_limit_needs_a_power_sensor(run, db):
    ran = run("profile", "lstm", "--device", "cpu", "--db", db, "--modes", 1, "--hard-limit", 9)
    assert ran.code == 2
    assert "no power sensor" in ran.error_line
