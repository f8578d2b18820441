"""Why a device lacks a knob or a sensor here, as a record; the one place that makes sentences of it.

Code asks a reason what kind it is (`Why`), never what it says. People read `note_of` and `error_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import final

from powertrain.errors import DeviceError, DevicePermissionError

__all__ = ["Reason", "Why", "error_of", "note_of", "refuse_missing"]


class Why(str, Enum):
    """What kind of reason it is; in JSON, its lower-case name."""

    ABSENT = "absent"
    """The hardware, the kernel or the driver does not have it."""
    FORBIDDEN = "forbidden"
    """This process lacks the permission for it; somebody else may have it."""
    BROKEN = "broken"
    """It is there and does not work: it does not answer, or does not keep what it is set to."""
    FIXED = "fixed"
    """It has one value, so there is nothing to choose."""
    UNTRIED = "untried"
    """Whether it works is only found out by trying, and nothing was tried."""


@final
@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why there is no such knob or sensor."""

    what: str
    """The name of the knob, or what the sensor is called in a sentence: `power sensor`."""
    why: Why
    sentence: str
    """What was found: a whole sentence without its capital and its full stop."""
    mend: str = ""
    """What a person can do about it, as an order; empty where nothing helps."""
    consequence: str = ""
    """What the device cannot do for it, where its name does not say: `so profiles have times alone`."""


def note_of(reason: Reason) -> str:
    """Return the sentence that `notes()` has for a reason."""
    consequence = f", {reason.consequence}" if reason.consequence else ""
    return f"No {reason.what}{consequence}: {_told(reason)}."


def error_of(reason: Reason, *, device: str) -> DeviceError:
    """Return the error for somebody who asks for what is missing."""
    kind = DevicePermissionError if reason.why is Why.FORBIDDEN else DeviceError
    return kind(f"{device} has no {reason.what}: {_told(reason)}")


def refuse_missing(
    asked: Iterable[str], missing: Iterable[Reason], *, offered: Mapping[str, object], device: str
) -> None:
    """Refuse the first of some knobs that a device does not offer, with the reason if that is known.

    Args:
        asked: The names of the knobs; those that are neither offered nor missing are left to others.
        missing: What the device lacks.
        offered: The knobs that it has here, from whomever.
        device: Its name, for the message.

    Raises:
        DevicePermissionError: It is missing for want of a permission.
        DeviceError: It is missing for another reason.
    """
    reasons = {reason.what: reason for reason in missing}
    for knob in asked:
        if knob in reasons and knob not in offered:
            raise error_of(reasons[knob], device=device)


def _told(reason: Reason) -> str:
    return f"{reason.sentence}; {reason.mend}" if reason.mend else reason.sentence
