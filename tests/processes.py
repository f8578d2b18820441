"""Processes that tests start: none of them outlives its test, not even a test that fails."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.waiting import PATIENCE_S

__all__ = ["Process", "end_all"]

_STARTED: list[Process] = []


class Process(subprocess.Popen[Any]):
    """What `subprocess.Popen` starts, but a block that fails ends it instead of waiting for it.

    `tests/conftest.py` fails a test that leaves one running.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _STARTED.append(self)

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def end_all() -> list[Process]:
    """End every process that still runs; return these."""
    left = [process for process in _STARTED if process.poll() is None]
    _STARTED.clear()
    for process in left:
        process.kill()
        process.wait(PATIENCE_S)
    return left
