"""Printing: tables, JSON, progress, and files that are complete or absent."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, final

import click

from powertrain.cli._echo import echo, echo_data, json_text
from powertrain.cli._root import Failure, WrongUse, json_was_printed
from powertrain.files import real_path, why_unwritten, write_chunks, write_file
from powertrain.progress import Progress
from powertrain.wording import visible

if TYPE_CHECKING:
    from powertrain.report import Table

__all__ = [
    "STDIO",
    "content_of",
    "json_by_line",
    "make_folder",
    "print_json",
    "print_sentence",
    "print_table",
    "progress_bar",
    "refuse_unwritable",
    "stdout_on_stderr",
    "write_blocks",
    "write_text",
]

FOR_EVER_S = 1e9
STDIO = Path("-")
"""Stands for standard input where a file is read, and for standard output where one is written."""
STDIN_NAME = Path("standard input")
"""What messages call it."""
MOST_STDIN_BYTES = 1 << 29
PIPED_COLUMNS = 200
"""Width of tables that go to a file or another program, which have no screen to fit."""


def print_json(value: object) -> None:
    """Print a value as JSON on stdout; records become mappings, and NaN and infinity null."""
    from powertrain.plain import to_plain

    echo(json_text(json.dumps(to_plain(value), indent=2, allow_nan=False, ensure_ascii=False)))
    json_was_printed()


def json_by_line(value: Mapping[str, Any]) -> str:
    """Return JSON text with an item of each list on a line of its own: for long tables, and for `grep`."""

    def dumped(item: object) -> str:
        return json_text(json.dumps(item, allow_nan=False, ensure_ascii=False))

    def block(item: object) -> str:
        if not isinstance(item, list) or not item:
            return dumped(cast("object", item))
        return "[\n" + ",\n".join(map(dumped, cast("list[object]", item))) + "\n]"

    return "{\n" + ",\n".join(f"{dumped(key)}: {block(item)}" for key, item in value.items()) + "\n}"


def print_table(table: Table) -> None:
    """Print a table as wide as the screen allows, its title above it and its note below."""
    from powertrain.report import fit_table, wrap_words

    width = _screen_columns()
    fitted = fit_table(table, width)
    for line in (*wrap_words(table.title, width), *fitted.head):
        echo(_emphasised(visible(line)), styled=True)
    for line in fitted.body:
        echo(line)
    if table.note:
        print_sentence(table.note)
    echo()


def print_sentence(text: str, *, indent: str = "") -> None:
    """Print a sentence on stdout, broken between words where a screen is narrow; not for what is copied."""
    from powertrain.report import wrap_words

    for line in wrap_words(text, _screen_columns(), indent=indent):
        echo(line)


def _screen_columns() -> int:
    """Return how wide what is printed on stdout may be."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_COLUMNS


def _emphasised(line: str) -> str:
    """Return the line in bold, where the screen can show that and nobody has asked for plain text."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return line if is_plain else click.style(line, bold=True)


@contextlib.contextmanager
def progress_bar(*, every_s: float | None = None) -> Generator[Progress | None]:
    """Give a function that moves a bar on stderr: done, total, what comes next.

    Without a terminal it writes a line every `every_s` seconds [s], or there is none.
    """
    if not sys.stderr.isatty():
        yield None if every_s is None else _Lines(every_s).move
        return
    from rich import progress as rich_progress
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    # Modes take seconds to minutes each, so the speed is that of the whole run so far.
    console = Console(stderr=True)
    with rich_progress.Progress(
        *columns, console=console, transient=True, speed_estimate_period=FOR_EVER_S
    ) as bar:
        task = bar.add_task("")

        def move(done: int, total: int, what: str) -> None:
            if bar.tasks[0].total != total or done < bar.tasks[0].completed:
                bar.reset(task, total=total)
            bar.update(task, completed=done, total=total, description=visible(what))

        yield move


@final
class _Lines:
    """Writes how far a run is now and then, for logs."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._started_s = self._last_s = time.monotonic()
        self._of = 0, 0

    def move(self, done: int, total: int, what: str) -> None:
        """Write a line if the last one was long enough ago."""
        now_s = time.monotonic()
        if self._of[1] != total or done < self._of[0]:
            self._started_s = now_s
        self._of = done, total
        if now_s - self._last_s < self._every_s or not done:
            return
        self._last_s = now_s
        left_min = (now_s - self._started_s) / done * (total - done) / 60
        echo(f"{done:,} of {total:,}, about {left_min:.0f} min left: {what}", err=True)


