"""Settings of a device put together from parts, each of which sets some knobs."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import Any, final

from typing_extensions import override

from powertrain.devices._base import check_mode
from powertrain.devices._clock import Clock
from powertrain.devices._hold import Settings
from powertrain.devices._reasons import Reason, Why, error_of, refuse_missing
from powertrain.errors import (
    DeviceError,
    DevicePermissionError,
    MissingKnobError,
    PowerTrainError,
    UnreachableModeError,
)
from powertrain.records import PowerMode
from powertrain.space import ModeSpace

__all__ = [
    "SETTLE_S",
    "Part",
    "PartedSettings",
    "knobs_of",
    "lasting_parts",
    "missing_of",
    "restore_parts",
    "restore_tried",
    "try_parts",
]

logger = logging.getLogger(__name__)

SETTLE_S = 0.2
"""Between the two times that everything is read back: what undoes a setting at once is seen in between."""


class Part(ABC):
    """What sets some of a device's knobs.

    A part is used in this order: `check`, `save`, `begin`, `prepare`, `write`, `lost` and `save` at any time,
    `put_back`.
    """

    name: str
    """Under which its state is kept in the journal."""
    knobs: Mapping[str, tuple[float, ...]]
    """The knobs that it sets here and now, with their values; none where it may not."""
    missing: tuple[Reason, ...] = ()
    """The knobs that it might set and does not offer here, with the reasons."""
    outlives_process: bool
    """Whether what it writes stays after the death of the process."""
    comes_first: bool = False
    """Whether it has to be written before the other parts can show their whole state.

    A processor that is off line, for example, has no clock to be saved.
    """

    sets_together: bool = False
    """Whether all of its knobs have to be set at once."""

    def check(self, mode: PowerMode) -> None:
        """Refuse a mode that its knobs' values do not make together; most parts take any."""
        del mode

    def in_force(self) -> Mapping[str, tuple[float, float]]:
        """Return the least and the greatest value that each knob is set to now, as far as can be read."""
        return {}

    @abstractmethod
    def save(self) -> Mapping[str, Any]:
        """Return the present state as JSON values, by names that stay the same.

        Anybody may ask at any time, also while a mode is held.
        """

    def begin(self) -> None:
        """Note that what was just saved is what the next `put_back` brings back."""
        return

    def prepare(self) -> None:
        """Bring into view what is about to be set, by settings that `save` returns at any time.

        A GPU without power shows no clocks, so `save` can miss some before this.
        """
        return

    def changes(self, mode: PowerMode) -> Iterable[str]:
        """Return the names, as in `save`, of what `write` changes and what may not show its present value."""
        del mode
        return ()

    @abstractmethod
    def write(self, mode: PowerMode) -> None:
        """Set its knobs and read them back; `UnreachableModeError` where they are others.

        A mode may lack some of the knobs, but not all; those stay as they are.
        """

    @abstractmethod
    def lost(self, mode: PowerMode) -> str:
        """Return which of its knobs is no longer as it was set and what it shows, empty if none."""

    def capped(self, mode: PowerMode) -> str:
        """Return which of its clocks runs below what was set, for the firmware or a limit; empty if none.

        A clock that rests because nothing is to be done is not capped.
        """
        del mode
        return ""

    @abstractmethod
    def put_back(self, saved: Any) -> None:
        """Bring back a state that `save` returned."""

    def differences(self, saved: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what shows another value after `put_back` than was asked for, one sentence each."""
        del saved
        return ()

    def reserved(self) -> AbstractContextManager[None]:
        """Keep others from its settings while the context lasts, where the journal's lock does not."""
        return nullcontext()

    def try_out(self) -> None:
        """Set the least value of each knob for a moment, to see whether it can be set.

        The least, since no limit of heat or power keeps it from being reached.

        Raises:
            DeviceError: It is refused, or shows another value.
        """
        saved = self.save()
        try:
            self.prepare()
            self.write(PowerMode({knob: min(values) for knob, values in self.knobs.items()}))
        finally:
            self.put_back(saved)

    @final
    def withdraw(self, why: Why, sentence: str) -> None:
        """Offer its knobs no longer, for a reason that was found out since it was made."""
        found = tuple(Reason(what=knob, why=why, sentence=sentence) for knob in self.knobs)
        self.knobs, self.missing = {}, (*self.missing, *found)

    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Return how its knobs are set, one sentence each; what is missing is told elsewhere."""


@final
class PartedSettings(Settings):
    """Writes the parts in their order, and restores them in the opposite one.

    Whatever a part does, these hold: nothing is written before its state was saved and kept; all parts are
    read back after the last was written, twice; every part is restored, also after another one refused.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        space: ModeSpace,
        device: str,
        clock: Clock,
        missing: Sequence[Reason] = (),
    ) -> None:
        """Take the parts of a device.

        Args:
            parts: In the order in which they are written. Those without knobs are restored and never set: a
                journal may have a state of theirs, from a process that was allowed more.
            space: The device's; its software knobs are the training's.
            device: Its name, for messages.
            clock: Lets settings settle.
            missing: Knobs that the device might have and does not offer, with the reasons.
        """
        self._all = list(parts)
        self._set = [part for part in parts if part.knobs]
        self._space, self._device, self._clock, self._missing = space, device, clock, missing
        self._saved: dict[str, dict[str, Any]] = {}
        self._keep: Callable[[Mapping[str, Any]], None] | None = None
        self.outlives_process = any(part.outlives_process for part in self._set)

    @override
    def kept_by(self, keep: Callable[[Mapping[str, Any]], None]) -> None:
        self._keep = keep

    @override
    def check(self, mode: PowerMode) -> None:
        offered = {knob.name: knob for knob in self._space.knobs}
        refuse_missing(mode, self._missing, offered=offered, device=self._device)
        check_mode(mode, self._space, self._device)
        for part in self._set:
            part.check(mode)

    @override
    def check_some(self, mode: PowerMode) -> None:
        offered = {knob.name: knob for knob in self._space.knobs}
        refuse_missing(mode, self._missing, offered=offered, device=self._device)
        check_mode(mode, self._space, self._device, some=True)
        for part in self._concerned(mode):
            lacking = [name for name in part.knobs if name not in mode]
            if part.sets_together and lacking:
                raise MissingKnobError(
                    f"{part.name} sets {', '.join(part.knobs)} together: give {' and '.join(lacking)} as well"
                )
            part.check(mode)

    @override
    def in_force(self) -> Mapping[str, tuple[float, float]]:
        found: dict[str, tuple[float, float]] = {}
        for part in self._all:
            with suppress(DeviceError, OSError):  # one part that does not answer takes no other with it
                found |= part.in_force()
        return found

    @override
    def save(self) -> Mapping[str, Any]:
        self._saved = self.shown()
        for part in self._set:
            part.begin()
        return self._saved

    @override
    def shown(self) -> dict[str, dict[str, Any]]:
        return {part.name: dict(part.save()) for part in self._set}

    @override
    def write(self, mode: PowerMode) -> None:
        concerned = self._concerned(mode)
        first = [part for part in concerned if part.comes_first]
        others = [part for part in concerned if not part.comes_first]
        # Processors on line, then the GPU's power: only then do their clocks show what is to be restored.
        for part in first:
            part.write(mode)
        for part in others:
            part.prepare()
        self._keep_what_came_into_view(others)
        self._refuse_unsaved(others, mode)
        for part in others:
            part.write(mode)
        self._read_back(mode)
        if self.outlives_process:  # nobody else sets what belongs to this process alone
            self._clock.sleep_s(SETTLE_S)
            self._read_back(mode)

    @override
    def lost(self, mode: PowerMode) -> str:
        return "; ".join(filter(None, (part.lost(mode) for part in self._concerned(mode))))

    @override
    def capped(self, mode: PowerMode) -> str:
        return "; ".join(filter(None, (part.capped(mode) for part in self._concerned(mode))))

    @override
    def put_back(self, saved: Mapping[str, Any]) -> None:
        restore_parts(self._all, saved)

    @override
    @contextmanager
    def reserved(self) -> Generator[None]:
        with ExitStack() as stack:
            for part in self._set:
                stack.enter_context(part.reserved())
            yield

    def _concerned(self, mode: PowerMode) -> list[Part]:
        """Return the parts of which a mode names a knob."""
        return [part for part in self._set if not part.knobs.keys().isdisjoint(mode)]

    def _read_back(self, mode: PowerMode) -> None:
        if lost := self.lost(mode):
            raise UnreachableModeError(
                f"{lost}: something else sets it, such as nvpmodel or another service of this machine"
            )

    def _keep_what_came_into_view(self, parts: Iterable[Part]) -> None:
        """Add state that did not show before to what was saved, before any of it is changed."""
        came = False
        for part in parts:
            before = self._saved[part.name]
            new = {name: value for name, value in part.save().items() if name not in before}
            came = came or bool(new)
            before |= new
        if came and self._keep is not None:
            self._keep(self._saved)

    def _refuse_unsaved(self, parts: Iterable[Part], mode: PowerMode) -> None:
        """Refuse to change what nobody could restore."""
        for part in parts:
            saved = self._saved[part.name]
            if lacking := [name for name in part.changes(mode) if name not in saved]:
                raise UnreachableModeError(
                    f"{lacking[0]} does not tell what it is set to, so it is not changed: nobody could "
                    "restore it"
                )


