"""The temperature of a processor, wherever this kernel shows it."""

from __future__ import annotations

import math
from pathlib import Path

from powertrain.units import celsius_from_millicelsius

__all__ = ["CPU_CHIPS", "CPU_ZONES", "sensors_of", "warmest_c"]

CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "CPU-therm", "cpu_thermal", "soc-thermal")


def sensors_of(
    sysfs: Path, *, chips: tuple[str, ...] = CPU_CHIPS, zones: tuple[str, ...] = CPU_ZONES
) -> list[Path]:
    """Return the files that hold temperatures [millidegrees C]: hwmon chips, else thermal zones, by name."""
    files = [
        file
        for chip in sorted((sysfs / "class/hwmon").glob("hwmon*"))
        if _name(chip / "name") in chips
        for file in sorted(chip.glob("temp*_input"))
    ]
    if files:
        return files
    return [
        zone / "temp"
        for zone in sorted((sysfs / "class/thermal").glob("thermal_zone*"))
        if _name(zone / "type") in zones
    ]


def warmest_c(files: list[Path]) -> float:
    """Return the highest of some temperatures [degrees C]; NaN where none can be read."""
    read: list[float] = []
    for file in files:
        try:
            read.append(celsius_from_millicelsius(float(file.read_text(encoding="ascii"))))
        except (OSError, ValueError):
            continue  # a zone whose part is switched off gives EAGAIN
    plausible = [celsius for celsius in read if -60 < celsius < 200]
    return max(plausible, default=math.nan)


def _name(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
