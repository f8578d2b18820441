"""A limit on how long a training may take from one minibatch to the next.

A minibatch that hangs would hold the device in its mode for ever. Where it hangs in Python, or in a call
that a signal interrupts, an exception ends it in its own place. Where it does not react, the device is
restored by the thread that watches, and whoever runs the process decides what becomes of it.

Time is that of the real clock, also on simulated boards: it is a person who waits.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import final

from powertrain.devices import restore_held
from powertrain.errors import ProgramError
from powertrain.wording import duration

__all__ = ["STEP_LIMIT_S", "Patience"]

logger = logging.getLogger(__name__)

STEP_LIMIT_S = 600.0
"""Usual limit; the first minibatch may compile for minutes, and the slowest modes take seconds for each."""
GRACE_S = 5.0
"""How long the training has to react to the exception."""
LOOK_S = 1.0
"""Between two looks, at most: a minibatch takes this much longer than the limit before it is ended."""


@final
class Patience:
    """Watches one training; it says when it goes on, and after so long without a word it is ended."""

    def __init__(
        self, workload: str, limit_s: float, *, given_up: Callable[[ProgramError], None] | None = None
    ) -> None:
        """Get ready; nothing is watched before `watching`.

        Args:
            workload: What is trained, for messages.
            limit_s: How long it may say nothing [s]; infinity for ever.
            given_up: Called by the watching thread where the training does not react; the device has been
                restored then. If None, the error is only logged.
        """
        self._workload, self._limit_s, self._given_up = workload, limit_s, given_up
        self._last_s = math.inf
        self._error: ProgramError | None = None
        self._raised = False
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._process = os.getpid()
        self._thread_id = 0
        self._number: int | None = None

    def goes_on(self) -> None:
        """Say that the training goes on: a minibatch begins or has ended.

        Raises:
            ProgramError: It had been ended, and the training caught the exception.
        """
        if self._error is not None:
            raise self._error
        self._last_s = time.monotonic()

    def rests(self) -> None:
        """Say that nothing is trained now, for as long as it takes."""
        self._last_s = math.inf

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch the thread that enters the context until it leaves it."""
        if math.isinf(self._limit_s):
            yield
            return
        self._begin()
        try:
            yield
        finally:
            self.close()

    def open(self) -> None:
        """Begin to watch this thread, until `close`."""
        if not math.isinf(self._limit_s):
            self._begin()

    def close(self) -> None:
        """Watch no more; closing twice is harmless."""
        if os.getpid() != self._process:
            return  # a fork, in which no thread watches and the lock may be held by nobody
        with self._lock:  # no signal is sent any more once this is set
            self._ended.set()
        number, self._number = self._number, None
        if number is None or threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(number) == self._on_signal:
            signal.signal(number, signal.SIG_DFL)

    def _begin(self) -> None:
        self._process = os.getpid()
        self._ended.clear()
        self._thread_id = threading.get_ident()
        if threading.current_thread() is threading.main_thread():
            self._number = _free_signal()
            if self._number is not None:
                signal.signal(self._number, self._on_signal)
        self.goes_on()
        threading.Thread(target=self._watch, name="powertrain patience", daemon=True).start()

    def _watch(self) -> None:
        look_s = min(LOOK_S, self._limit_s / 4)
        while not self._ended.wait(look_s):
            if time.monotonic() - self._last_s > self._limit_s:
                self._end()
                return

    def _end(self) -> None:
        """End a training that says nothing: by an exception, else by restoring the device."""
        error = self._hung()
        with self._lock:
            if self._ended.is_set():
                return
            self._error = error
            if self._number is not None:
                signal.pthread_kill(self._thread_id, self._number)
        if self._number is not None and self._ended.wait(GRACE_S):
            return
        restore_held()
        if self._given_up is not None:
            self._given_up(error)
            return
        logger.error("%s\n%s", error, error.trace)

    def _hung(self) -> ProgramError:
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]  # as faulthandler shows, as text
        where = ""
        if (frame := frames.get(self._thread_id)) is not None:
            where = f" in {frame.f_code.co_name} ({frame.f_code.co_filename}:{frame.f_lineno})"
        return ProgramError(
            f"a minibatch of {self._workload} did not end within {duration(self._limit_s)}, the step limit: "
            f"it hangs{where}; the device is restored",
            trace=_stacks(frames, self._thread_id),
        )

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._error is not None and not self._raised and not self._ended.is_set():
            self._raised = True
            raise self._error


def _free_signal() -> int | None:
    """Return a real-time signal that nobody uses, None where there is none."""
    numbers = range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1)
    return next((number for number in numbers if signal.getsignal(number) is signal.SIG_DFL), None)


def _stacks(frames: Mapping[int, FrameType], thread_id: int) -> str:
    """Return where each thread of this process is, the one that trains last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    parts: list[str] = []
    for ident in sorted((ident for ident in frames if ident != own), key=lambda ident: ident == thread_id):
        parts.append(f"Thread {names.get(ident, ident)} (most recent call last):\n")
        parts += traceback.format_stack(frames[ident])
    return "".join(parts)
