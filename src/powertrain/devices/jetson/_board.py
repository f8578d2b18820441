"""The parts of a Jetson, in the order in which they are set."""

from __future__ import annotations

from typing import final

from powertrain.devices._clock import Clock
from powertrain.devices._files import Files
from powertrain.devices._parts import Part
from powertrain.devices.cpu._cores import CoresPart
from powertrain.devices.jetson._cores import Cores, CoresOffPart, CoresOnPart
from powertrain.devices.jetson._cpu import CpuClockPart
from powertrain.devices.jetson._emc import EmcPart
from powertrain.devices.jetson._gpu import GpuPart
from powertrain.devices.jetson._limits import UsualLimits

__all__ = ["BoardParts"]


@final
class BoardParts:
    """All parts: processors on line, clocks of CPU, GPU and memory, surplus processors off line.

    Public tools agree on this order, and on its reverse for restoring (Trouvaille1/EcoEdgeInfer,
    HazemAbdelhafez/variability:pyutils/hosts/agx.py, NVIDIA/skills nvpower-sh-edits.md).
    """

    own: tuple[Part, ...]
    """All that the board itself has."""
    all: tuple[Part, ...]
    """Those, after a part of this process where it may not switch processors on and off line."""

    def __init__(self, files: Files, soc: str, clock: Clock) -> None:
        """Look at a board.

        Args:
            files: Its files.
            soc: Its chip, as in `tegra234`.
            clock: Lets settings settle.
        """
        usual, self._cores = UsualLimits(files.sysfs), Cores(files, soc)
        self.gpu = GpuPart(files, usual, clock=clock)
        self.emc = EmcPart(files, soc, clock=clock)
        on, cpu = CoresOnPart(self._cores, clock=clock), CpuClockPart(files, self._cores, usual)
        off = CoresOffPart(self._cores, on.knobs)
        self.own = (on, cpu, self.gpu, self.emc, off)
        # Whoever may not switch processors can still choose among those that are on.
        self.all = self.own if self._cores.switchable else (CoresPart(), *self.own)

    @property
    def switchable(self) -> bool:
        """Whether this user may take processors on and off line, and so is likely to be root."""
        return self._cores.permitted

    @property
    def order(self) -> tuple[int, ...]:
        """In which processors are switched on."""
        return self._cores.order
