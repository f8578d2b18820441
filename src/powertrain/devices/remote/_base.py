"""What a device needs of somebody who may change it, when its own process may not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from powertrain.devices._hold import Settings

__all__ = ["RemoteSettings"]


class RemoteSettings(Settings):
    """Settings that somebody writes who may, for a process that may not; he reads sensors as well."""

    name: str
    """Who it is."""
    knobs: Mapping[str, tuple[float, ...]]
    """The knobs that are set for us, with their values, in the order of a Jetson's space."""
    rails: tuple[str, ...]
    """The rails whose sum is the board's power; none where it has no sensor."""

    shown: Callable[[], Mapping[str, Any]]
    """Returns what this process can see of the settings, to compare; they are given back by who sets them."""

    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Return who sets them, one sentence each."""

    @abstractmethod
    def read_w(self) -> Mapping[str, float]:
        """Read the power of each rail now.

        Raises:
            DeviceError: A monitor, or he, does not answer.
        """

    @abstractmethod
    def throttle_count(self) -> int:
        """Return how often the board has cut its clocks by itself since it was started."""
