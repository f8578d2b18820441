"""What a training reports to: the contract of sessions, and which of them is active."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import final

from powertrain.profiling._turns import Drawing, Move, Turns

__all__ = ["AllMeasured", "Loop", "Session", "active_session"]


class AllMeasured(SystemExit):
    """Every mode has been measured, and the training ran only for that."""


def _nothing() -> None:
    pass


def _no_threads(cores: int) -> None:
    del cores


def _no_description() -> Mapping[str, str]:
    return {}


def _never() -> bool:
    return False


def _at_once(reports: int, every: int) -> int:
    del every
    return reports


@final
@dataclass(frozen=True, kw_only=True)
class Loop:
    """Somebody else's training, as far as a session has to know it."""

    workload: str
    """Name under which profiles are kept."""
    synchronise: Callable[[], None] = _nothing
    """Waits until the device has done all that it was given."""
    evaluates: Callable[[], bool] = _never
    """Tells whether gradients are switched off now, as they are in an evaluation."""
    set_threads: Callable[[int], None] = _no_threads
    """Told the number of cores of each mode that has `cpu_cores`, unless the device is simulated."""
    restore_threads: Callable[[], None] = _nothing
    """Lets the training compute with as many threads as before, when nothing is measured any more."""
    description: Callable[[], Mapping[str, str]] = _no_description
    """Returns what profiles say of the training."""
    real: bool = False
    """Whether it is known to be a real program, which does not know of a simulated board."""
    stop: bool = False
    """Whether to end the training with `AllMeasured` when no more modes are asked for."""
    ends_at: Callable[[int, int], int] = _at_once
    """Given the reports so far and how many make a minibatch, returns at which report the training ends."""


class Session(ABC):
    """Where a training reports its minibatches.

    `powertrain.measured` does that around an iterable of minibatches. Whatever else trains (a framework's
    callback) needs four calls: `start` before a minibatch, `step` after each, `pause` where something else
    than training follows, and `close` at the end, whatever ended the training. Where a training runs in
    several processes, all report alike.
    """

    def __init__(self, evaluates: Callable[[], bool]) -> None:
        """Get ready; nothing is changed before the first minibatch.

        Args:
            evaluates: Tells whether gradients are switched off now.
        """
        self._turns = Turns(evaluates)
        self.reports = 0
        """Calls of `start` and `step` so far."""
        self.all_measured = False
        """Whether no more modes were asked for, before the training ended."""
        self.unheard = False
        """Whether a thread trained that does not know of this session, so that nothing of it was measured."""
        self.calls = Drawing()
        """Stands for the loop that calls `powertrain.step`."""

    @final
    def start(self) -> None:
        """Begin to measure, or go on after a pause: the time since the last minibatch does not count.

        Raises:
            AllMeasured: The training was only run to be measured, and is to end.
        """
        self.reports += 1
        self._start()

    @final
    def step(self, *, every: int = 1) -> None:
        """Report that a minibatch has been trained since the last call.

        The first one, and the first after a pause, only starts the measuring: when it began is not known.

        Args:
            every: How many calls make a minibatch, where gradients are accumulated over several.

        Raises:
            AllMeasured: The training was only run to be measured, and is to end.
        """
        self.reports += 1
        self._step(every)

    @abstractmethod
    def pause(self) -> None:
        """Report that something else than training follows, or has just been done: an evaluation, say."""

    @abstractmethod
    def close(self) -> None:
        """Give the device back, whatever is unfinished; closing twice is harmless."""

    @abstractmethod
    def _start(self) -> None:
        """Do what `start` says."""

    @abstractmethod
    def _step(self, every: int) -> None:
        """Do what `step` says."""

    @final
    def drawn(self, loop: Drawing, *, every: int = 1) -> None:
        """Report that one of several loops draws its next minibatch (see `Turns` for which one counts)."""
        move = self._turns.draw(loop)
        if move is Move.START:
            self.start()
        elif move is Move.STEP:
            self.step(every=every)
        elif move is Move.PAUSE:
            self.pause()

    @final
    def ended(self, loop: Drawing) -> None:
        """Report that a loop has come to its end: what follows is not its minibatch."""
        if self._turns.end(loop):
            self.pause()

    @final
    @contextmanager
    def active(self) -> Generator[None]:
        """Let `measured` report to this session while the context lasts, then restore the device."""
        token = _ACTIVE.set(self)
        _OF_PROCESS.append(self)
        try:
            yield
        finally:
            with suppress(ValueError):  # a process that was forked meanwhile has forgotten it
                _OF_PROCESS.remove(self)
            with suppress(ValueError):  # a context that was begun elsewhere ends with whoever began it
                _ACTIVE.reset(token)
            self.close()


_ACTIVE: ContextVar[Session | None] = ContextVar("powertrain_session", default=None)


_OF_PROCESS: list[Session] = []
"""The sessions that are active in any thread."""


def _forget() -> None:
    """Let a forked process train unmeasured: the device is its parent's to set and to restore."""
    _ACTIVE.set(None)
    _OF_PROCESS.clear()


os.register_at_fork(after_in_child=_forget)


def active_session() -> Session | None:
    """Return what a training reports to in this context, None if nothing measures."""
    session = _ACTIVE.get()
    if session is None:
        for other in _OF_PROCESS:
            other.unheard = True
    return session
