"""What a device needs of somebody who may change it, when its own process may not."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from powertrain.devices._parts import Part, missing_of
from powertrain.devices._reasons import Reason, Why
from powertrain.errors import DeviceError

__all__ = ["AskHelper", "RemotePart", "with_help", "without_help"]


class RemotePart(Part):
    """A part that somebody writes who may, for a process that may not; it reads sensors as well."""

    outlives_process = False
    """What it writes is restored by whoever writes it, from a journal of its own."""
    rails: tuple[str, ...]
    """The rails whose sum is the device's power; none where it has no sensor."""
    sets_together = True
    readable: Sequence[Part]
    """The parts in whose place it is: this process may still read what they are set to."""
    shown: Callable[[], Mapping[str, Any]]
    """Returns what this process can see of the settings, to compare; whoever sets them restores them."""

    @abstractmethod
    def read_w(self) -> Mapping[str, float]:
        """Read the power of each rail now.

        Raises:
            DeviceError: A monitor, or whoever reads it, does not answer.
        """

    @abstractmethod
    def throttle_count(self) -> int:
        """Return how often the device has cut its clocks by itself since it was started."""


AskHelper = Callable[[str], RemotePart | None]
"""Returns who sets a device, named by its key, for this user; None where there is nobody.

Raises `DeviceError` where there is somebody who does not do it, for this user or for this device.
"""


def with_help(
    parts: Sequence[Part], ask: AskHelper | None, *, key: str
) -> tuple[tuple[Part, ...], tuple[Reason, ...], RemotePart | None]:
    """Have somebody else set what this user may not, where there is somebody.

    Args:
        parts: A device's own, in their order.
        ask: Finds who sets the device; None to ask nobody.
        key: What tells the device from all others of this machine.

    Returns:
        The parts, with the remote one in the place of those whose knobs it sets; the reasons for what is
        missing all the same; and the remote part, if there is one.
    """
    missing = missing_of(parts)
    if ask is None or all(reason.why is not Why.FORBIDDEN for reason in missing):
        return tuple(parts), missing, None
    try:
        remote = ask(key)
    except DeviceError as error:
        return tuple(parts), tuple(without_help(reason, error) for reason in missing), None
    if remote is None:
        return tuple(parts), missing, None
    replaced = [part for part in parts if not part.knobs or not part.knobs.keys().isdisjoint(remote.knobs)]
    kept = [part for part in parts if part not in replaced]
    # Only these show something: a part that lacks its hardware has nothing to read either.
    watched = [part for part in replaced if any(reason.what in remote.knobs for reason in part.missing)]
    remote.readable = replaced
    remote.shown = lambda: {part.name: part.save() for part in watched}
    still_missing = tuple(reason for reason in missing if reason.what not in remote.knobs)
    return (*kept, remote), still_missing, remote


def without_help(reason: Reason, error: DeviceError, *, who: str = "the helper") -> Reason:
    """Return the reason of a knob that somebody else would set if that somebody could be used."""
    if reason.why is not Why.FORBIDDEN:
        return reason
    return replace(reason, sentence=f"{reason.sentence}, and {who} cannot be used: {error}", mend="")
