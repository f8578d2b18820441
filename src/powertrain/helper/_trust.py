"""Whether root may run this code: whoever can change it, or add to it, would be root.

All that Python imports from is looked at, and every folder on the way there, with links followed as the
kernel follows them. A folder that everybody may write but in which nobody can replace what is not his, such
as /tmp (the sticky bit), may be on the way. It may not be imported from: anybody could add a module to it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import final

from powertrain.devices.remote._peers import group_name, user_name

__all__ = ["changeable", "code_of"]

MOST_LINKS = 40
"""On the way to a file, as in the kernel (path_resolution(7))."""


def code_of(python: Path) -> tuple[Path, ...]:
    """Return all that an interpreter runs: itself, its settings, this package and Python's path."""
    settings = (python.parent / "pyvenv.cfg", python.parent.parent / "pyvenv.cfg")
    found = (Path(entry) for entry in sys.path if entry)
    return (python, *settings, Path(__file__).parents[2], *found)


def changeable(code: Iterable[Path]) -> Generator[str]:
    """Yield what somebody else than root may change of the code, or add to it, and why he may."""
    look = _Look()
    for path in code:
        yield from look.at(path.absolute())


@final
class _Look:
    """A look at code, at each place once."""

    def __init__(self) -> None:
        self._passed: set[Path] = set()
        self._imported: set[Path] = set()

    def at(self, path: Path) -> Generator[str]:
        """Look at a file or folder that is imported from, and at the way to it."""
        place, rest, links = path, [*reversed(path.parts)], 0
        while rest:
            name = rest.pop()
            if name == "..":
                place = place.parent  # no part of it is a link
                continue
            following = Path("/") if name == "/" else place / name
            try:
                state = following.lstat()
            except OSError:
                # Python looks for it all the same, so nobody may be able to make it.
                why = _why_addable(place)
                yield from [f"{following} is not there, and {why}"] if why else []
                return
            if not stat.S_ISLNK(state.st_mode):
                place = following
                yield from self._pass(place)
                continue
            if state.st_uid != 0:
                yield f"the link {following} belongs to {user_name(state.st_uid)}"
            links += 1
            if links > MOST_LINKS:
                return
            rest += reversed(following.readlink().parts)
        yield from self._import(place)

    def _pass(self, place: Path) -> Generator[str]:
        """Look at something on the way."""
        if place not in self._passed:
            self._passed.add(place)
            why = _why_changeable(place)
            yield from [why] if why else []

    def _import(self, place: Path) -> Generator[str]:
        """Look at all that a file or folder holds."""
        if place in self._imported or not place.is_dir():
            return
        self._imported.add(place)
        why = _why_addable(place)
        yield from [f"root imports from {place}, and {why}"] if why and not _why_changeable(place) else []
        for entry in _entries(place):
            if entry.is_symlink():
                yield from self.at(Path(entry))
                continue
            yield from self._pass(Path(entry))
            if entry.is_dir():
                yield from self._import(Path(entry))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError:  # in a dry run, which anybody may do
        return []


def _why_changeable(place: Path) -> str:
    """Return why somebody else than root can change what is there, empty if nobody can."""
    state = place.lstat()
    if state.st_uid != 0:
        return f"{place} belongs to {user_name(state.st_uid)}"
    sticky = stat.S_ISDIR(state.st_mode) and state.st_mode & stat.S_ISVTX
    return "" if sticky else _who_may_write(place, state)


def _why_addable(folder: Path) -> str:
    """Return why somebody else than root can add a file to a folder, empty if nobody can."""
    state = folder.lstat()
    return f"{folder} belongs to {user_name(state.st_uid)}" if state.st_uid else _who_may_write(folder, state)


def _who_may_write(place: Path, state: os.stat_result) -> str:
    if state.st_mode & stat.S_IWOTH:
        return f"any user may write {place}"
    if state.st_mode & stat.S_IWGRP and state.st_gid != 0:
        return f"the group {group_name(state.st_gid)} may write {place}"
    # Where there is an access list (acl(5)), the bits of the group are what it may give to anybody.
    if state.st_mode & stat.S_IWGRP:
        with suppress(OSError):
            os.getxattr(place, "system.posix_acl_access")
            return f"others may write {place} by its access list"
    return ""