def restore_parts(parts: Sequence[Part], saved: Mapping[str, Any]) -> None:
    """Restore what parts saved, the last first; a part that fails does not keep the others from it.

    Raises:
        DeviceError: A part failed; the first that did, and the others are logged.
    """
    failed: list[PowerTrainError | OSError] = []
    for part in reversed(parts):
        if part.name not in saved:
            continue
        try:
            part.put_back(saved[part.name])
            differences = part.differences(saved[part.name])
        except (PowerTrainError, OSError) as error:
            failed.append(error)
        except (
            Exception
        ) as error:  # the boundary between parts: whatever one of them does, all get their turn
            told = f"{type(error).__name__}: {error}"
            failed.append(DeviceError(f"{part.name} could not be restored ({told})"))
        else:
            for difference in differences:
                logger.info("%s", difference)
    for error in failed[1:]:
        logger.error("this was not restored either: %s", error)
    if failed:
        raise failed[0]


def restore_tried(parts: Sequence[Part], saved: Mapping[str, Any]) -> None:
    """Restore parts that were only tried out: one that refuses to be set was not changed, and is no failure.

    Raises:
        DeviceError: A part failed, and shows another state than before.
    """
    try:
        restore_parts(parts, saved)
    except DeviceError:
        if any(part.save() != saved.get(part.name) for part in parts):
            raise


