"""Every line of bad input: one clear line on stderr, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import json
import os
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest

from powertrain.dataset import open_store
from powertrain.models import predictor_class

HEADER = "device,workload,cpu_mhz,gpu_mhz,time_ms,power_w\n"


def rows(n, *, workload="w", same=False):
    return "".join(f"b,{workload},{100 + (0 if same else 10 * i)},{200 + i % 3},5,6\n" for i in range(n))


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "in.csv"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (HEADER, "no row"),
        (HEADER + "b,w,,200,5,6\n" + rows(2), "line 2"),
        (HEADER + "b,w,nan,200,5,6\n", "line 2"),
        (HEADER + "b,w,100,200,fast,6\n", "'fast'"),
        (HEADER + "b,w,100,200,-5,6\n", "negative"),
        (HEADER + "b,w,100,200,0,6\n", "zero"),
        ("device,workload,gpu_mhz\nb,w,100\n", "neither time_ms nor power_w"),
        ("workload,gpu_mhz,time_ms\nw,100,5\n", "device"),
    ],
)
def test_a_file_that_breaks_the_form_is_refused_and_adds_nothing(run, written, tmp_path, text, message):
    path = written(text)
    ran = run("import", path, "--db", tmp_path / "p.db")

    assert ran.code == 1
    assert message in ran.error_line
    assert str(path) in ran.error_line
    assert not (tmp_path / "p.db").exists()


def test_of_several_files_one_of_which_is_bad_none_is_added(run, written, grid_csv, database):
    with open_store(database) as store:
        before = store.counts()
    other = grid_csv.with_name("other.csv")
    other.write_text(HEADER + rows(3))
    ran = run("import", other, written("rubbish"), "--db", database)

    assert ran.code == 1
    with open_store(database) as store:
        assert store.counts() == before


@pytest.mark.parametrize(
    "text",
    [
        HEADER + rows(1),
        HEADER + rows(5, same=True).replace("201", "200").replace("202", "200"),
        HEADER + rows(2),
    ],
    ids=["one row", "all rows of one mode", "two profiles"],
)
def test_too_few_profiles_for_a_fit_is_one_line_and_leaves_no_file(run, done, written, tmp_path, text):
    done("import", written(text), "--db", tmp_path / "p.db")
    ran = run("fit", "--db", tmp_path / "p.db", "--workload", "w", "--out", tmp_path / "w.ptm")

    assert ran.code == 1
    assert "profile" in ran.error_line
    assert not (tmp_path / "w.ptm").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("--workload", "lstn"), "did you mean 'lstm'"),
        (("--workload", "lstm", "--device", "Jetson"), "unknown device 'Jetson'"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(run, database, tmp_path, names, message):
    ran = run("fit", "--db", database, *names, "--out", tmp_path / "x.ptm")

    assert ran.code == 2
    assert message in ran.error_line


def test_a_reference_that_lacks_a_knob_is_refused_with_the_name(run, done, written, database, tmp_path):
    done("import", written(HEADER + rows(30, workload="ref")), "--db", tmp_path / "p.db")
    done("fit", "--db", tmp_path / "p.db", "--workload", "ref", "--out", tmp_path / "ref.ptm")
    ran = run(
        "transfer", "--db", database, "--workload", "lstm", "--reference", tmp_path / "ref.ptm",
        "--out", tmp_path / "x.ptm",
    )  # fmt: skip

    assert ran.code == 1
    assert "cpu_cores" in ran.error_line


def test_modes_that_lack_a_knob_are_refused_with_the_name(run, predictor_file, tmp_path):
    path = tmp_path / "modes.csv"
    path.write_text("cpu_cores,cpu_mhz,gpu_mhz\n1,115.2,114.75\n")
    ran = run("predict", predictor_file, "--modes", path)

    assert ran.code == 1
    assert "mem_mhz" in ran.error_line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column"),
        ("cpu_cores,cpu_mhz,gpu_mhz,mem_mhz\n", "no rows"),
        ("cpu_cores,cpu_mhz,gpu_mhz,mem_mhz\n1,2,x,4\n", "line 2: gpu_mhz is 'x'"),
        ("cpu_cores,cpu_mhz,gpu_mhz,mem_mhz\n1,2,nan,4\n", "line 2"),
        ("cpu_cores,cpu_mhz,gpu_mhz,mem_mhz\n1,2\n", "line 2"),
    ],
)
def test_a_file_of_modes_that_cannot_be_read_is_one_line(run, predictor_file, tmp_path, text, message):
    path = tmp_path / "modes.csv"
    path.write_text(text)
    ran = run("choose", predictor_file, "--modes", path, "--max-power", 20)

    assert ran.code == 1
    assert message in ran.error_line


def test_a_device_with_a_knob_that_the_predictor_does_not_know_is_refused(run, done, written, tmp_path):
    done("import", written(HEADER + rows(30)), "--db", tmp_path / "p.db")
    done("fit", "--db", tmp_path / "p.db", "--workload", "w", "--out", tmp_path / "w.ptm")
    asked = ("choose", tmp_path / "w.ptm", "--device", "sim:orin-agx", "--max-power", 20)
    ran = run(*asked, "--other-device")

    assert ran.code == 1
    assert "cpu_cores, mem_mhz" in ran.error_line


def test_a_limit_that_no_mode_keeps_names_the_nearest(run, predictor_file, grid_csv):
    ran = run("choose", predictor_file, "--device", f"replay:{grid_csv}", "--max-power", 1)

    assert ran.code == 1
    assert " W" in ran.error_line
    assert "cpu_cores=" in ran.error_line


@pytest.mark.parametrize("content", [b"SQLite format 3\0" + b"\xff" * 5000, b"plain text, no database", b""])
@pytest.mark.parametrize("command", ["fit", "export", "report"])
def test_a_corrupt_database_is_one_line_and_stays_as_it_is(run, tmp_path, content, command):
    path = tmp_path / "p.db"
    path.write_bytes(content)
    arguments = {
        "fit": ("--db", path, "--workload", "w", "--out", tmp_path / "x.ptm"),
        "export": ("--db", path, tmp_path / "x.csv"),
        "report": ("--db", path, "--out", tmp_path / "x.html"),
    }[command]
    ran = run(command, *arguments)

    assert ran.code == 1
    assert ran.error_line.startswith("error: ")
    assert path.read_bytes() == content


def test_a_newer_database_is_one_line(run, database, tmp_path):
    path = tmp_path / "newer.db"
    path.write_bytes(database.read_bytes())
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    ran = run("export", "--db", path, tmp_path / "x.csv")

    assert ran.code == 1
    assert "later version" in ran.error_line or "newer" in ran.error_line


def test_sorting_by_a_quantity_that_the_predictor_lacks_is_refused(run, done, written, tmp_path):
    lines = (f"b,w,{100 + i},{10 + i}\n" for i in range(5))
    path = written("device,workload,gpu_mhz,time_ms\n" + "".join(lines))
    done("import", path, "--db", tmp_path / "p.db")
    done("fit", "--db", tmp_path / "p.db", "--workload", "w", "--out", tmp_path / "w.ptm")
    for command in (("predict", "--sort", "power"), ("front",), ("choose", "--max-power", 5)):
        ran = run(command[0], tmp_path / "w.ptm", "--device", f"replay:{path}", *command[1:])
        assert ran.code == 1
        assert "power" in ran.error_line


def test_a_predictor_of_another_format_version_is_one_line(run, predictor_file, tmp_path, grid_csv):
    path = tmp_path / "future.ptm"
    with zipfile.ZipFile(predictor_file) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "header.json":
                content = json.dumps({**json.loads(content), "format_version": 99}).encode()
            new.writestr(name, content)
    ran = run("predict", path, "--device", f"replay:{grid_csv}")

    assert ran.code == 1
    assert "version 99" in ran.error_line


@pytest.mark.parametrize("content", [b"", b"PK\3\4 cut", b"\x80\x04 pickle", b"text"])
def test_a_damaged_predictor_is_one_line(run, tmp_path, content):
    path = tmp_path / "bad.ptm"
    path.write_bytes(content)
    ran = run("predict", path, "--device", "sim:orin-agx")

    assert ran.code == 1
    assert str(path) in ran.error_line


@pytest.fixture
def read_only_folder(tmp_path):
    if os.geteuid() != 0:
        folder = tmp_path / "locked"
        folder.mkdir()
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
    elif Path("/sys/kernel").is_dir():
        yield Path("/sys/kernel")  # refuses files even to root
    else:
        pytest.skip("root may write to every folder here")


@pytest.mark.parametrize("command", ["import", "fit", "export", "report"])
def test_a_read_only_folder_is_one_line(run, database, grid_csv, read_only_folder, command):
    folder = read_only_folder
    arguments = {
        "import": (grid_csv, "--db", folder / "p.db"),
        "fit": ("--db", database, "--workload", "lstm", "--out", folder / "x.ptm", "--method", "linear"),
        "export": ("--db", database, folder / "x.csv"),
        "report": ("--db", database, "--out", folder / "x.html"),
    }[command]
    ran = run(command, *arguments)

    assert ran.code == 1
    assert str(folder) in ran.error_line


@pytest.mark.parametrize("command", ["import", "fit", "export", "report"])
def test_a_folder_that_is_not_there_is_one_line(run, database, grid_csv, tmp_path, command):
    folder = tmp_path / "no"
    arguments = {
        "import": (grid_csv, "--db", folder / "p.db"),
        "fit": ("--db", database, "--workload", "lstm", "--out", folder / "x.ptm"),
        "export": ("--db", database, folder / "x.csv"),
        "report": ("--db", database, "--out", folder / "x.html"),
    }[command]
    ran = run(command, *arguments)

    assert ran.code == 1
    assert str(folder) in ran.error_line


def test_files_that_do_not_exist_are_wrong_use(run, tmp_path):
    for arguments in (
        ("import", tmp_path / "no.csv", "--db", tmp_path / "p.db"),
        ("fit", "--db", tmp_path / "no.db", "--workload", "w", "--out", tmp_path / "x.ptm"),
        ("predict", tmp_path / "no.ptm", "--device", "sim:orin-agx"),
    ):
        ran = run(*arguments)
        assert ran.code == 2
        assert "does not exist" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-power", "0"),
        ("--max-power", "-3"),
        ("--max-power", "a lot"),
        ("--risk", "0"),
        ("--risk", "1"),
        ("--objective", "beauty"),
        ("--epoch-minibatches", "0"),
        ("--device", "sim:orin-agx", "--modes", __file__),
    ],
)
def test_options_out_of_range_are_wrong_use(run, predictor_file, arguments):
    ran = run("choose", predictor_file, "--device", "sim:orin-agx", *arguments)

    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_neither_device_nor_modes_is_wrong_use(run, predictor_file):
    ran = run("predict", predictor_file)

    assert ran.code == 2
    assert "--device" in ran.err


def test_a_plot_of_an_unknown_kind_is_wrong_use(run, predictor_file, grid_csv, tmp_path):
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib")
    ran = run("front", predictor_file, "--device", f"replay:{grid_csv}", "--plot", tmp_path / "f.jpeg")

    assert ran.code == 2
    assert ".png" in ran.error_line


def test_debug_shows_the_traceback(run, database, tmp_path):
    from powertrain.errors import UnknownNameError

    with pytest.raises(UnknownNameError):
        run("--debug", "fit", "--db", database, "--workload", "no", "--out", Path(tmp_path) / "x.ptm")


def test_arithmetic_that_fails_is_no_wrong_use(run, database, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(predictor_class("linear"), "fit", fail)
    out = tmp_path / "x.ptm"
    ran = run("fit", "--db", database, "--workload", "lstm", "--out", out, "--method", "linear")

    assert ran.code == 1
    assert "the arithmetic failed (Singular matrix): check the profiles" in ran.error_line


def test_ctrl_c_during_a_fit_leaves_the_old_predictor_as_it_was(run, done, database, tmp_path, monkeypatch):
    path = tmp_path / "x.ptm"
    done("fit", "--db", database, "--workload", "lstm", "--out", path, "--method", "linear")
    before = path.read_bytes()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(predictor_class("linear"), "fit", interrupt)
    ran = run("fit", "--db", database, "--workload", "resnet18", "--out", path, "--method", "linear")

    assert ran.code == 130
    assert ran.error_line == "error: interrupted"
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["x.ptm"]


@pytest.mark.parametrize(
    "command",
    [
        ("fit", "--db", "{db}", "--workload", "resnet18", "--out", "{db}"),
        ("export", "--db", "{db}", "{db}"),
        ("report", "--db", "{db}", "--out", "{db}"),
        ("modes", "replay:{csv}", "--csv", "{csv}"),
        ("evaluate", "{csv}", "--device", "x", "--target", "all", "--json", "{csv}"),
    ],
)
def test_an_output_that_is_also_an_input_is_refused_and_the_input_kept(
    run, database, grid_csv, tmp_path, command
):
    copies = {"db": tmp_path / "profiles.db", "csv": tmp_path / "grid.csv"}
    for copy, original in zip(copies.values(), (database, grid_csv), strict=True):
        copy.write_bytes(original.read_bytes())
    before = [copy.read_bytes() for copy in copies.values()]

    ran = run(*(part.format(**copies) for part in command))

    assert ran.code == 2
    assert "also an input or another output" in ran.error_line
    assert [copy.read_bytes() for copy in copies.values()] == before


def test_references_that_a_method_has_no_use_for_are_remarked_on(done, database, reference_file, tmp_path):
    out = tmp_path / "t.ptm"

    words = ("--workload", "mobilenet_v3", "--reference", reference_file, "--out", out, "--method", "linear")
    ran = done("transfer", "--db", database, *words)

    assert "the references are ignored" in ran.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-power", "abc"), "'abc' is not a number: give one above 0."),
        (("--max-power", "-3"), "-3 does not fit: give a number above 0."),
        (("--risk", "2"), "2 does not fit: give a number above 0 and below 1."),
        (("--precision", "60"), "60 does not fit: give a number above 0 and of at most 50."),
        (("--trials", "3.5"), "'3.5' is not a whole number: give one of at least 1."),
        (("--metrics-port", "99999"), "99999 does not fit: give a whole number from 0 to 65535."),
    ],
)
def test_a_number_that_does_not_fit_is_refused_in_plain_words(run, options, message):
    ran = run("tune", "lstm", "--device", "sim:orin-nano", *options)
    assert ran.code == 2
    assert ran.err.splitlines()[-1].endswith(message)


@pytest.mark.parametrize("command", [("show",), ("serve", "--json", "--db"), ("metrics", "--json", "--db")])
def test_a_command_that_reads_leaves_an_empty_file_as_it_is(run, tmp_path, command):
    path = tmp_path / "p.db"
    path.touch()
    ran = run(*command, path)
    assert ran.code == 1
    assert "p.db is empty: import or profile something first" in ran.error_line
    assert path.read_bytes() == b""
