"""Looking, while a mode is measured, for what makes the measurement another one than was asked for."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import final

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import DeviceError

__all__ = ["Watch"]

PERIOD_S = 0.5
"""Between looks: they cost some reads each, and what lasts for less spoils little."""
SHARE = 0.25
"""Of the looks in which something has to be seen. A clock on its way is seen once."""


@final
class Watch:
    """Asks a device now and then whether its mode is still in force, its clocks run, and it is alone.

    A mode that somebody undid and set again is seen in between, not at the end.
    """

    def __init__(self, device: AbstractLiveDevice, *, held: bool = True) -> None:
        self._device, self._held = device, held
        self._lock = threading.Lock()
        self._looks = 0
        self._seen: Counter[str] = Counter()
        self._told: dict[str, str] = {}
        self._undone_before = ""

    @contextmanager
    def running(self) -> Generator[None]:
        """Look after each period while the context lasts."""
        with self._device.clock.every(PERIOD_S, self.look):
            yield

    def look(self) -> None:
        """Look once."""
        try:
            spoilt, undone = dict(self._device.spoilt()), self._device.still_holds() if self._held else ""
        except (DeviceError, OSError):
            return  # what cannot be read now is read the next time
        with self._lock:
            self._looks += 1
            # A clock that arrives late shows once; what was undone stays so for two looks.
            if undone and self._undone_before:
                self._told.setdefault("undone", undone)
            self._undone_before = undone
            for flag, sentence in spoilt.items():
                self._seen[flag] += 1
                self._told.setdefault(flag, sentence)

    def found(self) -> Mapping[str, str]:
        """Look for the last time, and return what was found: a sentence for each flag."""
        self.look()
        with self._lock:
            found = {
                flag: sentence
                for flag, sentence in self._told.items()
                if flag not in self._seen or self._seen[flag] >= SHARE * self._looks
            }
            if self._undone_before:
                found["undone"] = self._undone_before
            return found
