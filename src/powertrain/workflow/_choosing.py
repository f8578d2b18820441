"""Choosing straight from measurements: predicted if there are enough, otherwise the best measured."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from powertrain import opening, optimisation
from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice
from powertrain.errors import PowerTrainError, TooFewProfilesError, UnknownNameError
from powertrain.models import AbstractPredictor
from powertrain.optimisation import Objective
from powertrain.records import Choice, ModeTable, Prediction, Profile, ProfileTable
from powertrain.virtual import BOARDS
from powertrain.wording import counted
from powertrain.workflow._flags import Flagged, flagged_modes
from powertrain.workflow._joins import check_knobs, is_searched, open_device, refuse_other_device, transfer

__all__ = [
    "MEASURED",
    "Candidates",
    "StoredWorkload",
    "candidates",
    "choose_measured",
    "device_named",
    "stored_workload",
]

MEASURED = "measured"
"""Stands where a method's name would, when nothing is predicted."""


def choose_measured(
    profiles: ProfileTable,
    *,
    objective: Objective = "time",
    max_power_w: float = math.inf,
    max_time_ms: float = math.inf,
    max_energy_j: float = math.inf,
    risk: float = 0.05,
) -> Choice:
    """Choose the best of one or more measured modes, without predicting anything.

    A limit is kept when the measured mean keeps it with probability `1 - risk`, by its standard error where
    that is known. The rest is as for `choose`.

    Raises:
        NoFeasibleModeError: No measured mode keeps the limits; the message names the nearest.
        DataError: Objective or limits need a quantity that was not measured.
    """
    table = profiles.averaged()
    return optimisation.choose(
        Prediction.measured(table),
        table.modes,
        objective=objective,
        max_power_w=max_power_w,
        max_time_ms=max_time_ms,
        max_energy_j=max_energy_j,
        risk=risk,
    )


logger = logging.getLogger(__name__)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Modes to choose from, with what is predicted or was measured of each."""

    device: str
    workload: str
    method: str
    """That of the predictor, or `MEASURED`."""
    modes: ModeTable
    prediction: Prediction
    basis: str
    """One sentence: what the numbers come from."""


def candidates(
    profiles: ProfileTable,
    modes: ModeTable | Callable[[AbstractPredictor], ModeTable],
    *,
    references: Sequence[AbstractPredictor] = (),
    method: str = "gp",
    seed: int = 0,
) -> Candidates:
    """Predict `modes` from profiles where there are enough of them; else give the measured modes.

    If all of `modes` were measured there is nothing to predict, and the measurements are taken.

    Args:
        profiles: Of one workload on one device.
        modes: `(n, n_knobs)` modes to choose from, with the knobs of the profiles; or what finds those that
            are worth it, given the predictor.
        references: Predictors of other workloads or devices, of the same method.
        method: How to predict.
        seed: Of the method.
    """
    table = profiles.averaged()
    if isinstance(modes, ModeTable) and _all_measured(table, modes):
        return _measured(table, f"All of {counted(len(modes), 'mode')} were measured: nothing is predicted.")
    try:
        predictor = transfer(references, table, method=method, seed=seed)
    except TooFewProfilesError as error:
        return _measured(table, f"Nothing is predicted, only measured modes are chosen from: {error}.")
    modes = modes if isinstance(modes, ModeTable) else modes(predictor)
    lent = f" and {counted(len(references), 'reference')}" if references else ""
    return Candidates(
        device=table.device,
        workload=table.workload,
        method=predictor.method,
        modes=modes,
        prediction=predictor.predict(modes),
        basis=f"Predicted by {predictor.method} from {counted(len(table), 'profile')}{lent}.",
    )


def _measured(table: ProfileTable, basis: str) -> Candidates:
    return Candidates(
        device=table.device,
        workload=table.workload,
        method=MEASURED,
        modes=table.modes,
        prediction=Prediction.measured(table),
        basis=basis,
    )


def _all_measured(table: ProfileTable, modes: ModeTable) -> bool:
    """Tell whether every mode was measured, and nothing that was measured lacks in one of them."""
    whole = np.all([np.isfinite(table.columns[q.column]) for q in table.measured], axis=0)
    known = {tuple(row) for row in table.modes.values[whole].tolist()}
    return all(tuple(row) in known for row in modes.select(table.modes.knobs).tolist())


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoredWorkload:
    """The profiles of one workload in a store, and the modes of its device."""

    profiles: ProfileTable
    modes: ModeTable | None
    """All modes of the device if it can be opened here, else those in which it was ever profiled.

    None where it has so many that the best one is searched for.
    """
    device: AbstractDevice | None
    """None where it cannot be opened here."""
    flagged: Flagged
    """Which modes are left out because of flags."""


def stored_workload(
    store: AbstractStore, workload: str, *, device: str | None = None, other_device: bool = False
) -> StoredWorkload:
    """Return the unflagged profiles of a workload, and the modes to choose from.

    Args:
        store: Where the profiles are.
        workload: One of the store's.
        device: The name of its device in the store, or what opens it; needed where there are several.
        other_device: Whether `device` may be another one than that of the profiles.

    Raises:
        UnknownNameError: The store has no such workload, or there is no such device.
        DeviceError: The profiles are of another device.
        MissingKnobError: The device that was asked for has other knobs than the profiles.
    """
    names = sorted({d for d, w in store.counts() if w == workload})
    if device is None or device in names or not names:
        profiles = store.table(workload=workload, device=device)
        board = device_named(profiles.device)
        if board is not None and set(board.space.names) != set(profiles.modes.knobs):
            board = None  # opened without the options that it was profiled with
    else:
        board = _opened(device, names)
        known = board.name in names
        profiles = store.table(workload=workload, device=board.name if known else None)
        if not other_device:
            refuse_other_device(board, profiles.device, "the profiles are")
        check_knobs(board, profiles.modes.knobs)
    every = store.profiles(device=profiles.device, workload=profiles.workload)
    _remark_on_worth(every)
    if board is None:
        modes = _profiled_modes(store, profiles)
    else:
        modes = None if is_searched(board) else board.modes()
    return StoredWorkload(profiles=profiles, modes=modes, device=board, flagged=flagged_modes(every))


def _opened(spec: str, names: Sequence[str]) -> AbstractDevice:
    """Open a device; one that is unknown may be a misspelt name of the store's."""
    try:
        return open_device(spec)
    except UnknownNameError as error:
        own = UnknownNameError.of("device", spec, names)
        raise (own if own.nearest else error) from None


def _remark_on_worth(found: Sequence[Profile]) -> None:
    """Say so where profiles show nothing of the board that they are named after."""
    for profile in found:
        if worth := profile.extra.get("worth"):
            logger.warning("the profiles of %s on %s are of %s", profile.workload, profile.device, worth)
            return


def _profiled_modes(store: AbstractStore, profiles: ProfileTable) -> ModeTable:
    """Return the modes in which a device was profiled, for any workload: those that it has for certain."""
    knobs = profiles.modes.knobs
    found = (mode for mode in store.modes_of(profiles.device) if set(mode) == set(knobs))
    return ModeTable.of(found, knobs)


def device_named(name: str) -> AbstractDevice | None:
    """Return the device of this machine, or the simulated board, of that name; None if there is none."""
    for spec in (*opening.found_here(), *BOARDS):
        try:
            if open_device(spec, probe=False).name == name:
                return open_device(spec)
        except PowerTrainError:
            continue  # it is listed by `powertrain devices`, with what is wrong
    return None
