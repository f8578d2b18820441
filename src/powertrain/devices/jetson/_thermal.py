"""How warm a board is, and what its kernel does about it."""

from __future__ import annotations

import math
import re
from typing import final

from powertrain.devices._files import Files, whole_number
from powertrain.devices._sysfs import Sysfs
from powertrain.units import celsius_from_millicelsius

__all__ = ["Cooling", "temperature_files", "warmest_c"]

ZONES = "/sys/class/thermal/thermal_zone*"
CHIP_ZONES = re.compile(r"^(?:(?:[bm])?cpu|gpu|soc\d?|aux|ao|pll|tj)-therm(?:al)?$", re.IGNORECASE | re.ASCII)
"""Zones on the chip, by the names of all releases (rbonghi/jetson_stats' tests of tegrastats).

Not the PMIC's, which always says 100 degrees, nor the estimate for the fan.
"""
COLDEST_C, HOTTEST_C = -60.0, 150.0
NEAR_C = 10.0
"""Below a trip point a limit may still be in force, for its hysteresis (sysfs-api.rst); how much: assumed."""


@final
class Cooling:
    """What the kernel's thermal framework does to clocks.

    Linux Documentation/driver-api/thermal/sysfs-api.rst. `cur_state` of a cooling device is 0 while nothing
    is cooled; on an Orin Nano they are called `cpufreq-cpu0`, `cpufreq-cpu4` and `devfreq-17000000.gpu`
    (public clock records). Names of older releases are not published: there trip points tell whether a zone
    is warm enough for a limit.
    """

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._states: dict[str, list[str]] = {"cpu_mhz": [], "gpu_mhz": []}
        for folder in sysfs.glob("/sys/class/thermal/cooling_device*"):
            kind = sysfs.read_or(f"{folder}/type")
            if "cpufreq" in kind:
                self._states["cpu_mhz"].append(f"{folder}/cur_state")
            elif "devfreq" in kind:
                self._states["gpu_mhz"].append(f"{folder}/cur_state")
        self._trips = [
            (f"{zone}/temp", path.replace("_type", "_temp"))
            for zone in sysfs.glob(ZONES)
            if CHIP_ZONES.match(sysfs.read_or(f"{zone}/type"))
            for path in sysfs.glob(f"{zone}/trip_point_*_type")
            if sysfs.read_or(path) == "passive"
        ]

    def limiting(self, knob: str) -> bool | None:
        """Tell whether a clock may be limited for heat now; None where nothing tells."""
        # A cooling device is a clear answer; trip points are the guess for releases that show none.
        known = [state for path in self._states[knob] if (state := self._number(path)) is not None]
        return any(known) if known else self._is_hot()

    def how_many(self) -> int:
        """Return how many devices limit a clock now."""
        return sum(bool(self._number(path)) for paths in self._states.values() for path in paths)

    def _is_hot(self) -> bool | None:
        known: list[bool] = []
        for temperature, trip in self._trips:
            now_mc, limit_mc = self._number(temperature), self._number(trip)
            if now_mc is not None and limit_mc is not None:
                near_c = celsius_from_millicelsius(float(limit_mc - now_mc))
                known.append(near_c < NEAR_C)
        return any(known) if known else None

    def _number(self, path: str) -> int | None:
        return whole_number(self._sysfs.read_or(path))


def temperature_files(files: Files) -> list[str]:
    """Return the files of the zones on the chip [millidegrees C]."""
    zones = files.sysfs.glob(ZONES)
    return [f"{zone}/temp" for zone in zones if CHIP_ZONES.match(files.text(f"{zone}/type"))]


def warmest_c(files: Files, paths: list[str]) -> float:
    """Return the highest temperature; NaN where none can be read.

    A zone whose part has no power gives EAGAIN, or -256 degrees.
    """
    # The warmest part is what the kernel slows the board for.
    read: list[float] = []
    for path in paths:
        try:
            read.append(celsius_from_millicelsius(float(files.text(path))))
        except ValueError:
            continue
    return max((celsius for celsius in read if COLDEST_C < celsius < HOTTEST_C), default=math.nan)