@contextlib.contextmanager
def stdout_on_stderr() -> Generator[None]:
    """Have everything that is printed meanwhile go to stderr, also by other processes: stdout is for JSON."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 1)
        os.close(kept)


def make_folder(path: Path) -> None:
    """Make a folder for results, or fail with one line before the work."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Failure(f"cannot make the folder {path}: {error.strerror}; choose another") from error
    if not os.access(path, os.W_OK):
        raise Failure(f"cannot write into {path}: the folder is read-only; choose another")


def refuse_unwritable(path: Path) -> None:
    """Fail before the work rather than after it when a result could not be written to `path`.

    Refuses, too, to write over any other file that the command was given, and to mix two outputs.
    """
    given = click.get_current_context().params
    if path == STDIO:
        if sum(value == STDIO for value in given.values()) > 1 or given.get("as_json"):
            raise WrongUse("two things would go to standard output: name a file for one of them")
        return
    named = [real_path(one) for one in (*_given_paths(given.values()), *_store_file(given.get("database")))]
    if named.count(real_path(path)) > 1:
        message = f"cannot write {path}: it is also an input or another output of this command; name another"
        raise WrongUse(message)
    folder = path.parent
    if not folder.is_dir():
        raise Failure(f"cannot write {path}: there is no folder {folder}; create it or choose another")
    if path.is_dir():
        raise Failure(f"cannot write {path}: that is a folder; add a file name")
    if not os.access(folder, os.W_OK):
        raise Failure(f"cannot write {path}: the folder {folder} is read-only; choose another")


def _given_paths(values: Iterable[object]) -> Generator[Path]:
    """Yield every file among the values of a command's parameters."""
    for value in values:
        if isinstance(value, Path):
            yield value
        elif isinstance(value, tuple):
            yield from _given_paths(cast("tuple[object, ...]", value))
        elif isinstance(value, str) and value.startswith("replay:"):
            yield Path(value.removeprefix("replay:").partition("#")[0])


def _store_file(location: str | None) -> Generator[Path]:
    """Yield the file of the profile store that a command was given, if it is one."""
    from powertrain.dataset import store_file

    file = store_file(location) if location is not None else None
    if file is not None:
        yield file


def write_text(path: Path, text: str) -> None:
    """Write a file that is either complete or not there; through a link, and straight into a device.

    `-` is standard output.
    """
    if path == STDIO:
        echo_data(text if text.endswith("\n") else f"{text}\n")
        return
    try:
        write_file(path, text)
    except OSError as error:
        raise Failure(f"cannot write {path}: {why_unwritten(path, error)}") from error


def write_blocks(path: Path, blocks: Iterable[str]) -> None:
    """Do as `write_text` with a text that comes in parts, each ending in a line."""
    if path == STDIO:
        for block in blocks:
            echo_data(block)
        return
    try:
        write_chunks(path, (block.encode() for block in blocks))
    except OSError as error:
        raise Failure(f"cannot write {path}: {why_unwritten(path, error)}") from error


def content_of(path: Path) -> tuple[Path, bytes | None]:
    """Return a file to read: how messages name it, and its content if it was read already.

    Standard input (`-`) is read here, once in a command; every other file is left to whoever needs it.
    """
    if path != STDIO:
        return path, None
    context = click.get_current_context()
    if context.meta.setdefault("powertrain.stdin", path) is not path:
        raise WrongUse("- was given twice, and standard input can be read only once: name a file")
    content = sys.stdin.buffer.read(MOST_STDIN_BYTES + 1)
    if len(content) > MOST_STDIN_BYTES:
        raise Failure(f"standard input is larger than {MOST_STDIN_BYTES:,} bytes: part it into several files")
    return STDIN_NAME, content
