"""Measuring a workload on a live device, into a store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice, AbstractLiveDevice
from powertrain.errors import DeviceError
from powertrain.profiling import Procedure, profile_modes
from powertrain.records import ModeTable, PowerMode

__all__ = ["Profiled", "profile"]


@final
@dataclass(frozen=True, kw_only=True)
class Profiled:
    """What a profiling run did."""

    measured: int
    """Modes that were measured now."""
    kept: int
    """Modes that the store had already."""
    flagged: int
    """Of those measured, how many carry a flag and are left out of fits."""
    device_s: float
    """Time that the measuring took on the device's clock [s]."""


def profile(
    device: AbstractDevice,
    workload: str,
    modes: ModeTable,
    store: AbstractStore,
    *,
    procedure: Procedure | None = None,
    again: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Profiled:
    """Measure a workload in some modes and keep each profile at once.

    A run that was stopped, by whatever means, goes on where it was: modes of which the store has an unflagged
    profile are not measured again.

    Args:
        device: A live device; a replay has nothing to measure.
        workload: One of the device's.
        modes: `(n, n_knobs)` modes, measured in their order.
        store: Where profiles go.
        procedure: How each mode is measured; as much as the precision asks for, by default.
        again: Whether to measure what the store has, too, as repeated measurements.
        progress: Told about every mode.

    Raises:
        DeviceError: The device is not live, or lacks a mode.
        UnknownNameError, MissingKnobError: It lacks the workload or a knob.
    """
    if not isinstance(device, AbstractLiveDevice):
        raise DeviceError(
            f"{device.spec} cannot be measured, it holds measurements: bring them in with powertrain import"
        )
    known = set[PowerMode]()
    if not again:
        found = store.profiles(device=device.name, workload=workload)
        known = {seen.mode for seen in found if not seen.flags}
    missing = modes.take(np.array([mode not in known for mode in modes], dtype=bool))
    measured = flagged = 0
    device_s = 0.0
    for done in profile_modes(device, workload, missing, procedure=procedure, progress=progress):
        store.add([done])
        measured += 1
        flagged += bool(done.flags)
        device_s += done.duration_s
    return Profiled(measured=measured, kept=len(modes) - len(missing), flagged=flagged, device_s=device_s)
