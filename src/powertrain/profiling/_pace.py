"""Real programs on boards whose time is simulated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

from powertrain.devices import Clock

__all__ = ["Pace"]


@final
class Pace:
    """Lets real time pass on a virtual clock while a real program trains.

    A virtual clock stands still unless somebody lets time pass on it. A simulated job does; a real program
    does not know of it, and would seem to take no time at all.
    """

    def __init__(self, clock: Clock, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._now_s = clock, now_s
        self._real_s = self._virtual_s = 0.0
        self.used = False
        """Whether any time was let pass: the program is a real one."""

    def mark(self) -> None:
        """Note that the program trains from now on."""
        if self._clock.virtual:
            self._real_s, self._virtual_s = self._now_s(), self._clock.now_s()

    def catch_up(self) -> None:
        """Let the time since the mark pass, unless the program has let some pass itself."""
        if self._clock.virtual and self._clock.now_s() == self._virtual_s:
            self.used = True
            self._clock.sleep_s(self._now_s() - self._real_s)
