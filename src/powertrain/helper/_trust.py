"""Whether root may run this code: whoever can change it would be root."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["changeable", "code_of"]


def code_of(python: Path) -> tuple[Path, ...]:
    """Return all that an interpreter runs: itself, this package and Python's path."""
    found = (Path(entry) for entry in sys.path if entry)
    return (python, Path(os.path.realpath(python)), Path(__file__).parents[2], *found)


def changeable(code: Iterable[Path]) -> Generator[str]:
    """Yield what somebody else than root owns or may write: files of the code, and folders on the way."""
    seen: set[str] = set()
    for path in code:
        for above in (*reversed(path.absolute().parents), path.absolute()):
            with suppress(OSError):  # an entry of Python's path that is not there
                if str(above) not in seen and _is_weak(above.lstat()):
                    yield str(above)
            seen.add(str(above))
        if path.is_dir():
            yield from _inside(str(path), seen)


def _inside(folder: str, seen: set[str]) -> Generator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.path in seen:
                continue
            seen.add(entry.path)
            if _is_weak(entry.stat(follow_symlinks=False)):
                yield entry.path
            if entry.is_dir(follow_symlinks=False):
                yield from _inside(entry.path, seen)


def _is_weak(state: os.stat_result) -> bool:
    if stat.S_ISLNK(state.st_mode):
        return state.st_uid != 0
    writable = stat.S_IWOTH | (stat.S_IWGRP if state.st_gid != 0 else 0)
    # In a folder with the sticky bit, such as /tmp, others cannot replace what is not theirs.
    sticky = stat.S_ISDIR(state.st_mode) and bool(state.st_mode & stat.S_ISVTX)
    return state.st_uid != 0 or (bool(state.st_mode & writable) and not sticky)
