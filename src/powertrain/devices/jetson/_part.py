"""What all parts of a Jetson have in common: files that are written, read back and given back."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import final

from powertrain.devices._parts import Part
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError, DevicePermissionError
from powertrain.records import PowerMode

__all__ = ["NEEDS", "ROOT_ONLY", "Files", "JetsonPart", "do_all", "refusal", "whole_number"]

ROOT_ONLY = (
    "may not be written by this user: sudo powertrain setup-helper, or run as root (in a container, with "
    "--privileged)"
)
NEEDS = "needs "
"""Begins the reason where a knob is missing for want of a permission."""
WRITABLE = re.compile(r"[0-9]{1,15}|[a-z_]{1,32}", re.ASCII)
"""What is ever written: numbers, and the names of governors and of states."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@final
class Files:
    """The kernel's files, with errors that say what to do."""

    def __init__(self, sysfs: Sysfs) -> None:
        self.sysfs = sysfs

    def put(self, path: str, text: str) -> None:
        """Write to a file.

        Raises:
            DevicePermissionError: This user may not.
            DeviceError: The kernel refuses.
        """
        try:
            self.sysfs.write(path, text)
        except OSError as error:
            if error.errno in FORBIDDEN:
                raise DevicePermissionError(f"{path} {ROOT_ONLY}") from error
            raise DeviceError(
                f"{path} does not take {text} ({_reason(error)}): powertrain selftest tells what works here"
            ) from error

    def change(self, path: str, text: str) -> None:
        """Write to a file, unless it says that already."""
        if self.text(path) != text:
            self.put(path, text)

    def text(self, path: str) -> str:
        """Return what a file says, empty where it cannot be read."""
        return self.sysfs.read_or(path)

    def silence(self, path: str) -> str:
        """Return why a file cannot be read, empty where it can."""
        try:
            self.sysfs.read(path)
        except OSError as error:
            return _reason(error)
        return ""

    def number(self, path: str) -> int | None:
        """Return what a file says, None where that is no number or cannot be read."""
        return whole_number(self.text(path))

    def numbers(self, path: str) -> tuple[int, ...]:
        """Return the numbers that a file lists, ascending; none where it cannot be read."""
        found = map(whole_number, self.text(path).split())
        return tuple(sorted({number for number in found if number is not None}))

    def saved(self, paths: Iterable[str]) -> dict[str, str]:
        """Return what files say now, to be given back: numbers and words, as what else could be written."""
        return {path: text for path in paths if WRITABLE.fullmatch(text := self.text(path))}


class JetsonPart(Part):
    """A part whose state is what some files say; what it writes stays until the next boot."""

    outlives_process = True
    missing: Mapping[str, str]
    """Knobs that the board might have and that are not offered, with why.

    The reason is a verb and its sentence; it begins with `needs` where this user lacks a permission.
    """

    def prepare(self) -> None:
        """Bring into view what is about to be set, by files that `save` returns at any time.

        A GPU without power shows no clocks, so `save` can miss some before this.
        """
        return

    def changes(self, mode: PowerMode) -> Iterable[str]:
        """Return the files that `write` changes for a mode, of those that may not tell their present text."""
        return ()


def whole_number(text: str) -> int | None:
    """Return the number that a text of the kernel's is; None where it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else None


def refusal(knob: str, why: str, *, device: str) -> DeviceError:
    """Return the error of a knob that is asked for and missing."""
    kind = DevicePermissionError if why.startswith(NEEDS) else DeviceError
    return kind(f"{device}: {knob} {why}")


def do_all(steps: Iterable[Callable[[], None]]) -> None:
    """Take every step, also after one that failed; if any did, take all once more.

    What is given back is several files, and one that refuses for a moment must not keep the others.

    Raises:
        DeviceError: A step failed both times; the first such.
    """
    steps = list(steps)
    for last in (False, True):
        failed: list[DeviceError] = []
        for step in steps:
            try:
                step()
            except DeviceError as error:
                failed.append(error)
        if not failed:
            return
        if last:
            raise failed[0]


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
