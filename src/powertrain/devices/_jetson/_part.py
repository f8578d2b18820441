"""What all parts of a Jetson have in common: files that are written, read back and given back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from typing import final

from powertrain.devices._parts import Part
from powertrain.devices._sysfs import Sysfs
from powertrain.errors import DeviceError, DevicePermissionError

__all__ = ["ROOT_ONLY", "Files", "JetsonPart", "do_all"]

ROOT_ONLY = (
    "may not be written by this user: sudo powertrain setup-helper, or run as root (in a container, with "
    "--privileged)"
)
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

    def number(self, path: str) -> int | None:
        """Return what a file says, None where that is no number or cannot be read."""
        text = self.text(path)
        return int(text) if text.isascii() and text.isdigit() else None

    def numbers(self, path: str) -> tuple[int, ...]:
        """Return the numbers that a file lists, ascending; none where it cannot be read."""
        return tuple(sorted({int(w) for w in self.text(path).split() if w.isascii() and w.isdigit()}))

    def saved(self, paths: Iterable[str]) -> dict[str, str]:
        """Return what files say now, without those that cannot be read."""
        return {path: text for path in paths if (text := self.text(path))}


class JetsonPart(Part):
    """A part whose state is what some files say; what it writes stays until the next boot."""

    outlives_process = True
    missing: Mapping[str, str]
    """Knobs that the board might have and that are not offered, with why."""

    def prepare(self) -> None:
        """Bring into view what is about to be set, by files that `save` returns at any time.

        A GPU without power shows no clocks, so `save` can miss some before this.
        """
        return


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
