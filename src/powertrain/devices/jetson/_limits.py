"""What a clock's limits were before they were changed, where the kernel shows those in force.

Since PM QoS (Linux 5.3 cpufreq.c, 5.5 devfreq.c) `min` and `max` show the range that is in force, which a hot
board narrows: a limit of the kernel's own, that must not be restored as if somebody had asked for it.
Before, cpufreq showed thermal limits as well (Linux 4.9 cpufreq.c: `scaling_max_freq` is the policy's).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from powertrain.devices._sysfs import Sysfs
from powertrain.devices.jetson._thermal import Cooling
from powertrain.devices.jetson.nvpmodel import NvpMode, present_mode, read_conf, rounded_clock
from powertrain.errors import DeviceError

__all__ = ["UsualLimits"]


@final
class UsualLimits:
    """Tells limits that somebody asked for from those that only heat set."""

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._cooling = Cooling(sysfs)

    def asked(self, knob: str, table_mhz: Sequence[float], *, shown_mhz: tuple[float, float]) -> list[float]:
        """Return the least and the greatest clock [MHz] that are to be restored.

        Those shown, unless heat narrows them: then those of the nvpmodel mode in force, or the ends of the
        table where that has none. If nothing tells whether the board is hot, a greatest clock below
        the mode's counts as heat's: to have asked for it by hand is rarer.
        """
        least, greatest = shown_mhz
        limiting = self._cooling.limiting(knob)
        mode = None if limiting is False else self._mode()
        if not limiting and mode is None:
            return [least, greatest]
        cap = self._of_mode(mode, knob, "MAX_FREQ", table_mhz, otherwise=table_mhz[-1])
        if greatest >= cap:
            return [least, greatest]
        if least == greatest:
            # A floor above the limit is hidden by it: it was nvpmodel's, or somebody had locked the clock.
            floor = self._of_mode(mode, knob, "MIN_FREQ", table_mhz, otherwise=table_mhz[0])
            least = floor if floor >= greatest else cap
        return [least, cap]

    def _mode(self) -> NvpMode | None:
        try:
            return present_mode(self._sysfs, read_conf(self._sysfs))
        except DeviceError:
            return None

    def _of_mode(
        self, mode: NvpMode | None, knob: str, arg: str, table_mhz: Sequence[float], *, otherwise: float
    ) -> float:
        """Return a limit that a mode sets, as it comes out on this table; the least where clusters differ."""
        found = [
            setting.cap_mhz
            for setting in (mode.settings if mode else ())
            if setting.arg == arg and setting.param.knob == knob
        ]
        if not found or min(found) == float("inf"):
            return otherwise
        if arg == "MIN_FREQ":  # is kept as it was written, also between entries
            return max(min(found), table_mhz[0])
        return rounded_clock(min(found), table_mhz)
