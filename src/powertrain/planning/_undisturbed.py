"""Computing without being interrupted in the middle: C code swallows what a signal's handler raises."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["undisturbed"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Generator[None]:
    """Put off what Python's handlers of signals do until the context ends; for moments, not for minutes.

    A handler raises wherever the interpreter happens to be. Inside numpy that can be a function that C called
    and whose exception it drops: the signal is lost, and a number is wrong. To block signals would not do,
    since other threads, such as those of a BLAS, receive them all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    # Who has no handler in Python is ended or left alone by the system, in whatever moment.
    before: dict[int, Any] = {}
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler):
            before[number] = handler
            signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)
