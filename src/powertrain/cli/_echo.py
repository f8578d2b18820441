"""The one place where the command line prints: a terminal obeys nothing that a name from a file says."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import IO, Any

import click

from powertrain.wording import visible

__all__ = ["drop_stdout", "echo", "echo_data", "json_text"]

_UNSEEN = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""What JSON need not escape, and a terminal may obey or not show."""


def echo(
    text: str = "", *, nl: bool = True, err: bool = False, file: IO[Any] | None = None, styled: bool = False
) -> None:
    """Print a text, with control characters spelled out.

    Args:
        text: What is printed.
        nl: Whether a line feed follows.
        err: Whether it goes to stderr.
        file: Where it goes instead.
        styled: Whether the text has passed `visible` already and was given colours since.
    """
    stream: Any = file if file is not None else sys.stderr if err else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # A screen of another encoding lacks lines of tables, and a name may hold what none has.
    shown = (text if styled else visible(text)).encode(encoding, "backslashreplace").decode(encoding)
    if stream is sys.stderr:
        with suppress(OSError):  # there is nobody else to tell
            click.echo(shown, nl=nl, err=err, file=file)
        return
    with _naming_stdout():
        click.echo(shown, nl=nl, err=err, file=file)


def echo_data(text: str) -> None:
    """Print content of a file, such as rows of CSV: a terminal gets it as `echo`, all else as it is."""
    if sys.stdout is None or sys.stdout.isatty():  # None: standard output is closed
        echo(text, nl=False)
        return
    # click would take out what looks like a colour, and a name would be another one then.
    with _naming_stdout():
        sys.stdout.write(text)
        sys.stdout.flush()


@contextmanager
def _naming_stdout() -> Generator[None]:
    """Say of what could not be written that it was standard output, such as a file on a full disk."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_stdout()
        raise OSError(error.errno, error.strerror, "standard output") from error


def drop_stdout() -> None:
    """Let what is left to be written to standard output go: Python would fail over it once more at exit."""
    with suppress(OSError, ValueError):
        number = os.open(os.devnull, os.O_WRONLY)
        os.dup2(number, sys.stdout.fileno())
        os.close(number)


def json_text(text: str) -> str:
    """Escape in JSON what a terminal would obey or not show; it means the same then."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
