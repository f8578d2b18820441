"""The least and greatest clock that are asked for, and the range that follows from them."""

from __future__ import annotations

import errno
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import final

from powertrain.virtual.emulated._nodes import number_of, refuse

__all__ = ["Limits", "Settling", "nearest"]


def nearest(table: Sequence[int], value: int) -> int:
    """Return the entry of an ascending table nearest to a value, the lower of two."""
    above = bisect_left(table, value)
    return min(table[max(above - 1, 0) : above + 1], key=lambda entry: abs(entry - value))


@final
class Limits:
    """A range of clocks as cpufreq and devfreq keep it."""

    def __init__(
        self, table: Sequence[int], *, strict: bool, ceiling: Callable[[], int | None], name: str
    ) -> None:
        """Start with the whole table.

        Args:
            table: All clocks, ascending.
            strict: Whether crossed limits are refused.
            ceiling: What the kernel itself allows at the moment, such as a thermal limit; None: all.
            name: For a caller's error.
        """
        self.least, self.greatest, self.name = table[0], table[-1], name
        self._table, self._strict, self._ceiling = table, strict, ceiling

    def write_least(self, text: str) -> None:
        """Ask for a least clock, as text."""
        self.ask(number_of(text), self.greatest)

    def write_greatest(self, text: str) -> None:
        """Ask for a greatest clock, as text."""
        self.ask(self.least, number_of(text))

    def ask(self, least: int, greatest: int) -> None:
        """Ask for both."""
        least, greatest = (min(max(value, self._table[0]), self._table[-1]) for value in (least, greatest))
        # Linux 4.9 devfreq.c and cpufreq.c: EINVAL; from PM QoS on both are kept and the greatest wins.
        if self._strict and least > greatest:
            raise refuse(errno.EINVAL)
        self.least, self.greatest = least, greatest

    def effective(self) -> tuple[int, int]:
        """Return the range in force, which is what the files show."""
        ceiling = self._ceiling()
        greatest = self.greatest if ceiling is None else min(self.greatest, max(ceiling, self._table[0]))
        return min(self.least, greatest), greatest


@final
class Settling:
    """A clock that follows what is asked of it after a moment."""

    def __init__(self, first: int, delay_s: float) -> None:
        self._shown: int = first
        self._target: int = first
        self._since_s, self._delay_s = float("-inf"), delay_s

    def follow(self, target: int, now_s: float) -> int:
        """Tell what is asked now, and return what is there now."""
        if now_s >= self._since_s + self._delay_s:
            self._shown = self._target
        if target != self._target:
            self._target, self._since_s = target, now_s
        return self._shown

    def arrive(self, target: int) -> None:
        """Be at a clock at once, as after a long rest."""
        self._shown = self._target = target
