"""What was typed and names nothing is wrong use, exit code 2, in every command; a failure is 1."""

from __future__ import annotations

import pytest
from tests.devices.jetson.confs import orin_like

from powertrain.cli._root import COMMANDS

NAMES_NONE = ("restore", "demo")
"""Commands in which nothing is named."""

NOTHING = {
    "devices": [
        ("sim:nowhere",),
        ("replay:{folder}/none.csv",),
        ("replay:{csv}#nobody",),
        ("emulated:nowhere",),
        ("emulated:{folder}/nowhere",),
        ("cpu?nothing=3",),
        ("cpu?cpu_cores=99999",),
        ("cpu?precision=fp7",),
        ("sim:orin-nano?seed=x",),
        ("sim:orin-nano?off=x",),
    ],
    "modes": [("nowhere",), ("sim:orin-nano", "--workload", "nothing"), ("sim:orin-nano", "--sampling", "x")],
    "status": [("nowhere",)],
    "show": [("{folder}/none.db",), ("{folder}/none.ptm",), ("sqlite:///{folder}/none.db",), ("foo://x",)],
    "profile": [
        ("nothing", *("--device", "sim:orin-nano", "--db", "{new}")),
        ("lstm", *("--device", "nowhere", "--db", "{new}")),
        ("{folder}/none.py", *("--device", "cpu", "--db", "{new}")),
        ("{folder}/none.py:f", *("--device", "cpu", "--db", "{new}")),
        ("-m", "no.module", *("--device", "cpu", "--db", "{new}")),
        ("lstm", *("--device", "sim:orin-nano", "--db", "{new}", "--modes", "none.csv")),
        ("lstm", *("--device", "sim:orin-nano", "--db", "{new}", "--reference", "none.ptm")),
        ("lstm", *("--device", "sim:orin-nano", "--db", "foo://x")),
    ],
    "apply": [
        ("nothing", *("--device", "sim:orin-nano", "--", "true")),
        ("nothing", *("--device", "cpu", "--", "true")),
        ("fan=3", *("--device", "sim:orin-nano", "--", "true")),
        ("gpu_mhz=3", *("--device", "sim:orin-nano", "--", "true")),
        ("cpu_cores=99999", *("--device", "cpu", "--", "true")),
        ("cpu_cores=1", *("--device", "nowhere", "--", "true")),
    ],
    "tune": [
        ("nothing", *("--device", "sim:orin-nano", "--minibatches", "9")),
        ("lstm", *("--device", "nowhere", "--minibatches", "9")),
        ("{folder}/none.py", *("--device", "cpu")),
        ("-m", "no.module", *("--device", "cpu")),
        ("lstm", *("--device", "sim:orin-nano", "--minibatches", "9", "--objective", "nothing")),
        ("lstm", *("--device", "sim:orin-nano", "--minibatches", "9", "--reference", "none.ptm")),
        ("lstm", *("--device", "sim:orin-nano", "--minibatches", "9", "--db", "foo://x")),
    ],
    "race": [
        ("{folder}/none.csv", "--target", "all"),
        ("sim:nowhere", "--target", "all"),
        ("{csv}", *("--device", "nobody", "--target", "all")),
        ("{csv}", "--target", "nothing"),
        ("{csv}", "--target", "all", "--reference", "nothing"),
        ("{csv}", "--target", "all", "--method", "nothing"),
    ],
    "selftest": [("--device", "nowhere")],
    "metrics": [
        ("--device", "nowhere", "--port", "0"),
        ("--device", "sim:orin-nano", "--port", "0", "--db", "{folder}/none.db"),
        ("--device", "sim:orin-nano", "--port", "0", "--db", "foo://x"),
    ],
    "kubernetes": [
        ("--device", "nowhere"),
        ("--device", "sim:orin-nano", "--predictor", "none.ptm"),
        ("--device", "sim:orin-nano", "--db", "{folder}/none.db"),
        ("--device", "sim:orin-nano", "--db", "foo://x"),
        ("--device", "sim:orin-agx", "--db", "{db}", "--workload", "nothing"),
        ("--device", "sim:orin-nano", "--workload", "lstm"),
        ("--manifest", "--user", "1500"),
        ("--manifest", "--image", "a b", "--user", "1500"),
        ("--manifest", "--image", "powertrain", "--user", "1500", "--privileged"),
        ("--manifest", "--image", "powertrain", "--user", "1", "--db", "postgresql://me:secret@host/fleet"),
    ],
    "serve": [
        ("--db", "{folder}/none.db"),
        ("--db", "foo://x", "--json"),
        ("--db", "{db}", "--token-file", "{folder}/none"),
    ],
    "export-nvpmodel": [
        ("nothing=3", *("--conf", "{conf}", "--like", "MAXN")),
        ("cpu_cores=6", *("--conf", "{conf}", "--like", "nothing")),
        ("cpu_cores=6", *("--conf", "none.conf", "--like", "MAXN")),
        ("gpu_mhz=3", *("--device", "sim:orin-agx", "--conf", "{conf}", "--like", "MAXN")),
    ],
    "setup-helper": [("--dry-run", "--device", "nowhere")],
    "import": [
        ("{folder}/none.csv", "--db", "{new}"),
        ("{csv}", "--db", "foo://x"),
        ("{csv}", *("--db", "{new}", "--knobs", "nothing")),
    ],
    "export": [
        ("--db", "{folder}/none.db", "-"),
        ("--db", "{db}", "--workload", "nothing", "-"),
        ("--db", "{db}", "--device", "nowhere", "-"),
    ],
    "fit": [
        ("--db", "{db}", "--workload", "nothing", "--out", "{out}"),
        ("--db", "{db}", "--workload", "lstm", "--device", "nowhere", "--out", "{out}"),
        ("--db", "{db}", "--workload", "lstm", "--method", "nothing", "--out", "{out}"),
        ("--db", "{db}", "--all", "--device", "nowhere", "--out", "{out}"),
    ],
    "transfer": [
        ("--db", "{db}", "--workload", "nothing", "--reference", "{reference}", "--out", "{out}"),
        ("--db", "{db}", "--workload", "lstm", "--reference", "none.ptm", "--out", "{out}"),
        (
            "--db",
            "{db}",
            "--workload",
            "lstm",
            "--reference",
            "{reference}",
            "--method",
            "x",
            "--out",
            "{out}",
        ),
    ],
    "predict": [
        ("none.ptm", "--device", "sim:orin-agx"),
        ("{predictor}", "--device", "nowhere"),
        ("{predictor}", "--modes", "none.csv"),
        ("{predictor}", "--device", "sim:orin-agx", "--sort", "nothing"),
    ],
    "front": [("none.ptm", "--device", "sim:orin-agx"), ("{predictor}", "--device", "nowhere")],
    "choose": [
        ("none.ptm", "--device", "sim:orin-agx"),
        ("{predictor}", "--device", "nowhere"),
        ("{predictor}", "--device", "sim:orin-agx", "--objective", "nothing"),
        ("--db", "{folder}/none.db", "--workload", "lstm"),
        ("--db", "{db}", "--workload", "nothing"),
        ("--db", "{db}", "--workload", "lstm", "--device", "nowhere"),
        ("--db", "{db}", "--workload", "lstm", "--method", "nothing"),
        ("--db", "{db}", "--workload", "lstm", "--reference", "none.ptm"),
    ],
    "evaluate": [
        ("none.csv", "--device", "x", "--target", "lstm", "--profiles", "9"),
        ("{csv}", "--device", "nowhere", "--target", "lstm", "--profiles", "9"),
        ("{csv}", "--device", "sim:orin-agx", "--target", "nothing", "--profiles", "9"),
        ("{csv}", "--device", "sim:orin-agx", "--target", "lstm", "--profiles", "9", "--reference", "x"),
        ("{csv}", "--device", "sim:orin-agx", "--target", "lstm", "--profiles", "9", "--method", "x"),
    ],
    "fleet": [
        ("nothing",),
        ("profile", "{folder}/none.py", *("--db", "{new}")),
        ("profile", "{folder}/none.py:f", *("--db", "{new}")),
        ("profile", "lstm", *("--db", "{new}", "--modes", "none.csv")),
        ("tune", "{folder}/none.py"),
        ("tune", "lstm", *("--objective", "nothing")),
        ("join", "--device", "nowhere"),
    ],
    "report": [
        ("--db", "none.db", "--out", "{out}"),
        ("--db", "{db}", "--workload", "nothing", "--out", "{out}"),
        ("--db", "{db}", "--device", "nowhere", "--out", "{out}"),
    ],
    "reproduce": [("--only", "nothing", "--out", "{out}")],
    "completion": [("nothing",)],
}


