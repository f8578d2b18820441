"""Files of a kernel in memory, for devices whose hardware a test makes up."""

from __future__ import annotations

import errno
import os
from typing import final

from typing_extensions import override

from powertrain.devices._sysfs import Sysfs

__all__ = ["MemorySysfs"]


@final
class MemorySysfs(Sysfs):
    """Files by path; which of them fail, or take another value than is written, can be set."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.unreadable: dict[str, int] = {}
        """The error of reading a file, by its path."""
        self.unwritable: dict[str, int] = {}
        """The error of writing a file, by its path."""
        self.greatest: dict[str, int] = {}
        """The greatest number that a file takes; it is given without an error."""
        self.writes: list[tuple[str, str]] = []

    def put(self, path: str, text: object) -> str:
        """Make a file, and return its path."""
        self.files[path] = str(text).strip()
        return path

    @override
    def read(self, path: str) -> str:
        self._fail(self.unreadable, path)
        return self.files[path]

    @override
    def write(self, path: str, text: str) -> None:
        self._fail(self.unwritable, path)
        self.writes.append((path, text))
        most = self.greatest.get(path)
        self.files[path] = text if most is None else str(min(int(text), most))

    @override
    def listdir(self, path: str) -> list[str]:
        start = f"{path.rstrip('/')}/"
        inside = (file.removeprefix(start) for file in self.files if file.startswith(start))
        return sorted({rest.partition("/")[0] for rest in inside})

    @override
    def exists(self, path: str) -> bool:
        return path in self.files or bool(self.listdir(path))

    @override
    def may_write(self, path: str) -> bool:
        return self.exists(path) and self.unwritable.get(path) not in (errno.EACCES, errno.EPERM, errno.EROFS)

    @override
    def resolve(self, path: str) -> str:
        return path

    def _fail(self, errors: dict[str, int], path: str) -> None:
        number = errors.get(path, 0 if path in self.files else errno.ENOENT)
        if number:
            raise OSError(number, os.strerror(number), path)
