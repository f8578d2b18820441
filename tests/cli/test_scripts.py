"""Training programs of one's own under `powertrain profile`."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
import time

import pytest
from tests.processes import Process
from tests.waiting import until

from powertrain.dataset import open_store

QUICK = """
import logging, os, sys, time
import powertrain as pt

def steps(n):
    for batch in pt.measured(range(n)):
        time.sleep(0.001)
"""
ONE_CORE = ("--device", "cpu?cpu_cores=1", "--modes", "grid", "--precision", "50")
TWO_MODES = ("--device", "sim:orin-nano", "--modes", "2", "--precision", "50", "--order", "given")


@pytest.fixture
def script(tmp_path):
    def write(text: str, name: str = "train.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(QUICK + textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def db(tmp_path):
    return tmp_path / "p.db"


def profiles(path):
    with open_store(path) as store:
        return store.profiles()


def powertrain(*arguments, folder):
    """Run the command in a process of its own, as from a shell."""
    command = [sys.executable, "-m", "powertrain", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


def test_a_script_is_trained_until_all_is_measured(done, script, db):
    path = script("steps(int(sys.argv[1]))\nprint('never reached')")
    before = os.sched_getaffinity(0)
    shown = done("profile", path, *ONE_CORE, "--db", db, "--name", "mine", "--", "1000000").out
    assert shown.startswith("1 mode of mine on ")
    assert "never reached" not in shown
    assert os.sched_getaffinity(0) == before
    (profile,) = profiles(db)
    assert profile.workload == "mine"
    assert "worth" not in profile.extra
    options = ("--name", "mine", "--args", "1000000", "--json")
    again = done("profile", path, *ONE_CORE, "--db", db, *options).json["runs"][0]
    assert (again["measured"], again["kept"]) == (0, 1)


def test_what_follows_two_dashes_is_the_scripts_whatever_it_looks_like(done, script, db):
    path = script(
        "assert sys.argv == [__file__, '--modes', '7', '--json', '--', '-x'], sys.argv\nsteps(10**6)"
    )
    ran = done("profile", path, *ONE_CORE, "--db", db, "--", "--modes", 7, "--json", "--", "-x")
    assert ran.out.startswith("1 mode of train.py")


def test_a_module_of_a_package_is_run_with_its_relative_imports(done, script, db, tmp_path, monkeypatch):
    script("", "package/__init__.py")
    script("STEPS = 10**6", "package/settings.py")
    script("from .settings import STEPS\nassert sys.argv[1:] == ['--fast']\nsteps(STEPS)", "package/train.py")
    monkeypatch.chdir(tmp_path)
    ran = done("profile", "-m", "package.train", *ONE_CORE, "--db", db, "--", "--fast")
    assert ran.out.startswith("1 mode of package.train on ")
    assert {profile.workload for profile in profiles(db)} == {"package.train"}


def test_what_stands_beside_a_script_is_imported_by_it(done, script, db):
    script("STEPS = 10**6", "beside_the_script.py")
    path = script("from beside_the_script import STEPS\nsteps(STEPS)")
    done("profile", path, *ONE_CORE, "--db", db)
    assert len(profiles(db)) == 1


def test_a_crash_keeps_its_traceback_without_our_frames_and_the_profiles_so_far(script, db, tmp_path):
    script(
        """
        def train(batch):
            time.sleep(0.001)
            if batch == 4000:
                raise RuntimeError("the loss is nan")

        for batch in pt.measured(range(10**6)):
            train(batch)
        """
    )
    options = ("--device", "sim:orin-nano", "--modes", "grid", "--precision", "50", "--order", "given")
    ran = powertrain("profile", "train.py", *options, "--db", db, folder=tmp_path)
    assert ran.returncode == 1
    assert 'train.py", line 15, in <module>' in ran.stderr
    assert 'train.py", line 12, in train' in ran.stderr
    assert "RuntimeError: the loss is nan" in ran.stderr
    assert "runpy" not in ran.stderr
    assert "workflow" not in ran.stderr
    last = ran.stderr.splitlines()[-1]
    kept = len(profiles(db))
    assert kept >= 1
    assert last.startswith("error: train.py raised RuntimeError at train.py:12: the loss is nan; ")
    assert f"the profiles of the {kept} mode" in last


@pytest.mark.parametrize(
    ("text", "code", "remark"),
    [
        ("print('no loop')", 1, "nothing in it was measured"),
        ("steps(3)", 1, "ended before a mode was measured: let it train for longer"),
        ("1 / 0", 1, "raised ZeroDivisionError at train.py:8: division by zero; no mode had been measured"),
        ("def f(:", 1, "SyntaxError"),
        ("sys.exit(3)", 3, "ended with exit code 3"),
        ("sys.exit('no data here')", 1, "ended: no data here"),
        ("sys.exit(0)", 1, "nothing in it was measured"),
        ("import nowhere_to_be_found", 1, "raised ModuleNotFoundError"),
    ],
)
def test_a_failed_script_leaves_its_exit_code_and_no_empty_database(run, script, db, text, code, remark):
    ran = run("profile", script(text), *ONE_CORE, "--db", db)
    assert ran.code == code
    assert remark in ran.err.splitlines()[-1]
    assert not db.exists()


def test_a_script_that_ends_early_says_how_many_modes_are_left(done, script, db):
    path = script(
        """
        def some_are_kept():
            with pt.open_store(sys.argv[1]) as store:
                return bool(store.profiles())

        for batch in pt.measured(range(10**6)):
            time.sleep(0.001)
            if batch % 100 == 99 and some_are_kept():
                break
        """
    )
    how = ("--device", "sim:orin-nano", "--modes", 3, "--precision", 50)
    told = done("profile", path, *how, "--db", db, "--", db)
    assert told.out.splitlines()[0].startswith("1 mode of train.py on ")
    assert told.out.splitlines()[1] == (
        "2 modes left, because train.py ended before: run the same command again, or let it train for longer."
    )


def test_a_database_that_was_there_is_kept_whatever_fails(run, done, script, db):
    done("profile", "lstm", "--device", "sim:orin-nano", "--modes", 1, "--db", db)
    assert run("profile", script("1 / 0"), *ONE_CORE, "--db", db).code == 1
    assert len(profiles(db)) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "remark"),
    [
        (("none.py", "--modes", "50"), 2, "there is no file none.py"),
        (("-m", "package.none"), 2, "there is no module package.none"),
        (("-m", "json", "lstm"), 2, "give one of them"),
        ((), 2, "nothing to train"),
        (("lstm", "--", "--epochs", "3"), 2, "lstm is none"),
    ],
)
def test_what_cannot_be_run_is_refused_first(run, db, arguments, code, remark):
    at = arguments.index("--") if "--" in arguments else len(arguments)
    ran = run("profile", *arguments[:at], "--device", "cpu", "--db", db, *arguments[at:])
    assert ran.code == code
    assert remark in ran.error_line
    assert not db.exists()


def test_json_is_all_that_is_on_stdout(script, db, tmp_path):
    script(
        """
        import atexit
        atexit.register(print, "printed at the end")
        print('printed')
        os.system('echo from another process')
        steps(10**6)
        """
    )
    ran = powertrain("profile", "train.py", *ONE_CORE, "--db", db, "--json", folder=tmp_path)
    assert json.loads(ran.stdout)["runs"][0]["measured"] == 1
    assert "printed\n" in ran.stderr
    assert "printed at the end" in ran.stderr
    assert "from another process" in ran.stderr


def test_a_scripts_own_log_holds_nothing_of_ours(script, db, tmp_path):
    script(
        """
        logging.basicConfig(level=logging.DEBUG, filename="own.log")
        logging.getLogger("mine").info("started")
        steps(10**6)
        """
    )
    options = ("--device", "emulated:orin-agx@jp6", "--modes", "2", "--precision", "50")
    ran = powertrain("profile", "train.py", *options, "--db", db, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "own.log").read_text() == "INFO:mine:started\n"
    assert "INFO" not in ran.stderr


def test_the_log_is_as_before_when_a_command_has_ended(done):
    done("devices")
    assert logging.getLogger("powertrain").propagate


@pytest.mark.parametrize("device", ["sim:orin-nano", "emulated:orin-agx@jp6", "sim:orin-nano?clock=real"])
def test_a_real_script_on_a_board_that_is_not_takes_its_own_time_and_its_profiles_say_so(
    script, db, tmp_path, device
):
    script("steps(10**6)")
    started_s = time.monotonic()
    options = ("--device", device, "--modes", 2, "--precision", 50)
    ran = powertrain("profile", "train.py", *options, "--db", db, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert time.monotonic() - started_s < 60
    warnings = [line for line in ran.stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "a real program on a simulated board" in warnings[0]
    found = profiles(db)
    assert len(found) == 2
    for profile in found:
        assert profile.device.endswith("(simulated)")
        assert profile.extra["worth"].startswith("a real program on a simulated board")
        assert 1 <= profile.time_ms < 10
        assert profile.power_w > 0


def test_a_script_finds_its_own_file_after_it_went_elsewhere(script, done, db, monkeypatch):
    path = script("import os\nos.chdir('/')\nassert os.path.exists(__file__), __file__\nsteps(10**6)")
    monkeypatch.chdir(path.parent)
    done("profile", path.name, *ONE_CORE, "--db", db)
    assert [profile.workload for profile in profiles(db)] == ["train.py"]


def test_another_training_of_the_same_name_is_remarked_on(script, done, db):
    first = script("steps(10**6)", "one/train.py")
    other = script("steps(10**6 + 1)", "two/train.py")
    assert "another training" not in done("profile", first, *ONE_CORE, "--db", db).err
    assert "another training" not in done("profile", first, *ONE_CORE, "--db", db).err
    assert "profiles of train.py are of another training" in done("profile", other, *ONE_CORE, "--db", db).err
    assert "another training" not in done("profile", other, *ONE_CORE, "--db", db, "--name", "two").err


def test_while_a_run_measures_the_processor_no_other_run_may(script, run, db, tmp_path):
    started = tmp_path / "started"
    # It stays in its first minibatch until it is ended: measured, it would end early where others compute.
    script(
        f"""
        for _ in pt.measured(range(100)):
            open({str(started)!r}, "w").close()
            time.sleep(600)
        """,
        "first.py",
    )
    second = script("steps(10**6)")
    command = (sys.executable, "-m", "powertrain", "profile", tmp_path / "first.py", *ONE_CORE, "--again")
    with Process([*map(str, (*command, "--db", tmp_path / "first.db"))], stderr=subprocess.DEVNULL) as first:
        until(started.exists)
        ran = run("profile", second, *ONE_CORE, "--db", db)
        applied = run("apply", "cpu_cores=1", "--device", "cpu", "--", "true")
        first.terminate()
    for refused in (ran, applied):
        assert refused.code == 1
        assert f"cpu is held by another process (pid {first.pid})" in refused.err
    assert not db.exists()
    assert "cpu_cores" not in ran.err
    assert run("profile", second, *ONE_CORE, "--db", db).code == 0


def test_a_run_under_apply_measures_on_the_cores_that_it_was_given(script, db, tmp_path):
    path = script("steps(10**6)")
    inner = (sys.executable, "-m", "powertrain", "profile", path, *ONE_CORE, "--db", db)
    ran = powertrain("apply", "cpu_cores=1", "--device", "cpu", "--", *inner, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert len(profiles(db)) == 1


def test_workers_that_a_script_ends_leave_the_device_and_the_screen_alone(script, db, tmp_path):
    script(
        """
        import multiprocessing, signal

        def work(started):
            started.set()
            time.sleep(600)

        for n, batch in enumerate(pt.measured(range(10**6))):
            time.sleep(0.001)
            if n == 5:
                started = multiprocessing.get_context("fork").Event()
                worker = multiprocessing.get_context("fork").Process(target=work, args=(started,))
                worker.start()
                started.wait()
                before = os.sched_getaffinity(0)
                worker.terminate()
                worker.join()
                assert worker.exitcode == -signal.SIGTERM, worker.exitcode
                assert os.sched_getaffinity(0) == before
        """
    )
    board = f"sim:orin-nano?state={tmp_path / 'board.json'}"
    options = ("--device", board, "--modes", 1, "--precision", 50, "--db", db)
    ran = powertrain("profile", "train.py", *options, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Terminated" not in ran.stderr
    assert [profile.flags for profile in profiles(db) if "undone" in profile.flags] == []
