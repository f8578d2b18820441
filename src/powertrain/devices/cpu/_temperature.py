"""The temperature of a processor, wherever this kernel shows it."""

from __future__ import annotations

import math

from powertrain.devices._sysfs import Sysfs
from powertrain.units import celsius_from_millicelsius

__all__ = ["temperature_files", "warmest_c"]

CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Names of hwmon chips that are sensors of a processor: Intel's, AMD's, and those of Arm boards."""
CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "CPU-therm", "cpu_thermal", "soc-thermal")
"""Types of thermal zones that are a processor's, for machines without such a chip."""
COLDEST_C, HOTTEST_C = -60.0, 200.0
"""What a processor can have; sensors that are switched off show -256 degrees, or more than any chip."""


def temperature_files(sysfs: Sysfs) -> list[str]:
    """Return the files that hold temperatures [millidegrees C]: of hwmon chips, else of thermal zones."""
    files = [
        file
        for chip in sysfs.glob("/sys/class/hwmon/hwmon*")
        if sysfs.read_or(f"{chip}/name") in CPU_CHIPS
        for file in sysfs.glob(f"{chip}/temp*_input")
    ]
    if files:
        return files
    zones = sysfs.glob("/sys/class/thermal/thermal_zone*")
    return [f"{zone}/temp" for zone in zones if sysfs.read_or(f"{zone}/type") in CPU_ZONES]


def warmest_c(sysfs: Sysfs, paths: list[str]) -> float:
    """Return the highest of some temperatures [degrees C]; NaN where none can be read."""
    read: list[float] = []
    for path in paths:
        try:
            read.append(celsius_from_millicelsius(float(sysfs.read(path))))
        except (OSError, ValueError):
            continue  # a zone whose part is switched off gives EAGAIN
    return max((celsius for celsius in read if COLDEST_C < celsius < HOTTEST_C), default=math.nan)
