"""What else a board tells of itself: cuts of its clocks, and the fan."""

from __future__ import annotations

import threading
from typing import final

from powertrain.devices._files import Files
from powertrain.devices.jetson._thermal import Cooling

__all__ = ["Counters", "fan_pwm"]

FANS = ("/sys/devices/pwm-fan/target_pwm",)
"""JetPack 4; later releases have a hwmon chip `pwmfan` (jetson_clocks)."""


@final
class Counters:
    """Counts how often the board has cut its clocks by itself.

    Over-current events are invisible in clocks and power: soctherm halves CPU and GPU clocks for about a
    millisecond and counts (hwmon chip `soctherm_oc`, Orin and Thor: Jetson Linux soctherm-oc driver). Heat is
    seen in the thermal framework's cooling devices, whenever one looks.
    """

    def __init__(self, files: Files) -> None:
        self._files, self._cooling = files, Cooling(files.sysfs)
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


def fan_pwm(files: Files) -> str:
    """Return how fast the fan is told to be, 0 to 255; empty where it cannot be read. It is never written."""
    chips = files.sysfs.glob("/sys/class/hwmon/hwmon*")
    paths = [f"{chip}/pwm1" for chip in chips if files.text(f"{chip}/name") == "pwmfan"]
    return next((text for path in (*paths, *FANS) if (text := files.text(path))), "")
