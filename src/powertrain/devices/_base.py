"""The contract of every device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import final

from powertrain.devices._clock import Clock
from powertrain.errors import MissingKnobError, UnknownNameError
from powertrain.records import ModeTable, PowerMode, ProfileTable
from powertrain.space import ModeSpace

__all__ = ["SIMULATED_SUFFIX", "AbstractDevice", "AbstractLiveDevice", "Job", "PowerReading", "is_simulated"]

SIMULATED_SUFFIX = " (simulated)"
"""Ends the name of every simulated device, so that no record made on one passes for a measurement."""


def is_simulated(device_name: str) -> bool:
    """Tell whether profiles under this device name came from a simulator, also when replayed from a file."""
    return device_name.endswith(SIMULATED_SUFFIX)


class AbstractDevice(ABC):
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
    space: ModeSpace
    """The smallest grid that holds all its modes."""

    @abstractmethod
    def modes(self, *, workload: str | None = None) -> ModeTable:
        """Return all modes that exist, `(n_modes, n_knobs)`, distinct, columns in the order of `space`.

        With a workload, only those in which it can be measured (a replay lacks the others). An unknown
        workload raises `UnknownNameError`.
        """

    @abstractmethod
    def workloads(self) -> tuple[str, ...]:
        """Return the names of what can be measured here."""

    @abstractmethod
    def stock_modes(self) -> dict[str, PowerMode]:
        """Return the modes that the vendor ships, by the vendor's name; empty where there are none."""

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
        if set(modes.knobs) != set(own) or len(modes.knobs) != len(own):
            raise MissingKnobError(
                f"the modes have the knobs {', '.join(modes.knobs) or 'none'}; "
                f"{self.name} has {', '.join(own)}: give exactly these"
            )
        return ModeTable(knobs=own, values=modes.select(own))


@final
@dataclass(frozen=True, kw_only=True)
class PowerReading:
    """What the power sensors showed at one moment."""

    time_s: float
    """On the device's clock."""
    rails_w: Mapping[str, float]
    """By the board's own labels."""
    power_w: float
    """Of the whole board, by its rule: one rail is the total, or the total is a sum."""


class Job(ABC):
    """A training that goes on minibatch by minibatch."""

    workload: str

    @abstractmethod
    def step(self) -> None:
        """Train on one minibatch; return when the device has finished it."""


class AbstractLiveDevice(AbstractDevice):
    """A device that can be put into a mode and read while it works: hardware, or a faithful stand-in."""

    clock: Clock
    """What tells how long something took here."""

    @abstractmethod
    def hold(self, mode: PowerMode) -> AbstractContextManager[None]:
        """Put the device into a mode while the context lasts; the state before comes back on every way out.

        Raises:
            DeviceError: The device does not have the mode, or a mode is being held already.
        """

    @abstractmethod
    def read_power(self) -> PowerReading:
        """Read the power sensors now."""

    @abstractmethod
    def job(self, workload: str) -> Job:
        """Get a workload ready to be trained here; an unknown one raises `UnknownNameError`."""

    @abstractmethod
    def throttle_count(self) -> int:
        """Return how often the device has cut its clocks by itself since it was started."""

    @abstractmethod
    def temperature_c(self) -> float:
        """Return the temperature of the chip [degrees C]."""
