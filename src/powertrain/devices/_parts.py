"""Settings of a device put together from parts, each of which sets some knobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from powertrain.devices._base import check_mode
from powertrain.devices._hold import Settings
from powertrain.records import PowerMode
from powertrain.space import ModeSpace

__all__ = ["Part", "PartedSettings"]


class Part(ABC):
    """What sets some of a device's knobs."""

    name: str
    """Under which its state is kept in the journal."""
    knobs: Mapping[str, tuple[float, ...]]
    """The knobs it sets here and now, with their values; none where it may not."""
    outlives_process: bool
    """Whether what it writes stays after the death of the process."""

    @abstractmethod
    def save(self) -> Any:
        """Return the present state as a JSON value."""

    @abstractmethod
    def write(self, mode: PowerMode) -> None:
        """Set its knobs and read them back; `UnreachableModeError` where they are others."""

    @abstractmethod
    def lost(self, mode: PowerMode) -> str:
        """Return which of its knobs is no longer as it was set and what it shows, empty if none."""

    @abstractmethod
    def put_back(self, saved: Any) -> None:
        """Bring back a state that `save` returned."""

    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Return what works and what is missing and why, one sentence each."""


@final
class PartedSettings(Settings):
    """Writes the parts in their order, and puts them back in the opposite one."""

    def __init__(self, parts: Sequence[Part], *, space: ModeSpace, device: str) -> None:
        """Take the parts that have knobs in the space; software knobs are the training's."""
        self._parts = [part for part in parts if any(knob in space.names for knob in part.knobs)]
        self._space, self._device = space, device
        self.outlives_process = any(part.outlives_process for part in self._parts)

    @override
    def check(self, mode: PowerMode) -> None:
        check_mode(mode, self._space, self._device)

    @override
    def save(self) -> Mapping[str, Any]:
        return {part.name: part.save() for part in self._parts}

    @override
    def write(self, mode: PowerMode) -> None:
        for part in self._parts:
            part.write(mode)

    @override
    def lost(self, mode: PowerMode) -> str:
        return "; ".join(filter(None, (part.lost(mode) for part in self._parts)))

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        failed: list[Exception] = []
        for part in reversed(self._parts):
            if part.name not in saved:
                continue
            try:
                part.put_back(saved[part.name])
            except Exception as error:  # one part that fails must not keep the others from being given back
                failed.append(error)
        if failed:
            raise failed[0]
