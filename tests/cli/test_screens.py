"""Tables on screens of any width: they fit, no word is broken, and styles are left out on request."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from tests.processes import Process
from typing_extensions import override

from powertrain.cli import powertrain

WIDTHS = (40, 60, 80, 120)
LONGEST_WORD = 40
"""No table of the commands below holds a longer one, so that all of them fit the narrowest screen."""


class Screen(io.StringIO):
    """What a terminal shows."""

    @override
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """Return what a command prints on a terminal of so many columns."""

    def show(columns: int, *arguments: object, **environment: str) -> str:
        for name, value in {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "", **environment}.items():
            monkeypatch.setenv(name, value)
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        powertrain.main([str(one) for one in arguments], prog_name="powertrain", standalone_mode=False)
        return screen.getvalue()

    return show


@pytest.fixture
def tables(database, grid_csv, predictor_file, board_name, tmp_path, monkeypatch):
    """Return commands that print every kind of table."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    on_grid = ("--device", f"replay:{grid_csv}")
    evaluated = ("--device", board_name, "--target", "lstm", "--profiles", "9,12", "--seeds", 1)
    return {
        "show": ("show", database),
        "show a predictor": ("show", predictor_file),
        "devices": ("devices",),
        "a device": ("devices", "sim:orin-nano"),
        "modes": ("modes", "sim:orin-nano", "--sample", 3),
        "status": ("status", "emulated:orin-nano@jp6"),
        "selftest": ("selftest", "--device", "sim:orin-nano"),
        "import": ("import", grid_csv, "--db", tmp_path / "new.db"),
        "predict": ("predict", predictor_file, *on_grid, "--limit", 3),
        "front": ("front", predictor_file, *on_grid, "--limit", 3),
        "choose": ("choose", predictor_file, *on_grid, "--max-power", 20, "--epoch-minibatches", 100),
        "evaluate": ("evaluate", grid_csv, *evaluated, "--method", "linear"),
    }


KINDS = (
    *("show", "show a predictor", "devices", "a device", "modes", "status", "selftest", "import", "predict"),
    *("front", "choose", "evaluate"),
)


def words(text: str) -> set[str]:
    return {word for word in text.split() if set(word) != {"\N{BOX DRAWINGS LIGHT HORIZONTAL}"}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_fits_every_screen_and_no_word_or_number_is_broken(shown, tables, kind):
    command = tables[kind]
    if kind == "import":
        command = (*command, "--again")
    whole = words(shown(1000, *command, NO_COLOR="1"))
    for columns in WIDTHS:
        lines = shown(columns, *command, NO_COLOR="1").splitlines()
        table = [line for line in lines if line.startswith(" ")]
        assert table
        for line in lines:
            # The line that applies a choice is there to be copied, and a word may be longer than a screen.
            if not line.startswith("Apply it"):
                assert len(line) <= columns or len(line.split()) <= 2, (columns, line)
        varying = {"s", "ms"}  # how long something took differs from run to run
        broken = {word for word in words("\n".join(table)) - whole if word.isalpha() and word not in varying}
        assert not broken, (columns, broken)


def test_a_row_becomes_a_block_where_columns_do_not_fit(shown, database):
    text = shown(40, "show", database, NO_COLOR="1")
    assert "\n workload   lstm\n" in text
    assert "\n time [ms]  " in text


@pytest.mark.parametrize(
    ("environment", "is_bold"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    ids=["a terminal", "NO_COLOR", "a dumb one"],
)
def test_headings_are_bold_where_a_terminal_shows_that_and_nobody_minds(
    shown, database, environment, is_bold
):
    assert ("\x1b[1m" in shown(80, "show", database, **environment)) is is_bold


def test_what_goes_into_a_pipe_is_as_wide_as_it_has_to_be(done, database, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    rows = [line for line in done("show", database).out.splitlines() if line.startswith(" lstm")]
    assert len(rows) == 1
    assert len(rows[0]) > 40


def test_a_real_terminal_of_40_columns_gets_no_longer_line(database):
    terminal, child_end = os.openpty()
    env = {**os.environ, "COLUMNS": "40", "TERM": "xterm-256color", "NO_COLOR": "1"}
    command = (sys.executable, "-m", "powertrain", "show", str(database))
    found = b""
    with Process(command, stdout=child_end, stderr=subprocess.DEVNULL, env=env):
        os.close(child_end)
        try:
            while part := os.read(terminal, 4096):
                found += part
        except OSError:  # the other end is closed
            pass
    os.close(terminal)
    lines = [line for line in found.decode().splitlines() if line.startswith(" ")]
    assert len(lines) > 5
    assert max(map(len, lines)) <= 40
