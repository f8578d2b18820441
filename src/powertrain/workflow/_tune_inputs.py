"""What a tuning needs before its first trial: a sensor, references that fit, and the modes to search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from powertrain.devices import AbstractLiveDevice
from powertrain.errors import DeviceError, LargeSpaceError, MissingKnobError
from powertrain.models import AbstractPredictor, load_references
from powertrain.quantities import POWER
from powertrain.records import ModeTable
from powertrain.space import ModeSpace
from powertrain.tuning import FRONT, Goal

__all__ = ["check_sensor", "references_of", "searchable"]

LISTED = 100_000
"""Modes up to which a device is asked which of its grid exist."""


def check_sensor(device: AbstractLiveDevice, goal: Goal) -> None:
    """Refuse a goal that needs the power of a device that cannot tell it.

    Raises:
        DeviceError: It is one.
    """
    if device.rails:
        return
    asked = {f"a limit on the {q.title}": q for q in goal.limits.by_quantity()}
    asked[f"the objective {goal.objective}"] = POWER if goal.objective == FRONT else goal.quantity
    if math.isfinite(goal.hard_limit_w):
        asked["a hard limit"] = POWER
    for what, quantity in asked.items():
        if POWER.name in quantity.needs:
            raise DeviceError(
                f"{device.name} has no power sensor, and {what} needs one: leave it out, or see what "
                f"powertrain devices {device.spec} says is missing"
            )


def references_of(
    given: Sequence[str | Path | AbstractPredictor], device: AbstractLiveDevice
) -> tuple[AbstractPredictor, ...]:
    """Read the references that are files.

    Raises:
        CheckpointError: One cannot be read.
        MissingKnobError: One has other knobs than the device.
    """
    read: list[AbstractPredictor] = []
    for one in given:
        read += [one] if isinstance(one, AbstractPredictor) else load_references(Path(one))
    for one in read:
        if set(one.knobs) != set(device.space.names):
            raise MissingKnobError(
                f"the reference {one.workload} has the knobs {', '.join(one.knobs)}, and {device.name} has "
                f"{', '.join(device.space.names)}: leave it out"
            )
    return tuple(read)


def searchable(device: AbstractLiveDevice) -> ModeSpace | ModeTable:
    """Return the modes to search: the grid, unless it is small and the device lacks some of it."""
    if device.space.size > LISTED:
        return device.space
    try:
        modes = device.modes()
    except LargeSpaceError:
        return device.space
    return device.space if len(modes) == device.space.size else modes
