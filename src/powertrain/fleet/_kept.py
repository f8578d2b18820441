"""Values that take long: kept, worked out again on a few threads, and the last one shown meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from powertrain.errors import PowerTrainError, StoreError

__all__ = ["SHARE", "WORKER", "Answer", "Kept", "Workers"]

T = TypeVar("T")
WORKER = "powertrain-worker"
"""Name of the threads that work things out."""
SHARE = 10.0


@final
class Workers:
    """A few threads that work things out. They end with the process, even in the middle of something."""

    def __init__(self, n: int, *, most_waiting: int = 32, at_end: Callable[[], None] = lambda: None) -> None:
        """Start nothing yet.

        Args:
            n: Threads.
            most_waiting: Tasks that may wait for one of them.
            at_end: What each thread does at its end.
        """
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue(most_waiting)
        self._n, self._at_end = n, at_end
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def do(self, task: Callable[[], None]) -> bool:
        """Have a task done that raises nothing; return False where too many wait already."""
        with self._lock:
            if len(self._threads) < self._n:
                # Not those of concurrent.futures, for which the end of the process waits.
                thread = threading.Thread(target=self._work, name=WORKER, daemon=True)
                self._threads.append(thread)
                thread.start()
        try:
            self._tasks.put_nowait(task)
        except queue.Full:
            return False
        return True

    def end(self) -> None:
        """Let the threads end once they have done what they are at; nobody waits for them."""
        with self._lock:
            for _ in self._threads:
                try:
                    self._tasks.put_nowait(None)
                except queue.Full:
                    break

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()
        self._at_end()


@final
@dataclass(frozen=True, kw_only=True)
class Answer(Generic[T]):
    """What is known of something at once."""

    value: T | None
    """The last one that could be worked out; None as long as there is none."""
    problem: PowerTrainError | None
    """Why a newer one could not be worked out."""
    pending: Future[None] | None
    """Done when a newer value, or problem, is there; None where nothing is worked out now."""
    waited_s: float = 0.0
    """For how long it has been worked out."""


@final
@dataclass(kw_only=True)
class _Entry(Generic[T]):
    state: Hashable = None
    """Of what it is worked out from; the value is as good as new as long as that stays the same."""
    value: T | None = None
    problem: PowerTrainError | None = None
    again_s: float = 0.0
    """When it may be worked out again, by the clock."""
    pending: Future[None] | None = None
    began_s: float = 0.0


@final
class Kept(Generic[T]):
    """Values by key, those that were asked for last. Threads may share it."""

    def __init__(
        self,
        workers: Workers,
        *,
        period_s: float,
        share: float = SHARE,
        most: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep nothing yet.

        Args:
            workers: Who work values out.
            period_s: For how long a value is not worked out again at least, whatever has changed.
            share: Nor for so many times as long as it took to work it out.
            most: Values to keep.
            clock: What tells the time [s].
        """
        self._workers, self._period_s, self._share = workers, period_s, share
        self._most, self._clock = most, clock
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: Hashable, value: T) -> None:
        """Take a value that was worked out elsewhere, now."""
        with self._lock:
            self._entries[key] = _Entry(value=value, again_s=self._clock() + self._period_s)

    def ask(self, key: Hashable, state: Hashable, work: Callable[[], T]) -> Answer[T]:
        """Return what is known, and have it worked out anew if it is old and the state is another.

        Args:
            key: What is asked for.
            state: Of what it is worked out from; None where that is not known, and so always another.
            work: Works it out, on another thread. One at a time does so for each key.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry[T]())
            self._entries.move_to_end(key)
            stale = state is None or entry.state != state
            if entry.pending is None and stale and self._clock() >= entry.again_s:
                self._begin(entry, state, work)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)
            waited_s = 0.0 if entry.pending is None else self._clock() - entry.began_s
            return Answer(value=entry.value, problem=entry.problem, pending=entry.pending, waited_s=waited_s)

    def _begin(self, entry: _Entry[T], state: Hashable, work: Callable[[], T]) -> None:
        pending: Future[None] = Future()

        def task() -> None:
            value: T | None = None
            problem: PowerTrainError | None = None
            again = False
            started_s = self._clock()
            try:
                value = work()
            except (StoreError, MemoryError) as error:  # another time it may work
                again, problem = True, PowerTrainError(str(error) or "not enough memory")
            except PowerTrainError as error:
                problem = error
            except Exception as error:  # of one value, which must not hide the others
                problem = PowerTrainError(f"{type(error).__name__}: {error}")
            took_s = self._clock() - started_s
            with self._lock:
                if problem is None:
                    entry.value = value
                if not again:
                    entry.state = state
                entry.problem, entry.pending = problem, None
                # What failed has mostly waited, such as for a server that is away.
                share = self._share if problem is None else min(self._share, 1.0)
                entry.again_s = self._clock() + max(self._period_s, share * took_s)
            pending.set_result(None)

        if self._workers.do(task):
            entry.pending, entry.began_s = pending, self._clock()
        else:
            entry.problem = PowerTrainError("too much else is worked out now: ask again in a moment")
