"""A log that tegrastats wrote, as the power of the board over time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import final

import numpy as np
import numpy.typing as npt

from powertrain.devices._readings import board_w
from powertrain.devices.jetson._rails import summed_rails
from powertrain.devices.jetson._tegrastats import parse_tegrastats
from powertrain.errors import DataError, DeviceError
from powertrain.units import s_from_ms

__all__ = ["PowerLog"]

_STAMP = re.compile(r"\s*(\d\d)-(\d\d)-(\d{4}) (\d\d:\d\d:\d\d)\s")
"""How newer releases begin each line: month, day, year, time."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PowerLog:
    """The power of a board over time, as tegrastats logged it."""

    begin: datetime | None
    """When the first line was written, on the board's clock; None for a log without times."""
    time_s: npt.NDArray[np.float64]
    """`(n,)` time of each line since the first [s]."""
    power_w: npt.NDArray[np.float64]
    """`(n,)` power of the board [W]; NaN where a line lacks it, or shows none that can be."""
    rails: tuple[str, ...]
    """The rails whose sum that is."""

    @classmethod
    def read(cls, text: str, *, interval_ms: float = 1000.0) -> PowerLog:
        """Read the text of a log.

        Args:
            text: What tegrastats printed, a line for each reading; other lines are left out.
            interval_ms: Time between two lines, for a log whose lines do not begin with their time [ms].

        Raises:
            DataError: There is no line with the power of the whole board.
        """
        stamps: list[datetime | None] = []
        readings: list[dict[str, float]] = []
        for line in text.splitlines():
            rails_w = dict(parse_tegrastats(line).rails_w)
            if rails_w:
                stamps.append(_stamp(line))
                readings.append(rails_w)
        rails = summed_rails(dict.fromkeys(name for reading in readings for name in reading))
        if not rails:
            found = ", ".join(dict.fromkeys(name for reading in readings for name in reading))
            raise DataError(
                f"the log has no power of the whole board (rails: {found or 'none'}): give the output of "
                "tegrastats, run as root where it shows no rails"
            )
        begin = stamps[0]
        if begin is None or None in stamps:
            begin, time_s = None, np.arange(len(readings), dtype=np.float64) * s_from_ms(interval_ms)
        else:
            time_s = np.array([(stamp - begin).total_seconds() for stamp in stamps if stamp is not None])
            if back := np.flatnonzero(np.diff(time_s) < 0).tolist():
                raise DataError(
                    f"the times of the log go back after {stamps[back[0]]}: the clock was set, so give the "
                    "part before or after that"
                )
        power_w = np.array([_believed_w(reading, rails) for reading in readings])
        return cls(begin=begin, time_s=time_s, power_w=power_w, rails=rails)

    def mean_w(self, start: str, end: str) -> float:
        """Return the mean power from `start` to `end`; NaN where no line falls between them.

        Both are times of the board's clock (`2026-11-26 14:03:20`), or seconds since the log's first line.

        Raises:
            DataError: One of them is not a time, or the log has no times to compare it with.
        """
        low_s, high_s = self._seconds(start), self._seconds(end)
        if not high_s > low_s:
            raise DataError(f"end {end!r} is not after start {start!r}: correct the row")
        seen = self.power_w[(self.time_s >= low_s) & (self.time_s <= high_s) & np.isfinite(self.power_w)]
        return float(seen.mean()) if len(seen) else float("nan")

    def _seconds(self, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            pass
        when = _stamp(f"{text} ")
        try:
            when = when or datetime.fromisoformat(text.strip())
        except ValueError:
            raise DataError(
                f"{text!r} is not a time: write 2026-11-26 14:03:20, or seconds since the log's first line"
            ) from None
        if self.begin is None:
            raise DataError(
                f"{text!r} is a time of day, and the lines of the log have none: give seconds since its first"
            )
        return (when.replace(tzinfo=None) - self.begin).total_seconds()


def _believed_w(rails_w: Mapping[str, float], rails: Sequence[str]) -> float:
    """Return the power of one line by the rule that all sources have; NaN where it is not believed."""
    try:
        return board_w(rails_w, rails)
    except DeviceError:
        return math.nan


def _stamp(line: str) -> datetime | None:
    found = _STAMP.match(line)
    if found is None:
        return None
    month, day, year, time = found.groups()
    try:
        return datetime.fromisoformat(f"{year}-{month}-{day} {time}")
    except ValueError:
        return None
