"""Training programs of one's own under `powertrain tune`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest
from tests.processes import Process

from powertrain.dataset import open_store

QUICK = """
import os, sys, time
import powertrain as pt

def steps(n):
    for batch in pt.measured(range(n)):
        time.sleep(0.0005)
"""
CPU = ("--device", "cpu", "--precision", 50)
NANO = ("--device", "sim:orin-nano?off=noise", "--max-power", 9, "--trials", 5, "--precision", 50)


@pytest.fixture
def script(tmp_path):
    def write(text: str):
        path = tmp_path / "train.py"
        path.write_text(QUICK + textwrap.dedent(text))
        return path

    return write


def lines(ran):
    """What was said, without warnings."""
    return [
        line.removeprefix("powertrain: ") for line in ran.err.splitlines() if line.startswith("powertrain: ")
    ]


class TestAScript:
    def test_runs_to_its_own_end_in_the_mode_that_was_decided_on(self, done, script):
        before = os.sched_getaffinity(0)
        path = script(
            "steps(int(sys.argv[1]))\nprint(len(os.sched_getaffinity(0)))\nassert sys.argv[2:] == ['--json']"
        )
        ran = done("tune", path, *CPU, "--", "8000", "--json")
        said = lines(ran)
        assert said[0].startswith("train.py on ")
        assert "least time of a minibatch, at most 15 trials" in said[0]
        (held,) = (line for line in said if line.startswith("holding cpu_cores="))
        assert ran.out == f"{held.removeprefix('holding cpu_cores=').split()[0]}\n"
        assert said[-1].startswith('again: powertrain apply "cpu_cores=')
        assert said[-1].endswith(" --device cpu -- COMMAND")
        assert os.sched_getaffinity(0) == before

    def test_keeps_its_traceback_and_the_exit_code_and_is_told_the_best_so_far(self, run, script, tmp_path):
        path = script("steps(4000)\n1 / 0")
        ran = run("tune", path, *CPU, "--json", "--db", tmp_path / "p.db")
        assert ran.code == 1
        told = json.loads(ran.out)
        assert told["exit_code"] == 1
        assert told["decision"]["mode"] in [trial["mode"] for trial in told["trials"]]
        assert 'train.py", line 9, in <module>' in ran.err
        assert ran.err.splitlines()[-1] == (
            "error: train.py raised ZeroDivisionError at train.py:9: division by zero"
        )
        with open_store(tmp_path / "p.db") as store:
            kept = [profile.mode for profile in store.profiles() if not profile.flags]
        assert kept == [trial["mode"] for trial in told["trials"] if not trial["flags"]]

    @pytest.mark.parametrize(("text", "code"), [("sys.exit(3)", 3), ("sys.exit(0)", 0), ("print('hi')", 0)])
    def test_that_is_not_tuned_is_remarked_on_and_its_exit_code_is_its_own(
        self, run, script, tmp_path, text, code
    ):
        ran = run("tune", script(text), *CPU, "--db", tmp_path / "p.db")
        assert ran.code == code
        if not code:
            assert "nothing in it was tuned: let its loop go over" in ran.err
        assert not (tmp_path / "p.db").exists()

    @pytest.mark.parametrize(
        ("text", "remark"),
        [
            (
                "import threading\nt = threading.Thread(target=steps, args=(3,))\nt.start()\nt.join()",
                "a thread",
            ),
            ("if not (pid := os.fork()):\n    steps(3)\n    os._exit(0)\nos.waitpid(pid, 0)", "the process"),
        ],
    )
    def test_whose_loop_runs_elsewhere_is_told_where_to_run_it(self, done, script, text, remark):
        (told,) = lines(done("tune", script(text), *CPU))
        assert told.startswith("train.py ended, and nothing in it was tuned: ")
        assert remark in told

    def test_goes_on_from_the_trials_of_a_run_that_was_stopped(self, done, script, tmp_path):
        path = script("steps(int(sys.argv[1]))")
        kept = ("--db", tmp_path / "p.db")
        done("tune", path, *CPU, *kept, "--", "3000")
        said = lines(done("tune", path, *CPU, *kept, "--", "3000"))
        assert "made before" in said[0]
        other = lines(done("tune", path, *CPU, *kept, "--", "300"))  # another training
        assert "made before" not in other[0]

    def test_trains_to_its_end_where_nobody_reads_what_is_told(self, script, tmp_path):
        script("steps(3000)\nopen('trained', 'w').close()")
        command = [sys.executable, "-m", "powertrain", "tune", "train.py", *map(str, CPU)]
        with Process(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            process.stderr.readline()
            process.stderr.close()
            assert process.wait(timeout=100) == 0
        assert (tmp_path / "trained").exists()

    def test_that_ends_before_anything_was_measured_says_so(self, done, script):
        ran = done("tune", script("steps(3)"), *CPU)
        assert lines(ran)[-1] == (
            "train.py ended after 3 minibatches, before anything was measured: let it train for longer"
        )

    def test_is_tuned_for_time_alone_without_a_power_sensor(self, done, script):
        told = done(
            "tune", script("steps(4000)"), *CPU, "--objective", "time", "--max-time", 1000, "--json"
        ).json
        kept = [trial for trial in told["trials"] if trial["keeps"]]
        assert told["decision"]["mode"] == min(kept, key=lambda trial: trial["time_ms"])["mode"]
        assert told["goal"]["limits"] == {"max_time_ms": 1000.0}

    def test_is_a_module_of_a_package_as_well(self, done, tmp_path, monkeypatch):
        (tmp_path / "tuned_package").mkdir()
        (tmp_path / "tuned_package/__init__.py").write_text("")
        (tmp_path / "tuned_package/train.py").write_text(QUICK + "steps(3000)\n")
        monkeypatch.chdir(tmp_path)
        assert lines(done("tune", "-m", "tuned_package.train", *CPU))[0].startswith("tuned_package.train on ")

    def test_prints_where_it_printed_and_all_else_goes_to_stderr(self, script, tmp_path):
        script("print('mine', flush=True)\nos.system('echo another process')\nsteps(3000)")
        command = [sys.executable, "-m", "powertrain", "tune", "train.py", *map(str, CPU)]
        kept = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 100, "check": True}
        assert subprocess.run(command, **kept).stdout == "mine\nanother process\n"
        ran = subprocess.run([*command, "--json"], **kept)
        assert json.loads(ran.stdout)["workload"] == "train.py"
        assert "mine\nanother process\n" in ran.stderr


class TestAWorkload:
    def test_shows_on_a_simulated_board_what_tuning_does(self, done):
        told = done("tune", "lstm", *NANO, "--minibatches", 3000, "--json").json
        kept = [trial for trial in told["trials"] if trial["keeps"]]
        best = min(kept, key=lambda trial: trial["time_ms"])
        assert told["simulated"]
        assert told["state"] == "held"
        assert told["decision"]["mode"] == best["mode"]
        assert told["decision"]["values"]["power_w"] <= 9
        assert told["minibatches"] == 3000
        assert told["exit_code"] == 0
        assert told["apply"].startswith("powertrain apply ")
        assert set(told["saving"]) == {"time_pct", "power_w", "energy_pct", "so_far_s"}

    def test_can_be_tuned_for_the_energy_of_a_minibatch_under_a_limit_on_its_time(self, done):
        goal = ("--objective", "energy", "--max-time", 120)
        ran = done("tune", "lstm", *NANO[:2], *goal, *NANO[4:], "--minibatches", 3000)
        said = lines(ran)
        assert "least energy of a minibatch, time <= 120 ms" in said[0]
        assert all(
            " ms " in line and " W " in line and " J" in line for line in said if line.startswith("trial")
        )
        told = done("tune", "lstm", *NANO[:2], *goal, *NANO[4:], "--minibatches", 3000, "--json").json
        kept = [trial for trial in told["trials"] if trial["keeps"]]
        assert told["decision"]["mode"] == min(kept, key=lambda t: t["time_ms"] * t["power_w"])["mode"]
        assert told["decision"]["values"]["time_ms"] <= 120

    def test_can_have_its_whole_front_measured(self, done):
        ran = done("tune", "lstm", *NANO[:2], "--objective", "front", *NANO[4:], "--minibatches", 3000)
        said = lines(ran)
        assert "the front of time and power, at most 5 trials" in said[0]
        head = next(i for i, line in enumerate(said) if line.startswith("the measured front"))
        count = int(said[head].split()[-2])
        rows = said[head + 1 : head + 1 + count]
        assert [float(row.split()[0]) for row in rows] == sorted(float(row.split()[0]) for row in rows)
        assert all("cpu_cores=" in row for row in rows)
        assert said[head + 1 + count].startswith("fastest mode cpu_cores=")

    def test_can_be_drawn(self, done, tmp_path):
        pytest.importorskip("matplotlib", reason="drawing needs the extra 'report'")
        path = tmp_path / "run.svg"
        done("tune", "lstm", *NANO, "--minibatches", 2000, "--plot", path)
        assert "limit 9 W" in path.read_text()

    def test_starts_where_references_say(self, done, tmp_path):
        db, reference = tmp_path / "p.db", tmp_path / "r.ptm"
        done("profile", "resnet18", "--device", "sim:orin-nano", "--db", db, "--modes", 30)
        done("fit", "--db", db, "--workload", "resnet18", "--out", reference)
        told = done("tune", "lstm", *NANO, "--minibatches", 2000, "--reference", reference, "--json").json
        assert told["decision"]["mode"] is not None

    def test_needs_to_know_how_long(self, run):
        ran = run("tune", "lstm", *NANO)
        assert ran.code == 2
        assert "--minibatches" in ran.error_line

    def test_in_which_no_mode_keeps_the_limit_trains_on_and_says_so(self, done):
        ran = done("tune", "lstm", *NANO[:2], "--max-power", 1, "--precision", 50, "--minibatches", 2000)
        assert "the least power seen is" in ran.err
        assert "the training goes on as the device was found" in ran.err
        assert ran.err.count("keeps the limits") == 1

    def test_can_be_a_function_whose_own_knobs_are_tuned(self, done, tmp_path):
        path = tmp_path / "training.py"
        path.write_text(
            "import time\ndef make(loader_workers=0):\n    while True:\n"
            "        time.sleep(0.009 / 3**loader_workers)\n        yield\n"
        )
        device = "cpu?cpu_cores=1&loader_workers=0,1,2"
        options = ("--device", device, "--minibatches", 1500, "--precision", 20, "--json")
        told = done("tune", f"{path}:make", *options).json
        best = min((t for t in told["trials"] if not t["flags"]), key=lambda t: t["time_ms"])
        assert told["decision"]["mode"] == best["mode"]
        assert {"cpu_cores", "loader_workers"} == set(best["mode"])
        assert told["workload"] == "training.py:make"


@pytest.mark.parametrize(
    ("arguments", "code", "remark"),
    [
        (("none.py",), 2, "there is no file none.py"),
        (("-m", "package.none"), 2, "there is no module package.none"),
        (("-m", "json", "lstm", "--minibatches", 5), 2, "give one of them"),
        ((), 2, "nothing to train"),
        (("lstm", "--minibatches", 5, "--", "--epochs", 3), 2, "lstm is none"),
        (("lstm", "--minibatches", 5, "--device", "sim:orin-nan"), 2, "did you mean"),
    ],
)
def test_what_cannot_be_run_is_refused_first(run, arguments, code, remark):
    ran = run("tune", *arguments)
    assert ran.code == code
    assert remark in ran.error_line


def test_a_limit_on_power_without_a_sensor_is_refused_before_the_script_starts(run, script, monkeypatch):
    from powertrain.devices.cpu import CpuDevice

    made = CpuDevice.__init__

    def without_rails(self, *args, **kwargs):
        made(self, *args, **kwargs)
        self.rails = ()

    monkeypatch.setattr(CpuDevice, "__init__", without_rails)
    ran = run("tune", script("print('started')"), "--device", "cpu", "--max-power", 30)
    assert ran.code == 1
    assert "no power sensor, and a limit on the power needs one: leave it out" in ran.error_line
    assert ran.out == ""
