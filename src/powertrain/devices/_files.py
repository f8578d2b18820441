"""Settings that are files of the kernel: written, read back and restored."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, final

from typing_extensions import override

from powertrain.devices._parts import Part
from powertrain.devices._reasons import Reason, Why
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError, DevicePermissionError

__all__ = ["BECOME_ROOT", "FilePart", "Files", "do_all", "not_writable", "reason_of", "whole_number"]

BECOME_ROOT = "run sudo powertrain setup-helper, or run as root (in a container, with --privileged)"
"""What helps whoever may not write a file of the kernel."""
WRITABLE = re.compile(r"[0-9]{1,15}|[a-z_]{1,32}", re.ASCII)
"""What is ever written: numbers, and the names of governors and of states."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors that another user, or another container, would not get."""


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
            # What this user may not and what the kernel will not are two things: root helps with the first.
            if error.errno in FORBIDDEN:
                raise DevicePermissionError(f"this user may not write {path}: {BECOME_ROOT}") from error
            raise DeviceError(
                f"{path} does not take {text} ({reason_of(error)}): powertrain selftest tells what works here"
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
            return reason_of(error)
        return ""

    def number(self, path: str) -> int | None:
        """Return the number that a file holds, None where it holds none or cannot be read."""
        return whole_number(self.text(path))

    def numbers(self, path: str) -> tuple[int, ...]:
        """Return the numbers that a file lists, ascending; none where it cannot be read."""
        found = map(whole_number, self.text(path).split())
        return tuple(sorted({number for number in found if number is not None}))

    def saved(self, paths: Iterable[str]) -> dict[str, str]:
        """Return what files say now, to be restored: numbers and words, since nothing else is written."""
        return {path: text for path in paths if WRITABLE.fullmatch(text := self.text(path))}


class FilePart(Part):
    """A part whose state is what some files say; what it writes stays until the next boot."""

    outlives_process = True

    @override
    def differences(self, saved: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what shows another text than was restored.

        That is not a failure: heat may narrow a limit, or a service was quicker.
        """
        shown = self.save()
        return tuple(
            f"{path} was restored as {text} and shows {shown[path]}"
            for path, text in saved.items()
            if path in shown and shown[path] != text
        )


def not_writable(knob: str, path: str) -> Reason:
    """Return the reason of a knob whose file this user may not write."""
    return Reason(what=knob, why=Why.FORBIDDEN, sentence=f"this user may not write {path}", mend=BECOME_ROOT)


def whole_number(text: str) -> int | None:
    """Return the number that a text of the kernel's is; None where it is none."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text, re.ASCII) else None


def do_all(steps: Iterable[Callable[[], None]]) -> None:
    """Take every step, also after one that failed; if any did, take all once more.

    Restoring takes several files, and one that refuses for a moment must not keep the others.

    Raises:
        DeviceError: A step failed both times; the first such.
    """
    # The second round is for what refused because of the first: a clock, say, of a processor that was off.
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


def reason_of(error: OSError) -> str:
    """Return what the kernel says of an error, without the path."""
    return os.strerror(error.errno) if error.errno else str(error)
