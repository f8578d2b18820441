"""What else a board tells of itself: cuts of its clocks, temperatures, the fan."""

from __future__ import annotations

import math
import re
import threading
from typing import final

from powertrain.devices._jetson._limits import CoolingDevices
from powertrain.devices._jetson._part import Files
from powertrain.units import celsius_from_millicelsius

__all__ = ["Counters", "fan_pwm", "temperature_files", "warmest_c"]

CHIP = re.compile(r"^(?:(?:[bm])?cpu|gpu|soc\d?|aux|ao|pll|tj)-therm(?:al)?$", re.IGNORECASE | re.ASCII)
"""Zones on the chip, by the names of all releases (rbonghi/jetson_stats' tests of tegrastats).

Not the PMIC's, which always says 100 degrees, nor the estimate for the fan.
"""
COLDEST_C, HOTTEST_C = -60.0, 150.0
FANS = ("/sys/devices/pwm-fan/target_pwm",)
"""JetPack 4; later releases have a hwmon chip `pwmfan` (jetson_clocks)."""


@final
class Counters:
    """Counts how often the board has cut its clocks by itself.

    Over-current events are invisible in clocks and power: soctherm halves CPU and GPU clocks for about a
    millisecond and counts (hwmon chip `soctherm_oc`, Orin: Jetson Linux soctherm-oc driver). Heat is seen in
    the thermal framework's cooling devices, whenever one looks.
    """

    def __init__(self, files: Files) -> None:
        self._files, self._cooling = files, CoolingDevices(files.sysfs)
        self._paths = [
            path
            for chip in files.sysfs.glob("/sys/class/hwmon/hwmon*")
            if files.text(f"{chip}/name") == "soctherm_oc"
            for path in files.sysfs.glob(f"{chip}/oc*_event_cnt")
        ]
        self._lock = threading.Lock()
        self._cuts = self._seen = 0

    @property
    def has_events(self) -> bool:
        """Whether over-current events are counted here."""
        return bool(self._paths)

    def look(self) -> None:
        """See whether heat limits a clock now."""
        limited = self._cooling.how_many()
        with self._lock:
            self._cuts += limited > self._seen
            self._seen = limited

    def count(self) -> int:
        """Return how many cuts there were: events since the boot, and heat as often as it was seen to set in.

        Heat that lasts counts anew after each question, so that two of them with a cut between never have the
        same answer.
        """
        self.look()
        events = sum(self._files.number(path) or 0 for path in self._paths)
        with self._lock:
            self._seen = 0
            return events + self._cuts


def temperature_files(files: Files) -> list[str]:
    """Return the files of the zones on the chip [millidegrees C]."""
    zones = files.sysfs.glob("/sys/class/thermal/thermal_zone*")
    return [f"{zone}/temp" for zone in zones if CHIP.match(files.text(f"{zone}/type"))]


def warmest_c(files: Files, paths: list[str]) -> float:
    """Return the highest temperature; NaN where none can be read.

    A zone whose part has no power gives EAGAIN, or -256 degrees.
    """
    read: list[float] = []
    for path in paths:
        try:
            read.append(celsius_from_millicelsius(float(files.text(path))))
        except ValueError:
            continue
    return max((celsius for celsius in read if COLDEST_C < celsius < HOTTEST_C), default=math.nan)


def fan_pwm(files: Files) -> str:
    """Return how fast the fan is told to be, 0 to 255; empty where it cannot be read. It is never written."""
    chips = files.sysfs.glob("/sys/class/hwmon/hwmon*")
    paths = [f"{chip}/pwm1" for chip in chips if files.text(f"{chip}/name") == "pwmfan"]
    return next((text for path in (*paths, *FANS) if (text := files.text(path))), "")
