"""A terminal obeys nothing that a name from a file says, and streams that fail end in words."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import powertrain.cli
from powertrain.cli._echo import echo, echo_data
from powertrain.files import read_file

EVIL = "net\x1b[31m\u202egnirts\x9b2J\x07"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table whose every name tells a terminal something, and a database of it."""
    folder = tmp_path_factory.mktemp("evil")
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["device", "workload", "gpu_mhz", "knob:fan\u202ex", "time_ms", "power_w", "flags"])
    flags = ("", "", "odd\x9b")
    rows.writerows(
        [f"dev{EVIL}", f"w{EVIL}", 100 + 10 * i, i % 4, 50 - i, 6 + i / 9, flags[i % 3]] for i in range(30)
    )
    (folder / "t.csv").write_text(text.getvalue())
    return folder / "t.csv"


@pytest.fixture(scope="module")
def stored(table, done):
    database = table.with_suffix(".db")
    done("import", table, "--db", database)
    made = ("--workload", f"w{EVIL}", "--method", "linear", "--out", table.with_suffix(".ptm"))
    done("fit", "--db", database, *made)
    return database


@pytest.mark.parametrize(
    "asked",
    [
        ("import", "{csv}", "--db", "{db}"),
        ("show", "{db}"),
        ("show", "{db}", "--json"),
        ("show", "{ptm}"),
        ("show", "{csv}"),
        ("modes", "replay:{csv}"),
        ("devices", "replay:{csv}"),
        ("choose", "{ptm}", "--device", "replay:{csv}", "--max-power", "8"),
        ("choose", "{ptm}", "--device", "replay:{csv}", "--max-power", "1"),
        ("choose", "--db", "{db}", "--workload", "other"),
        ("predict", "{ptm}", "--device", "replay:{csv}", "--limit", "2"),
        ("front", "{ptm}", "--device", "replay:{csv}", "--json"),
    ],
    ids=" ".join,
)
def test_names_from_files_are_printed_without_control_characters(run, stored, asked):
    given = {suffix: stored.with_suffix(f".{suffix}") for suffix in ("csv", "db", "ptm")}
    ran = run(*(word.format(**given) for word in asked))
    for text in (ran.out, ran.err):
        assert not OBEYED.search(text), text
        assert "Traceback" not in text


def test_json_means_the_same_with_its_control_characters_escaped(done, stored):
    told = done("show", stored, "--json").json
    assert told["workloads"][0]["workload"] == f"w{EVIL}"


class Screen(io.StringIO):
    """Stands for a terminal, or for a file."""

    encoding = "utf-8"

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal


def test_rows_reach_a_file_as_they_are_and_a_terminal_without_control_characters(monkeypatch):
    file, terminal = Screen(terminal=False), Screen(terminal=True)
    for screen in (file, terminal):
        monkeypatch.setattr(sys, "stdout", screen)
        echo_data(f"{EVIL},5\n")
    assert file.getvalue() == f"{EVIL},5\n"
    assert terminal.getvalue() == "net\\x1b[31m\\u202egnirts\\x9b2J\\x07,5\n"


def test_what_an_encoding_lacks_is_spelled_out(monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)
    echo("é \udcff")
    screen.flush()
    assert screen.buffer.getvalue() == b"\\xe9 \\udcff\n"


def test_everything_is_printed_in_one_place():
    folder = Path(powertrain.cli.__file__).parent
    calls = {path.name for path in folder.glob("*.py") if "click.echo(" in path.read_text()}
    assert calls == {"_echo.py"}


COMMAND = (sys.executable, "-m", "powertrain")


def shell(line, *arguments):
    return subprocess.run(
        ["sh", "-c", line, "sh", *COMMAND, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("line", "arguments", "code", "told"),
    [
        ('"$@" >/dev/full', ("--help",), 1, "error: standard output: No space left on device\n"),
        (
            '"$@" >/dev/full',
            ("modes", "sim:orin-nano", "--count"),
            1,
            "error: standard output: No space left on device\n",
        ),
        ('"$@" >&-', ("modes", "sim:orin-nano", "--count"), 0, ""),
        ('"$@" 2>/dev/full', ("modes", "sim:nothing"), 2, ""),
        (
            '"$@" <&- >&- 2>&-',
            ("profile", "lstm", "--device", "sim:orin-nano", "--modes", "1", "--json", "--db", "{}"),
            0,
            "",
        ),
    ],
    ids=["help into a full disk", "a full disk", "closed", "a full disk for errors", "all closed"],
)
def test_streams_that_are_closed_or_full_end_in_words(tmp_path, line, arguments, code, told):
    database = tmp_path / "p.db"
    ran = shell(line, *(word.format(database) for word in arguments))
    assert (ran.returncode, ran.stderr) == (code, told)
    if "{}" in arguments:  # nothing that was printed went into the file
        assert read_file(database, most_bytes=1 << 20).startswith(b"SQLite format 3")


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e308", "1e-308", "5e-324", "1e400", "", "0x10"])
@pytest.mark.parametrize("option", ["--max-power", "--risk", "--objective"])
def test_numbers_that_nobody_means_are_refused_in_words(run, option, text):
    ran = run("choose", "--db", "none.db", "--workload", "w", option, text)
    assert ran.code == 2
    assert "Error: Invalid value for" in ran.err


def test_every_number_that_a_command_takes_is_bounded():
    context = click.Context(powertrain.cli.powertrain)
    unbounded = [
        f"{name} {option.opts[0]}"
        for name in powertrain.cli.powertrain.list_commands(context)
        for option in powertrain.cli.powertrain.get_command(context, name).params
        if type(option.type) in (click.FloatRange, click.IntRange, type(click.FLOAT), type(click.INT))
    ]
    assert not unbounded
