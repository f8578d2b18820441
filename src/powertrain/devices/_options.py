"""Options of a device's spec: `cpu?batch_size=8,16&precision=fp32,bf16`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

from powertrain.devices._reasons import Reason, refuse_missing
from powertrain.errors import UnknownModeError, UnknownNameError
from powertrain.space import KNOWN_KNOBS, SOFTWARE_KNOBS, Knob, ModeSpace

__all__ = ["PRECISIONS", "SOFTWARE_NOTE", "KnobOptions"]

WITHOUT = "without"
"""An option that leaves knobs out, which then stay as they are: `without=cpu_mhz`."""
PRECISIONS: Mapping[str, float] = {"fp32": 32.0, "tf32": 19.0, "bf16": 16.0, "fp16": 15.0}

SOFTWARE_NOTE = (
    "Knobs of the training itself are added as in "
    "{spec}?batch_size=8,16&loader_workers=0,1,2&precision=fp32,bf16 "
    "(or compile=0,1)."
)
"""What a device that runs trainings says of the knobs that are not hardware."""


@final
class KnobOptions:
    """Values of knobs, as the options of a spec name them."""

    def __init__(self, text: str) -> None:
        """Read what follows the question mark; it may be empty.

        Raises:
            UnknownModeError: It is not `KNOB=VALUE,VALUE` with `&` between knobs.
        """
        self.text = text
        self._values: dict[str, tuple[float, ...]] = {}
        self._without: tuple[str, ...] = ()
        for part in text.split("&") if text else ():
            knob, mark, values = part.partition("=")
            if not mark or not values:
                raise UnknownModeError(f"{part!r} is not KNOB=VALUE,VALUE as in batch_size=8,16")
            if knob == WITHOUT:
                self._without = tuple(values.split(","))
                continue
            self._values[knob] = tuple(_value(knob, value) for value in values.split(","))

    def only_value(self, knob: str) -> float | None:
        """Return the one value that the options leave of a knob; None where they leave more, or any."""
        values = self._values.get(knob, ())
        return values[0] if len(values) == 1 else None

    def values_of(self, knob: str) -> tuple[float, ...]:
        """Return the values that the options name for a knob; none where they name none."""
        return self._values.get(knob, ())

    def space(
        self, hardware: Mapping[str, tuple[float, ...]], *, device: str, missing: Sequence[Reason] = ()
    ) -> ModeSpace:
        """Return the space of hardware knobs, narrowed, and of the software knobs that were asked for.

        Args:
            hardware: The knobs of the device with their values.
            device: Its spec, for messages.
            missing: Knobs that it might have and does not offer, with the reasons.

        Raises:
            UnknownNameError: A knob is neither.
            DevicePermissionError: A knob is missing for want of a permission.
            DeviceError: A knob is missing for another reason.
            UnknownModeError: A value is none of the hardware knob's.
        """
        refuse_missing(self._values, missing, offered=hardware, device=device)
        # Hardware comes first, in the device's order; the training's own knobs follow as they were asked for.
        for name in self._without:
            if name not in hardware and all(reason.what != name for reason in missing):
                raise UnknownNameError.of(f"knob of {device}", name, hardware)
        kept = {name: values for name, values in hardware.items() if name not in self._without}
        knobs = {name: Knob(name=name, values=values) for name, values in kept.items()}
        for name, values in self._values.items():
            if name in knobs:
                knobs[name] = Knob(name=name, values=_taken(knobs[name], values, device))
            elif name in SOFTWARE_KNOBS:
                knobs[name] = Knob(name=name, values=values)
            else:
                raise UnknownNameError.of(f"knob of {device}", name, (*hardware, *SOFTWARE_KNOBS))
        return ModeSpace(tuple(knobs.values()))


def _value(knob: str, text: str) -> float:
    if knob == "precision" and text in PRECISIONS:
        return PRECISIONS[text]
    try:
        value = float(text)
    except ValueError:
        raise UnknownModeError(f"{knob}={text}: give a number{_names(knob)}") from None
    # Hardware's values are checked against its tables; these knobs have none.
    known = KNOWN_KNOBS[knob] if knob in SOFTWARE_KNOBS else None
    if known is not None and (value < known.least or not value.is_integer()):
        raise UnknownModeError(
            f"{knob}={text}: give a whole number of at least {known.least:.0f}{_names(knob)}"
        )
    if knob == "precision" and value not in PRECISIONS.values():
        raise UnknownModeError(f"{knob}={text}: there are {', '.join(PRECISIONS)}")
    if known is not None and value > known.most:
        raise UnknownModeError(f"{knob}={text}: give {known.least:.0f} or {known.most:.0f}")
    return value


def _names(knob: str) -> str:
    return f" or {', '.join(PRECISIONS)}" if knob == "precision" else ""


def _taken(knob: Knob, values: tuple[float, ...], device: str) -> tuple[float, ...]:
    try:
        return tuple(knob.values[knob.index(value)] for value in values)
    except ValueError as error:
        raise UnknownModeError(f"{device}: {error}") from None
