"""Clocks: what tells the time to everything that measures, and lets it pass."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import final

from typing_extensions import override

__all__ = ["Clock", "MonotonicClock", "VirtualClock"]

PATIENCE_S = 5.0
"""For a periodic call to come back when no more are wanted."""


class Clock(ABC):
    """Time that only goes forward."""

    virtual: bool = False
    """Whether it stands still unless somebody sleeps on it."""

    @abstractmethod
    def now_s(self) -> float:
        """Return the seconds since some fixed moment."""

    @abstractmethod
    def sleep_s(self, duration_s: float) -> None:
        """Let so many seconds pass; none if it is not positive."""

    @abstractmethod
    def every(self, period_s: float, call: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `call` after each period while the context lasts.

        A call that is late by more than a period is left out. An error that it raises ends the calls and is
        raised when the context ends. One that does not come back is waited for some seconds, then left.
        """


@final
class MonotonicClock(Clock):
    """The machine's own monotonic clock; what happens periodically happens on a thread."""

    @override
    def now_s(self) -> float:
        return time.monotonic()

    @override
    def sleep_s(self, duration_s: float) -> None:
        time.sleep(max(duration_s, 0.0))

    @override
    @contextmanager
    def every(self, period_s: float, call: Callable[[], None]) -> Generator[None]:
        stop = threading.Event()
        failed: list[Exception] = []

        def run() -> None:
            due_s = time.monotonic() + period_s
            while not stop.wait(max(due_s - time.monotonic(), 0.0)):
                try:
                    call()
                except Exception as error:  # the thread's boundary: raised again where it was started
                    failed.append(error)
                    return
                late_periods = max((time.monotonic() - due_s) // period_s, 0.0)
                due_s += period_s * (late_periods + 1)

        thread = threading.Thread(target=run, name="powertrain-sampler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            # A call that never comes back, as of a driver that hangs, is left to itself: it is a daemon.
            thread.join(PATIENCE_S)
        if failed:
            raise failed[0]


@final
class VirtualClock(Clock):
    """Time that passes when somebody sleeps, and costs nothing; what is due happens in between, in order."""

    virtual = True

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._due: list[tuple[float, int, float, Callable[[], None]]] = []
        self._order = itertools.count()

    @override
    def now_s(self) -> float:
        return self._now_s

    @override
    def sleep_s(self, duration_s: float) -> None:
        end_s = self._now_s + max(duration_s, 0.0)
        while self._due and self._due[0][0] <= end_s:
            due_s, order, period_s, call = self._due[0]
            self._now_s = max(due_s, self._now_s)
            heapq.heapreplace(self._due, (due_s + period_s, order, period_s, call))
            call()
        self._now_s = end_s

    @override
    @contextmanager
    def every(self, period_s: float, call: Callable[[], None]) -> Generator[None]:
        order = next(self._order)
        heapq.heappush(self._due, (self._now_s + period_s, order, period_s, call))
        try:
            yield
        finally:
            self._due = [entry for entry in self._due if entry[1] != order]
            heapq.heapify(self._due)
