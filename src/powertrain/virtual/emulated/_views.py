"""How others see an emulated board, and live beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import final

from typing_extensions import override

from powertrain.devices._clock import Clock
from powertrain.devices._sysfs import Sysfs

__all__ = ["SeenBy", "SharedClock"]


@final
class SharedClock(Clock):
    """A clock that lets others at the board while one waits on it."""

    def __init__(self, clock: Clock, lock: threading.RLock) -> None:
        self._clock, self._lock = clock, lock
        self.virtual = clock.virtual

    @override
    def now_s(self) -> float:
        return self._clock.now_s()

    @override
    def sleep_s(self, duration_s: float) -> None:
        self._lock.release()
        try:
            self._clock.sleep_s(duration_s)
        finally:
            self._lock.acquire()

    @override
    def every(self, period_s: float, call: Callable[[], None]) -> AbstractContextManager[None]:
        return self._clock.every(period_s, call)


@final
class SeenBy(Sysfs):
    """A board in another user's eyes."""

    def __init__(
        self, board: Sysfs, user: str, acting: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        self._board, self._user, self._acting = board, user, acting

    @override
    def read(self, path: str) -> str:
        with self._acting(self._user):
            return self._board.read(path)

    @override
    def write(self, path: str, text: str) -> None:
        with self._acting(self._user):
            self._board.write(path, text)

    @override
    def listdir(self, path: str) -> list[str]:
        with self._acting(self._user):
            return self._board.listdir(path)

    @override
    def exists(self, path: str) -> bool:
        with self._acting(self._user):
            return self._board.exists(path)

    @override
    def may_write(self, path: str) -> bool:
        with self._acting(self._user):
            return self._board.may_write(path)

    @override
    def resolve(self, path: str) -> str:
        return self._board.resolve(path)
