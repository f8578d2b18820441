"""A Jetson's settings: its parts in a safe order, read back twice, and given back in the opposite order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

from typing_extensions import override

from powertrain.devices._base import check_mode
from powertrain.devices._clock import Clock
from powertrain.devices._hold import Settings
from powertrain.devices._parts import Part
from powertrain.devices.jetson._part import JetsonPart, refusal
from powertrain.errors import DeviceError, UnreachableModeError
from powertrain.records import PowerMode
from powertrain.space import ModeSpace

__all__ = ["SETTLE_S", "JetsonSettings", "give_back"]

logger = logging.getLogger(__name__)

SETTLE_S = 0.2
"""Between the two times that everything is read back: what undoes a setting at once is seen in between."""


@final
class JetsonSettings(Settings):
    """Writes the parts in their order; each is there to be read back, also after all the others."""

    def __init__(
        self,
        switch: Part,
        clocks: Sequence[JetsonPart],
        *,
        missing: Mapping[str, str],
        space: ModeSpace,
        device: str,
        clock: Clock,
        keep: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Take the parts of a board.

        Args:
            switch: What makes processors work; it is first, and given back last.
            clocks: What follows, in order; those without knobs are given back and not set.
            missing: Knobs that the board might have and that are not offered, with why.
            space: The device's.
            device: Its name.
            clock: Lets settings settle.
            keep: Keeps the state that is to be given back anew, once more of it has come into view.
        """
        self._all: list[Part] = [switch, *clocks]
        self._switch, self._clocks = switch, [part for part in clocks if part.knobs]
        self._parts: list[Part] = [switch, *self._clocks]
        self._missing = missing
        self._space, self._device, self._clock, self._keep = space, device, clock, keep
        self._saved: dict[str, Any] = {}
        self.outlives_process = any(part.outlives_process for part in self._parts)

    @override
    def check(self, mode: PowerMode) -> None:
        for knob in mode:
            if knob in self._missing and knob not in self._space.names:
                raise refusal(knob, self._missing[knob], device=self._device)
        check_mode(mode, self._space, self._device)

    @override
    def save(self) -> Mapping[str, Any]:
        self._saved = {part.name: part.save() for part in self._parts}
        return self._saved

    @override
    def write(self, mode: PowerMode) -> None:
        # Processors first, then the GPU's power: only then do their clocks show what is to be given back.
        self._switch.write(mode)
        for part in self._clocks:
            part.prepare()
        self._note_what_came_into_view()
        self._refuse_unsaved(mode)
        for part in self._clocks:
            part.write(mode)
        self._check_all(mode)
        self._clock.sleep_s(SETTLE_S)
        self._check_all(mode)

    @override
    def lost(self, mode: PowerMode) -> str:
        return "; ".join(filter(None, (part.lost(mode) for part in self._parts)))

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        give_back(self._all, saved)

    def _check_all(self, mode: PowerMode) -> None:
        if lost := self.lost(mode):
            raise UnreachableModeError(
                f"{lost}: something else sets it, nvpmodel or a service of the board's"
            )

    def _note_what_came_into_view(self) -> None:
        """Add state that did not show before to what was saved, before any of it is changed."""
        came = False
        for part in self._clocks:
            before = self._saved[part.name]
            new = {path: text for path, text in part.save().items() if path not in before}
            came = came or bool(new)
            before |= new
        if came:
            self._keep(self._saved)

    def _refuse_unsaved(self, mode: PowerMode) -> None:
        """Refuse to change what could not be given back."""
        for part in self._clocks:
            saved = self._saved[part.name]
            if lacking := [path for path in part.changes(mode) if path not in saved]:
                raise UnreachableModeError(
                    f"{lacking[0]} does not tell what it is set to, so it is not changed: nobody could give "
                    "it back"
                )


def give_back(parts: Sequence[Part], saved: Mapping[str, Any]) -> None:
    """Bring back what parts saved, the last first; a part that fails does not keep the others.

    Raises:
        DeviceError: A part failed.
    """
    failed: list[DeviceError] = []
    for part in reversed(parts):
        if part.name not in saved:
            continue
        try:
            part.put_back(saved[part.name])
        except DeviceError as error:
            failed.append(error)
        else:
            _report(part, saved[part.name])
    if failed:
        raise failed[0]


def _report(part: Part, saved: Any) -> None:
    """Tell what shows another value than before: a limit that heat narrows, or a service that was quicker."""
    shown = part.save()
    if not (isinstance(saved, Mapping) and isinstance(shown, Mapping)):
        return
    for path, text in saved.items():  # pyright: ignore[reportUnknownVariableType]
        if path in shown and shown[path] != text:
            logger.info("%s was given back as %s and shows %s", path, text, shown[path])  # pyright: ignore[reportUnknownArgumentType]
