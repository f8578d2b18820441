"""The parts of a Jetson, in the order in which they are set."""

from __future__ import annotations

from typing import final

from powertrain.devices._clock import Clock
from powertrain.devices._parts import Part
from powertrain.devices.cpu._cores import CoresPart
from powertrain.devices.jetson._cores import Cores, CoresOffPart, CoresOnPart
from powertrain.devices.jetson._cpu import CpuClockPart
from powertrain.devices.jetson._emc import EmcPart
from powertrain.devices.jetson._gpu import GpuPart
from powertrain.devices.jetson._limits import UsualLimits
from powertrain.devices.jetson._part import NEEDS, Files, JetsonPart

__all__ = ["BoardParts"]


@final
class BoardParts:
    """All parts: processors on line, clocks of CPU, GPU and memory, surplus processors off line.

    Public tools agree on this order, and on its reverse for giving back (Trouvaille1/EcoEdgeInfer,
    HazemAbdelhafez/variability:pyutils/hosts/agx.py, NVIDIA/skills nvpower-sh-edits.md).
    """

    switch: Part
    """What makes processors work."""
    clocks: tuple[JetsonPart, ...]
    """What follows."""
    own: tuple[JetsonPart, ...]
    """All that the board itself has."""
    forbidden = ""
    """What this user would need to set what he may not, where that is more than another user."""

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
        if self.switchable:
            self.switch, self.clocks = on, self.own[1:]
        else:  # whoever may not switch processors can still choose among them
            self.switch, self.clocks = CoresPart(), self.own[1:-1]

    @property
    def switchable(self) -> bool:
        """Whether this user may take processors on and off line, and so is likely to be root."""
        return self._cores.switchable

    @property
    def order(self) -> tuple[int, ...]:
        """In which processors are switched on."""
        return self._cores.order

    @property
    def knobs(self) -> dict[str, tuple[float, ...]]:
        """What can be set, with the values."""
        return {name: values for part in (self.switch, *self.clocks) for name, values in part.knobs.items()}

    @property
    def missing(self) -> dict[str, str]:
        """Knobs that are not offered, with why."""
        found = {knob: why for part in self.own for knob, why in part.missing.items()}
        if not self.forbidden:
            return found
        needed = f"{NEEDS}{self.forbidden}"
        return {knob: needed if why.startswith(NEEDS) else why for knob, why in found.items()}

    def notes(self) -> tuple[str, ...]:
        """Return what can be set, how, and what cannot, one sentence each."""
        told = [note for part in (self.switch, *self.clocks) for note in part.notes()]
        offered = self.knobs
        for knob, why in self.missing.items():
            told.append(f"No {knob}{' of the board itself' * (knob in offered)}: it {why}.")
        return tuple(told)
