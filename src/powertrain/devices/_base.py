"""The contract of every device."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from powertrain.devices._clock import Clock
from powertrain.devices._hold import Holder
from powertrain.devices._reasons import Reason
from powertrain.errors import (
    LargeSpaceError,
    MissingKnobError,
    UnknownModeError,
    UnknownNameError,
)
from powertrain.records import ModeTable, PowerMode, ProfileTable, Shown, View
from powertrain.space import ModeSpace
from powertrain.workloads import Job

__all__ = [
    "SIMULATED_SUFFIX",
    "AbstractDevice",
    "AbstractLiveDevice",
    "AbstractTabulatedDevice",
    "PowerReading",
    "check_mode",
    "is_simulated",
]

SIMULATED_SUFFIX = " (simulated)"
"""Ends the name of every simulated device, so that no record made on one passes for a measurement."""


def is_simulated(device_name: str) -> bool:
    """Tell whether profiles under this device name came from a simulator, also when replayed from a file."""
    return device_name.endswith(SIMULATED_SUFFIX)


class AbstractDevice(Shown):
    """Something with power modes on which workloads can be measured.

    A device is whole once it is made and does not change: a question asked twice has one answer. What it
    cannot do it says in `notes`, and refuses with one line when asked all the same.
    """

    name: str
    """Name under which its profiles are kept; ends in `SIMULATED_SUFFIX` if `simulated`."""
    spec: str
    """What `open_device` takes to open it again."""
    simulated: bool
    """Whether its numbers come from formulas, not from hardware."""
    recorded: bool = False
    """Whether its numbers were measured before, so that there is nothing left to measure."""
    space: ModeSpace
    """The smallest grid that holds all its modes."""

    def _view(self) -> View:
        rows = [(k.name, len(k.values), k.values[0], k.values[-1]) for k in self.space.knobs]
        return View(title=f"{self.name}, {self.spec}", headings=("knob", "values", "from", "to"), rows=rows)

    @abstractmethod
    def modes(self, *, workload: str | None = None) -> ModeTable:
        """Return all modes that exist, `(n_modes, n_knobs)`, distinct, columns in the order of `space`.

        With a workload, only those in which it can be measured (a replay lacks the others). An unknown
        workload raises `UnknownNameError`, and a space that is too large to list `LargeSpaceError`.
        """

    def exist(self, modes: ModeTable) -> npt.NDArray[np.bool_]:
        """Tell which of some modes of `space` the device has, `(n_modes,)` booleans; all of them by default.

        A space too large to list is planned with it.
        """
        return np.ones(len(modes), dtype=bool)

    @final
    def count(self, *, workload: str | None = None) -> int:
        """Return how many modes there are, as `modes` would list them.

        For a space that is too large to list, it is the number of combinations. Some of them may not exist.
        """
        try:
            return len(self.modes(workload=workload))
        except LargeSpaceError:
            return self.space.size

    @abstractmethod
    def workloads(self) -> tuple[str, ...]:
        """Return the names of what can be measured here."""

    @abstractmethod
    def stock_modes(self) -> dict[str, PowerMode]:
        """Return the modes that the vendor ships, by the vendor's name; empty where there are none."""

    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Return what works and what is missing, one sentence each."""

    def _check_workload(self, workload: str) -> None:
        """Refuse a workload that cannot be measured here; a device may take more than it lists."""
        if workload not in self.workloads():
            raise UnknownNameError.of(f"workload of {self.name}", workload, self.workloads())

    @final
    def _in_own_order(self, modes: ModeTable) -> ModeTable:
        """Return the modes with columns as in `space`; too many knobs are refused like too few.

        A knob that the device would silently ignore is a setting that the user believes to be in force.
        """
        own = self.space.names
        # Both are compared: a knob that is given twice makes the sets equal and the lengths differ.
        if set(modes.knobs) != set(own) or len(modes.knobs) != len(own):
            raise MissingKnobError(
                f"the modes have the knobs {', '.join(modes.knobs) or 'none'}; "
                f"{self.name} has {', '.join(own)}: give exactly these"
            )
        return ModeTable(knobs=own, values=modes.select(own))


class AbstractTabulatedDevice(AbstractDevice):
    """A device that answers for any of its modes at once: from recorded profiles, or from formulas."""

    @abstractmethod
    def measure(self, workload: str, modes: ModeTable, *, seed: int = 0) -> ProfileTable:
        """Measure a workload in each of `modes`: one row per row of `modes`, in the same order.

        Args:
            workload: One of `workloads()`.
            modes: `(n, n_knobs)` modes of this device, its knobs in any order; repeats and none at all
                (`n` = 0) are fine.
            seed: Names the run where chance is simulated: within a run a mode always gives the same
                number, whatever is measured with it. Without effect where nothing is drawn.

        Returns:
            Time [ms] and power [W], NaN where the device cannot measure the quantity; columns of modes in
            the order of `space`.

        Raises:
            UnknownNameError: There is no such workload.
            MissingKnobError: The knobs are not this device's.
            DeviceError: The device does not have one of the modes; the message names the nearest it has.
        """


@final
@dataclass(frozen=True, kw_only=True)
class PowerReading:
    """What the power sensors showed at one moment."""

    time_s: float
    """On the device's clock."""
    rails_w: Mapping[str, float]
    """By the board's own labels; also those that are not summed."""
    power_w: float
    """Of the whole board, by its rule: one rail is the total, or the total is a sum; NaN: not known."""
    energy_j: float = math.nan
    """What an energy counter shows, which only grows; NaN where there is none, or it gave nothing now."""
    dropped: str = ""
    """Why the time since the reading before has no energy that could be told, as when a counter began anew;
    empty where it has. Such a time enters no mean."""
    least_w: float = math.nan
    """What other sensors show that `power_w` cannot be below, as those of parts of the device; NaN: none."""
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else was read at that moment, by column: `"temperature_c"`, `"gpu_mem_mb"`; NaN: not known.

    A profile holds the means. Those that `QUANTITIES` knows are predicted and limited like time and power;
    the others are remarks.
    """


class AbstractLiveDevice(AbstractDevice):
    """A device that can be put into a mode and read while it works: hardware, or a faithful stand-in."""

    clock: Clock
    """What tells how long something took here."""
    rails: tuple[str, ...]
    """Rails or counters that `read_power` adds up, by their labels; none where power cannot be read."""
    missing: tuple[Reason, ...] = ()
    """Knobs and sensors that a device of its kind might have and this one does not offer here, with why."""
    _holder: Holder

    @property
    def power_window_s(self) -> float:
        """Time over which a power reading is averaged [s]; NaN where the sensors do not tell."""
        return math.nan

    @property
    def most_power_w(self) -> float:
        """More than the device can draw, by its own limits [W]; infinity where it tells none.

        A sensor that shows more is not believed.
        """
        return math.inf

    @property
    def nested_rails(self) -> tuple[tuple[str, str], ...]:
        """Pairs of rails, of which the first is said to carry the second as well; none by default."""
        return ()

    @property
    def settle_s(self) -> float:
        """Time after a change of mode before which power and clocks may be the old mode's [s]."""
        return 0.0

    @property
    def key(self) -> str:
        """What tells this device from all others of the machine, whichever process opened it and how."""
        return self._holder.key

    @final
    def hold(self, mode: PowerMode) -> AbstractContextManager[None]:
        """Put the device into a mode while the context lasts; the state before comes back on every way out.

        Ctrl-C, SIGTERM and SIGHUP are such ways. What SIGKILL leaves behind is restored when the device is
        held the next time, or by `restore`.

        Raises:
            DeviceError: The device does not have the mode, or a mode is being held already.
            DevicePermissionError: It may not be changed; nothing was written.
            DeviceBusyError: Another process holds it.
            UnreachableModeError: It took another mode; the state before is back.
        """
        return self._holder.hold(mode)

    @final
    def hold_some(self, knobs: PowerMode) -> AbstractContextManager[None]:
        """Set some knobs while the context lasts and leave the others as they are; else as `hold`.

        Raises:
            MissingKnobError: The device lacks a knob, or can set one only together with others, which the
                message names.
        """
        return self._holder.hold(knobs, some=True)

    @final
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        """Return the lowest and the highest value of each knob now; they are equal if it is held.

        A clock that nobody holds moves between the two. Knobs that cannot be read, such as a locked clock of
        NVML, are left out. A knob that this user may not set can be there.
        """
        return self._holder.settings.in_force()

    @final
    def reserved(self) -> AbstractContextManager[None]:
        """Keep other processes from holding the device while the context lasts."""
        return self._holder.reserve()

    @final
    def restore(self) -> bool:
        """Restore what a dead process left behind; return whether there was anything."""
        return self._holder.restore()

    @final
    def still_holds(self) -> str:
        """Return why the mode that is held is no longer in force, empty if it is as far as can be told.

        Something else may have set the device meanwhile, or a signal may have restored it.
        """
        return self._holder.lost()

    def spoilt(self) -> Mapping[str, str]:
        """Return what speaks now against a measurement in the mode that is held: a sentence for each flag.

        `capped`: a clock runs below what was set; `undone`: something else has set it; `shared`: somebody
        else uses the device. A profiler asks now and then, also on a thread; what cannot be read is not told.
        """
        capped = self._holder.capped()
        return {"capped": capped} if capped else {}

    @final
    def state(self) -> Mapping[str, Any]:
        """Return what holding a mode may change, as JSON values: the same before and after."""
        return self._holder.settings.shown()

    @abstractmethod
    def read_power(self) -> PowerReading:
        """Read the power sensors now; a sensor that fails raises `DeviceError` or `OSError`."""

    @abstractmethod
    def job(self, workload: str, *, data: Path | None = None) -> Job:
        """Get a workload ready to be trained here.

        Args:
            workload: One of `workloads()`, or another that the device can run.
            data: A folder of images or a text file to train on, for the workloads that take one.

        Raises:
            UnknownNameError: There is no such workload.
            MissingExtraError: Training it needs a package that is not installed.
        """

    @abstractmethod
    def throttle_count(self) -> int:
        """Return how often the device has cut its clocks by itself since it was started."""

    @abstractmethod
    def temperature_c(self) -> float:
        """Return the temperature of the chip [degrees C], NaN where it cannot be read."""

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """Return what a profile should say of the machine: driver, release of the board's software."""


def check_mode(mode: PowerMode, space: ModeSpace, device: str, *, some: bool = False) -> None:
    """Refuse a mode that a device lacks, with the nearest value; with `some` it may lack knobs.

    Raises:
        MissingKnobError: The knobs are not the device's.
        UnknownModeError: A value is none of its knob's.
    """
    if set(mode) != set(space.names) and not (some and set(mode) < set(space.names)):
        which = "some of these" if some else "exactly these"
        raise MissingKnobError(
            f"the mode has the knobs {', '.join(mode)}; {device} has {', '.join(space.names)}: give {which}"
        )
    for knob in (knob for knob in space.knobs if knob.name in mode):
        # `index` forgives the last digits of a number that went through a file, and nothing else.
        try:
            knob.index(mode[knob.name])
        except ValueError as error:
            raise UnknownModeError(f"{device}: {error}") from None