def test_no_command_is_left_out():
    assert {*NOTHING, *NAMES_NONE} == set(COMMANDS)


@pytest.fixture
def places(tmp_path, database, grid_csv, predictor_file, reference_file, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    conf = tmp_path / "nvpmodel.conf"
    conf.write_text(orin_like())
    files = {"db": database, "csv": grid_csv, "predictor": predictor_file, "reference": reference_file}
    return {**files, "folder": tmp_path, "new": tmp_path / "new.db", "out": tmp_path / "out", "conf": conf}


@pytest.mark.parametrize("command", NOTHING)
def test_what_names_nothing_is_wrong_use_and_leaves_nothing(run, places, command):
    before = sorted(places["folder"].iterdir())
    for typed in NOTHING[command]:
        ran = run(command, *(word.format(**places) for word in typed))
        assert ran.code == 2, (typed, ran)
        assert ran.out == ""
        assert "Traceback" not in ran.err
        assert ran.err.splitlines()[-1].lower().startswith("error: ")
    assert [path for path in sorted(places["folder"].iterdir()) if path.name != "state"] == before


def test_a_failure_is_no_wrong_use_and_prints_no_json(run, places):
    tight = ("choose", places["predictor"], "--device", "sim:orin-agx", "--max-power", 0.001)
    absent = ("devices", "jetson")
    spoilt = places["folder"] / "spoilt.ptm"
    spoilt.write_text("spoilt")
    for typed in (tight, absent, ("show", spoilt)):
        ran = run(*typed, "--json")
        assert (ran.code, ran.out) == (1, "")
        assert ran.error_line.startswith("error: ")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (
            ("import", "{db}", "--db", "{new}"),
            "is a database, and a CSV file was asked for: powertrain export",
        ),
        (("devices", "replay:{db}"), "is a database, and a CSV file was asked for"),
        (("import", "{predictor}", "--db", "{new}"), "is a predictor or another archive"),
        (("export", "--db", "{csv}", "-"), "import a CSV file with powertrain import"),
        (("choose", "{db}", "--device", "sim:orin-agx"), "choose takes it with --db"),
    ],
)
def test_a_file_of_another_kind_is_told_as_what_it_is(run, places, typed, says):
    ran = run(*(word.format(**places) for word in typed))
    assert ran.code == 1
    assert says in ran.error_line