def try_parts(parts: Iterable[Part]) -> None:
    """Have each part try itself out; one whose settings are refused offers no knobs any more.

    Whoever calls this holds the device, so that what is interrupted is restored.
    """
    for part in [part for part in parts if part.knobs]:
        try:
            part.try_out()
        except DeviceError as error:
            why = Why.FORBIDDEN if isinstance(error, DevicePermissionError) else Why.BROKEN
            part.withdraw(why, f"it can be read and not set: {error}")


def knobs_of(parts: Iterable[Part]) -> dict[str, tuple[float, ...]]:
    """Return the knobs of some parts with their values, in the order of the parts."""
    return {name: values for part in parts for name, values in part.knobs.items()}


def missing_of(parts: Iterable[Part]) -> tuple[Reason, ...]:
    """Return what some parts do not offer, with the reasons; another of them may offer it."""
    return tuple(dict.fromkeys(reason for part in parts for reason in part.missing))


def lasting_parts(parts: Iterable[Part], *, device: str) -> tuple[Part, ...]:
    """Return the parts whose settings concern more than this process: what can be held for another one.

    Raises:
        DeviceError: None of them has a knob; the message says why the first does not.
    """
    lasting = tuple(part for part in parts if part.outlives_process)
    if knobs_of(lasting):
        return lasting
    reason = next(iter(missing_of(lasting)), None)
    if reason is not None:
        raise error_of(reason, device=device)
    raise DeviceError(f"{device} has no knob that one process could hold for another: open it there")
