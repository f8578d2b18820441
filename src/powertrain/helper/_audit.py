"""The audit log: a line of JSON for every request that changes something, before it does and after."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO, final

__all__ = ["DEFAULT_AUDIT", "Audit"]

DEFAULT_AUDIT = Path("/var/log/powertrain/helper.jsonl")
LARGEST_BYTES = 4 * 1024 * 1024
"""Then the file is put aside, and the one before it is dropped: nobody can fill the disk with holding."""


@final
class Audit:
    """Appends lines to a file and says them on a stream, which under systemd is the system's journal."""

    def __init__(
        self,
        path: Path | None,
        *,
        stream: TextIO | None = None,
        time_s: Callable[[], float] = time.time,
        largest_bytes: int = LARGEST_BYTES,
    ) -> None:
        """Use a file, which is made when something is first written; None: the stream alone."""
        self._path, self._stream = path, stream or sys.stderr
        self._time_s, self._largest_bytes = time_s, largest_bytes
        self._torn = False

    def write(self, what: str, **details: Any) -> None:
        """Write a line.

        Raises:
            OSError: It did not reach the file.
        """
        moment = datetime.fromtimestamp(self._time_s(), timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": moment, "what": what, **details})
        with contextlib.suppress(OSError, ValueError):  # whoever reads the stream may have gone
            self._stream.write(f"{line}\n")
            self._stream.flush()
        if self._path is not None:
            self._append(self._path, line)

    def try_to_write(self, what: str, **details: Any) -> None:
        """Write a line of what has happened already; that it cannot be written changes nothing."""
        with contextlib.suppress(OSError):
            self.write(what, **details)

    def _append(self, path: Path, line: str) -> None:
        # Opened anew each time: a log that an administrator has moved away is not written to any more.
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        # A link here would be somebody's who may write where only root should: it is not followed.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(path, flags, 0o640)
        try:
            start = "\n" if self._torn else ""
            data = f"{start}{line}\n".encode("ascii")
            self._torn = os.write(file, data) < len(data)
            size = os.fstat(file).st_size
        finally:
            os.close(file)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if size > self._largest_bytes:
            path.replace(path.with_name(f"{path.name}.1"))
