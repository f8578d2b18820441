"""The kernel's files, as an argument: the real ones, or those of an emulated board."""

from __future__ import annotations

import errno
import fnmatch
import os
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import final

from typing_extensions import override

__all__ = ["RealSysfs", "Sysfs"]

MAY_WAIT = "/devfreq"
"""In the path of files whose reading runs through a driver that may have to ask a device without power.

Linux drivers/devfreq/devfreq.c: `cur_freq` calls the driver, and the limits take a lock that it may hold.
That Thor's `gpu-gpc-0` may not answer at all is not confirmed; whoever waited for it would wait for ever.
"""
PATIENCE_S = 2.0
"""For such a file to answer."""


class Sysfs(ABC):
    """Reads and writes files below `/`, by absolute path; what the kernel refuses is an `OSError`.

    All that a board is and does passes through here, so that a board can be emulated, and so that writes
    can be left to somebody who may.
    """

    @abstractmethod
    def read(self, path: str) -> str:
        """Return the text of a file without blanks around it; NULs (device tree) stay."""

    @abstractmethod
    def write(self, path: str, text: str) -> None:
        """Write to a file that exists, at once."""

    @abstractmethod
    def listdir(self, path: str) -> list[str]:
        """Return the names in a folder, sorted; none where there is no such folder or it may not be read."""

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Tell whether there is such a file or folder, as far as may be seen."""

    @abstractmethod
    def may_write(self, path: str) -> bool:
        """Tell whether this user may write a file, without writing it."""

    @abstractmethod
    def resolve(self, path: str) -> str:
        """Return the path with its links followed: the one name of a file that has several."""

    @final
    def glob(self, pattern: str) -> list[str]:
        """Return the paths that match, sorted; `*` stands for part of one name."""
        # One folder at a time: a `**` or a `glob` of the machine's own would not work on an emulated board.
        found = ["/"]
        for part in pattern.strip("/").split("/"):
            if "*" not in part:
                found = [f"{base.rstrip('/')}/{part}" for base in found]
                continue
            found = [
                f"{base.rstrip('/')}/{name}"
                for base in found
                for name in self.listdir(base)
                if fnmatch.fnmatchcase(name, part)
            ]
        return sorted(path for path in found if self.exists(path))

    @final
    def read_or(self, path: str, otherwise: str = "") -> str:
        """Return the text of a file, or something else where it cannot be read."""
        try:
            return self.read(path)
        except OSError:
            return otherwise


@final
class RealSysfs(Sysfs):
    """The files of this machine, or of a folder that stands for its root."""

    def __init__(self, root: Path = Path("/"), *, patience_s: float = PATIENCE_S) -> None:
        """Take the machine's, or a folder that stands for its root.

        Args:
            root: The folder.
            patience_s: How long a file of a devfreq device may take to answer.
        """
        self._root, self._patience_s = root, patience_s
        self._waiting: dict[str, threading.Thread] = {}

    @override
    def read(self, path: str) -> str:
        return self._read_in_time(path) if MAY_WAIT in path else self._read(path)

    def _read(self, path: str) -> str:
        return self._at(path).read_text(encoding="utf-8", errors="replace").strip(" \t\r\n")

    def _read_in_time(self, path: str) -> str:
        """Read on a thread; one that never comes back is left to itself, and none is added to it."""
        told: list[str | OSError] = []

        def read() -> None:
            try:
                told.append(self._read(path))
            except OSError as error:
                told.append(error)

        # A thread that waits in the kernel cannot be ended, so there is one for a path at most.
        before = self._waiting.get(path)
        if before is None or not before.is_alive():
            thread = threading.Thread(target=read, name="powertrain-read", daemon=True)
            self._waiting[path] = thread
            thread.start()
            thread.join(self._patience_s)
        if not told:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), path)
        self._waiting.pop(path, None)
        if isinstance(told[0], OSError):
            raise told[0]
        return told[0]

    @override
    def write(self, path: str, text: str) -> None:
        # One write(2), without creating: attributes of the kernel take a value at once. As `echo > FILE`
        # does, the file is truncated, which they ignore and a plain file of an emulated tree needs.
        file = os.open(self._at(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(file, text.encode("ascii"))
        finally:
            os.close(file)

    @override
    def listdir(self, path: str) -> list[str]:
        try:
            return sorted(entry.name for entry in self._at(path).iterdir())
        except OSError:
            return []

    @override
    def exists(self, path: str) -> bool:
        try:
            return self._at(path).exists()
        except OSError:  # a folder on the way may not be entered
            return False

    @override
    def may_write(self, path: str) -> bool:
        # Root may write every file as far as access(2) goes; an attribute without that right takes nothing.
        place = self._at(path)
        try:
            return os.access(place, os.W_OK) and bool(place.stat().st_mode & 0o222)
        except OSError:
            return False

    @override
    def resolve(self, path: str) -> str:
        real = self._at(path).resolve()
        return f"/{real.relative_to(self._root.resolve())}" if self._root != Path("/") else str(real)

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")
