"""What holds for every command of the tree: JSON and nothing else, and a quiet end when nobody reads."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys

import pytest
from tests.cli.conftest import SMALL_STUDY
from tests.devices.jetson.confs import orin_like

from powertrain import workflow
from powertrain.cli import main
from powertrain.cli._root import COMMANDS
from powertrain.opening import open_device

NANO = ("--device", "sim:orin-nano")
LIKE_A_SHELL_OF_SIGPIPE = 141
SCRIPT = "import os; os.write(1, b'this is the output of a training\\n')"


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def small_demo(monkeypatch):
    grid = open_device("sim:orin-agx").space.thinned(cpu_cores=4, cpu_mhz=6, gpu_mhz=3)
    monkeypatch.setattr(
        workflow, "run_demo", functools.partial(workflow.run_demo, grid=grid, methods=("gp",))
    )


@pytest.fixture
def arguments(tmp_path, database, grid_csv, predictor_file, reference_file, board_name):
    """Return what each command is called with: a quick run that prints JSON."""
    (tmp_path / "nvpmodel.conf").write_text(orin_like())
    mode = "cpu_cores=6 cpu_mhz=1651.2 gpu_mhz=624.75 mem_mhz=2133"
    of_lstm = ("--db", database, "--workload", "lstm")
    on_grid = ("--device", f"replay:{grid_csv}")
    evaluated = ("--device", board_name, "--target", "lstm", "--profiles", 9, "--seeds", 1)
    found = {
        "devices": ("sim:orin-nano",),
        "modes": ("sim:orin-nano", "--sample", 5),
        "status": ("sim:orin-nano",),
        "metrics": ("--device", "sim:orin-nano"),
        "kubernetes": (*on_grid, "--predictor", predictor_file),
        "serve": ("--db", database),
        "show": (database,),
        "tune": ("lstm", *NANO, "--minibatches", 200, "--trials", 2, "--precision", 50),
        "profile": ("lstm", *NANO, "--db", tmp_path / "new.db", "--modes", 3),
        "apply": ("cpu_cores=1", "--device", "cpu?cpu_cores=1"),
        "restore": (),
        "selftest": (*NANO,),
        "export-nvpmodel": (mode, "--conf", tmp_path / "nvpmodel.conf", "--like", "MAXN"),
        "setup-helper": ("--dry-run",),
        "import": (grid_csv, "--db", tmp_path / "new.db"),
        "export": ("--db", database, tmp_path / "out.csv"),
        "fit": (*of_lstm, "--method", "linear", "--out", tmp_path / "new.ptm"),
        "transfer": (*of_lstm, "--reference", reference_file, "--out", tmp_path / "new.ptm"),
        "predict": (predictor_file, *on_grid),
        "front": (predictor_file, *on_grid),
        "choose": (predictor_file, *on_grid, "--max-power", 20),
        "evaluate": (grid_csv, *evaluated, "--method", "linear"),
        "race": (grid_csv, "--target", "lstm", "--method", "random", "--seeds", 1, "--jobs", 1),
        "report": ("--db", database, "--out", tmp_path / "report.html"),
        "demo": ("--out", tmp_path / "demo"),
        "reproduce": (
            *SMALL_STUDY[1:],
            *("--out", tmp_path / "reproduce"),
        ),
    }
    in_json = {name: ("--json", "-") if name in ("evaluate", "race") else ("--json",) for name in found}
    commands = {name: (name, *given, *in_json[name]) for name, given in found.items()}
    commands["apply"] = (*commands["apply"], "--", sys.executable, "-c", SCRIPT)
    return commands


SPEAKING = [name for name in COMMANDS if name not in ("completion", "fleet")]
"""Commands that print JSON; those of a fleet need Ray (`tests/integrations/fleet/test_ray.py`)."""


def test_no_command_is_left_out(arguments):
    assert set(arguments) == set(SPEAKING)


@pytest.mark.parametrize("name", SPEAKING)
def test_json_is_all_that_a_command_prints_on_stdout(done, arguments, name, capfd, tmp_path, request):
    if name == "reproduce":  # which goes on where it was: at its end
        shutil.copytree(request.getfixturevalue("finished_study"), tmp_path / "reproduce")
    ran = done(*arguments[name])

    json.loads(ran.out)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_whose_reader_has_gone_ends_without_a_word(arguments, name, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    given = ("fleet", "join", *NANO) if name == "fleet" else arguments.get(name, (name, "bash"))
    if name in ("demo", "reproduce"):  # whose words go to stderr when stdout is for JSON
        given = [argument for argument in given if argument != "--json"]
    monkeypatch.setattr(sys, "argv", ["powertrain", *map(str, given)])
    with os.fdopen(writer, "w") as nobody_reads:
        monkeypatch.setattr(sys, "stdout", nobody_reads)
        with pytest.raises(SystemExit) as ended:
            main()

    assert ended.value.code == LIKE_A_SHELL_OF_SIGPIPE
    said = capfd.readouterr().err.splitlines()
    if name == "tune":  # what it tells while it trains is no output
        said = [line for line in said if not line.startswith("powertrain: ")]
    assert [line for line in said if line != "this is the output of a training"] == []


@pytest.mark.parametrize("given", [("--help",), ("choose", "--help"), ("--version",)])
def test_help_whose_reader_has_gone_ends_without_a_word(given, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "argv", ["powertrain", *given])
    with os.fdopen(writer, "w") as nobody_reads:
        monkeypatch.setattr(sys, "stdout", nobody_reads)
        with pytest.raises(SystemExit) as ended:
            main()

    assert ended.value.code == LIKE_A_SHELL_OF_SIGPIPE
    assert capfd.readouterr().err == ""
