"""The layers joined: from profiles to predictors to a choice."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, final, overload

import numpy as np

from powertrain import opening, optimisation
from powertrain.dataset import AbstractStore, CsvFile, read_csv, write_csv
from powertrain.devices import AbstractDevice
from powertrain.errors import DeviceError, LargeSpaceError, MissingKnobError, UnknownNameError
from powertrain.models import AbstractPredictor, predictor_class
from powertrain.optimisation import Cost, Objective
from powertrain.planning import Sampling, plan_modes, plan_space
from powertrain.records import (
    Choice,
    Limits,
    ManyProfiles,
    ModeTable,
    Prediction,
    Profile,
    ProfileTable,
    Shown,
    View,
    new_frame,
    rows_view,
)
from powertrain.space import ModeSpace
from powertrain.workflow._rows import PredictedMode, predicted_modes, shown_quantities

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Front",
    "Imported",
    "add_new",
    "check_knobs",
    "choose",
    "device_in",
    "device_name",
    "export_csv",
    "fit",
    "front",
    "import_csv",
    "is_searched",
    "modes_of_device",
    "modes_to_choose_from",
    "open_device",
    "plan",
    "read_tables",
    "refuse_other_device",
    "stored_columns",
    "stored_profiles",
    "transfer",
]

MOST_PREDICTED = 500_000
"""Modes of a device up to which all are predicted to choose from; more would take seconds and a gigabyte."""
logger = logging.getLogger(__name__)

NO_HARDWARE = ("sim:", "emulated:", "replay:")
"""How the specs of devices begin that can be opened anywhere."""
HARDWARE = ("auto", "cpu", "nvml", "jetson")


def open_device(spec: str, *, probe: bool = True) -> AbstractDevice:
    """Open a device by its spec, such as `"sim:orin-agx"` or `"replay:FILE.csv"`.

    Without `probe` nothing of a Jetson is tried, so that its memory clock may be missing.
    """

    def read(path: Path) -> Iterable[ProfileTable]:
        if not path.exists():
            raise UnknownNameError(f"there is no file {path}: give replay:FILE.csv, a file of profiles")
        return _read(path).tables().values()

    return opening.open_device(spec, read_tables=read, probe=probe)


def device_name(text: str, known: Iterable[str], *, kind: str = "device") -> str:
    """Return the one of the `known` names of devices that a person means by a name or a spec.

    The spec of a device that is no hardware (a simulated or emulated board, a replay) stands for its name.

    Raises:
        UnknownNameError: It is none of them; the message lists the nearest.
    """
    names = set(known)
    if text in names:
        return text
    if text.startswith(NO_HARDWARE):
        found = open_device(text).name
        if found in names:
            return found
        raise UnknownNameError(f"{text} is {found!r}, and no profiles are of it: {_listed(names)}")
    if text.partition("?")[0].partition(":")[0] in HARDWARE:
        raise UnknownNameError(
            f"{text!r} is the spec of a device, and its name was asked, as profiles have it: {_listed(names)}"
        )
    raise UnknownNameError.of(kind, text, names)


def _listed(names: Iterable[str]) -> str:
    return f"there are {', '.join(map(repr, sorted(names))) or 'none'}"


def device_in(store: AbstractStore, text: str | None) -> str | None:
    """Return the name that a store has for a device given by name or spec; None for None."""
    return None if text is None else device_name(text, (device for device, _ in store.counts()))


def plan(
    device: AbstractDevice,
    n: int,
    *,
    workload: str | None = None,
    sampling: Sampling = "spread",
    seed: int = 0,
    references: Sequence[AbstractPredictor] = (),
) -> ModeTable:
    """Choose `n` modes of a device to profile, in the order to measure them; see `plan_modes`.

    With a workload, only modes in which it can be measured there. A space that is too large to list is
    planned without listing it. Of the references, those of the same device tell where to look.
    """
    own = [reference for reference in references if reference.device == device.name]
    try:
        modes = device.modes(workload=workload)
    except LargeSpaceError:
        return plan_space(device.space, n, sampling=sampling, seed=seed, exist=device.exist, references=own)
    return modes.take(plan_modes(modes, n, sampling=sampling, seed=seed, references=own))


def modes_of_device(
    device: AbstractDevice, predictor: AbstractPredictor, *, same_device: bool = False
) -> ModeTable:
    """Return all modes of a device for a predictor to predict.

    Args:
        device: Whose modes.
        predictor: What is going to predict them.
        same_device: Whether a device other than the predictor's is refused; if not, that is remarked on.

    Raises:
        MissingKnobError: The device has a knob that the predictor does not know, and would set blindly.
        DeviceError: The predictor was made for another device.
    """
    _check_device(device, predictor, same_device=same_device)
    return device.modes()


def _check_device(device: AbstractDevice, predictor: AbstractPredictor, *, same_device: bool) -> None:
    if same_device:
        refuse_other_device(device, predictor.device, "the predictor is")
    elif device.name != predictor.device:
        logger.warning("the predictor is of %s, the modes are of %s", predictor.device, device.name)
    check_knobs(device, predictor.knobs)


def refuse_other_device(device: AbstractDevice, made_for: str, what: str) -> None:
    """Refuse to choose for a device what another one has taught; `what` begins the sentence.

    Raises:
        DeviceError: They are not the same.
    """
    if device.name != made_for:
        raise DeviceError(
            f"{what} of {made_for}, and {device.spec} is {device.name}: profile the workload there, or say "
            "--other-device if they are alike"
        )


def check_knobs(device: AbstractDevice, known: Sequence[str]) -> None:
    """Refuse a device with a knob that is not among those `known` to what was learned.

    Raises:
        MissingKnobError: It has one.
    """
    varying = [knob.name for knob in device.space.knobs if len(knob.values) > 1]
    unknown = [name for name in varying if name not in known]
    if unknown:
        raise MissingKnobError(
            f"{device.name} has the knob {', '.join(unknown)}, which the predictor does not know: it was "
            f"made with {', '.join(known)}; give the modes to choose from in a file"
        )


def modes_to_choose_from(
    device: AbstractDevice,
    predictor: AbstractPredictor,
    *,
    objective: Objective = "time",
    limits: Limits | None = None,
    risk: float = 0.05,
    same_device: bool = False,
) -> ModeTable:
    """Return the modes of a device among which to look for the best one: all, unless it has too many.

    Of a space of more than `MOST_PREDICTED` modes, `powertrain.optimisation.search_modes` returns those that
    it looked at, and a remark says so.

    Raises:
        MissingKnobError: As for `modes_of_device`.
    """
    if not is_searched(device):
        return modes_of_device(device, predictor, same_device=same_device)
    _check_device(device, predictor, same_device=same_device)
    found = optimisation.search_modes(
        predictor.glance, device.space, objective=objective, limits=limits, risk=risk, exist=device.exist
    )
    logger.warning(
        "%s has %s modes, too many to predict them all: %s were looked at, drawn at random and around the "
        "best",
        device.name,
        f"{device.space.size:,}",
        f"{len(found):,}",
    )
    return found


def is_searched(device: AbstractDevice) -> bool:
    """Tell whether a device has so many modes that the best is searched for, and not all are predicted."""
    return not device.recorded and device.space.size > MOST_PREDICTED


def fit(
    profiles: ProfileTable, *, method: str = "gp", space: ModeSpace | None = None, seed: int = 0
) -> AbstractPredictor:
    """Learn a workload from its own profiles: a reference, when there are many of them.

    Profiles that come from a device or a database know the ends of the device's knobs; `space` tells them
    for a table that was put together by hand.
    """
    return predictor_class(method).fit(_within(profiles, space), seed=seed)


def transfer(
    references: Sequence[AbstractPredictor],
    profiles: ProfileTable,
    *,
    method: str = "gp",
    space: ModeSpace | None = None,
    seed: int = 0,
) -> AbstractPredictor:
    """Learn a workload from a few profiles and from references: other workloads, or other devices.

    `space` is as for `fit`: a few profiles may not reach the ends of the device's knobs.
    """
    kind = predictor_class(method)
    if references and not kind.uses_references:
        logger.warning("%s learns from the profiles alone: the references are ignored", method)
    return kind.transfer(references, _within(profiles, space), seed=seed)


def _within(profiles: ProfileTable, space: ModeSpace | None) -> ProfileTable:
    return profiles if space is None else profiles.within(space.ends())


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Front(Shown):
    """The predicted Pareto-optimal modes, by the first cost, ascending.

    An index gives a `PredictedMode`, a slice gives a `Front`.
    """

    costs: tuple[str, ...]
    modes: ModeTable
    prediction: Prediction

    def __len__(self) -> int:
        return len(self.modes)

    @overload
    def __getitem__(self, index: int) -> PredictedMode: ...
    @overload
    def __getitem__(self, index: slice) -> Front: ...
    def __getitem__(self, index: int | slice) -> PredictedMode | Front:
        if isinstance(index, slice):
            return replace(self, modes=self.modes[index], prediction=self.prediction[index])
        row = range(len(self))[index]
        some = slice(row, row + 1)
        return next(predicted_modes(self.modes[some], self.prediction[some]))

    def _view(self) -> View:
        modes = {knob: self.modes.values[:, j] for j, knob in enumerate(self.modes.knobs)}
        values = {q.column: self.prediction.of(q).value for q in shown_quantities()}
        known = {name: value for name, value in values.items() if not np.isnan(value).all()}
        return rows_view(f"front of {len(self):,} modes in {' and '.join(self.costs)}", modes | known)

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame: the knobs, the predicted values and their error bars, a row per mode.

        It needs pandas (the extra `tables`).
        """
        modes, prediction = self.modes.to_pandas(), self.prediction.to_pandas()
        return new_frame({name: part[name] for part in (modes, prediction) for name in part.columns})


def front(
    predictor: AbstractPredictor, modes: ModeTable, *, costs: tuple[Cost, ...] = ("time", "power")
) -> Front:
    """Predict `modes` and keep those that no other beats in all of `costs`."""
    prediction = predictor.predict(modes)
    rows = optimisation.front_of(prediction, costs=costs)
    return Front(costs=costs, modes=modes.take(rows), prediction=prediction.take(rows))


def choose(
    predictor: AbstractPredictor,
    modes: ModeTable,
    *,
    objective: Objective = "time",
    max_power_w: float = np.inf,
    max_time_ms: float = np.inf,
    max_energy_j: float = np.inf,
    risk: float = 0.05,
    **more_limits: float,
) -> Choice:
    """Predict `modes` and choose the best one that keeps the limits; see `powertrain.optimisation.choose`.

    `more_limits` are on other quantities, named as `max_COLUMN`.

    Raises:
        NoFeasibleModeError: No mode keeps the limits; the message names the nearest.
    """
    return optimisation.choose(
        predictor.predict(modes),
        modes,
        objective=objective,
        max_power_w=max_power_w,
        max_time_ms=max_time_ms,
        max_energy_j=max_energy_j,
        risk=risk,
        **more_limits,
    )


@final
@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import did."""

    added: Mapping[tuple[str, str], int]
    """Profiles added by `(device, workload)`."""
    skipped: int
    """Profiles that the store had already."""
    knobs: tuple[str, ...]
    warnings: tuple[str, ...]
    """What the reader remarked about the file."""


def import_csv(
    path: Path, store: AbstractStore, *, again: bool = False, knobs: Sequence[str] | None = None
) -> Imported:
    """Add the profiles of a table to a store; see `add_new`."""
    return add_new(read_csv(path, knobs=knobs), store, again=again)


def add_new(content: CsvFile, store: AbstractStore, *, again: bool = False) -> Imported:
    """Add profiles to a store: all or none.

    A profile that the store holds already, equal in everything, is skipped, so that importing a file twice
    is harmless; `again` adds it all the same, as a repeated measurement.
    """
    profiles = ManyProfiles.of(content.profiles)
    new = profiles if again else profiles.take(_new_rows(profiles, store))
    if len(new):
        store.add(new)
    codes, counts = np.unique(new.owners.codes, return_counts=True)
    added = {new.owners.values[code]: n for code, n in zip(codes.tolist(), counts.tolist(), strict=True)}
    return Imported(
        added={owner: added[owner] for owner in new.owners.present()},
        skipped=len(profiles) - len(new),
        knobs=content.knobs,
        warnings=content.warnings,
    )


def _new_rows(profiles: ManyProfiles, store: AbstractStore) -> np.ndarray:
    """Return which profiles a store does not hold, `(n,)`: of equal ones, those beyond what it has."""
    there = set(store.counts())
    new = np.ones(len(profiles), dtype=np.bool_)
    for owner in profiles.owners.present():
        if owner not in there:
            continue
        device, workload = owner
        rows = np.flatnonzero(profiles.owners.codes == profiles.owners.values.index(owner))
        known = store.columns(device=device, workload=workload).digests()
        both = np.concatenate([known, profiles.take(rows).digests()]).view("u8,u8").reshape(-1)
        _, group = np.unique(both, return_inverse=True)
        held = np.bincount(group[: len(known)], minlength=group.max(initial=-1) + 1)
        asked = group[len(known) :]
        # The number of each among its equals, in the order of the file.
        order = np.argsort(asked, kind="stable")
        starts = np.searchsorted(asked[order], asked[order])
        number = np.empty(len(asked), dtype=np.int64)
        number[order] = np.arange(len(asked)) - starts
        new[rows] = number >= held[asked]
    return new


def export_csv(
    store: AbstractStore, path: Path, *, device: str | None = None, workload: str | None = None
) -> int:
    """Write the profiles of a device and a workload (all by default) to a CSV file; return how many."""
    return write_csv(stored_columns(store, device=device, workload=workload), path)


def stored_profiles(
    store: AbstractStore, *, device: str | None = None, workload: str | None = None
) -> list[Profile]:
    """Return the profiles of a device and a workload, flagged ones included; all by default.

    Raises:
        UnknownNameError: The store has no such device or workload.
    """
    _check_owner(store, device=device, workload=workload)
    return store.profiles(device=device, workload=workload)


def stored_columns(
    store: AbstractStore, *, device: str | None = None, workload: str | None = None
) -> ManyProfiles:
    """Return the same as `stored_profiles`, as columns."""
    _check_owner(store, device=device, workload=workload)
    return store.columns(device=device, workload=workload)


def _check_owner(store: AbstractStore, *, device: str | None, workload: str | None) -> None:
    owners = list(store.counts())
    if device is not None and device not in (d for d, _ in owners):
        raise UnknownNameError.of("device", device, (d for d, _ in owners))
    known = [w for d, w in owners if device in (None, d)]
    if workload is not None and workload not in known:
        place = "workload" if device is None else f"workload of {device}"
        raise UnknownNameError.of(place, workload, known)


def read_tables(
    paths: Iterable[Path],
    *,
    knobs: Sequence[str] | None = None,
    contents: Mapping[Path, bytes] | None = None,
) -> dict[tuple[str, str], ProfileTable]:
    """Read CSV files into tables by `(device, workload)`; what several files say of one is put together.

    `contents` holds what was read already, by the path that only names it then.

    Raises:
        MissingKnobError: Two files have different knobs for the same workload on the same device.
    """
    known = contents or {}
    files = {path: _read(path, knobs=knobs, content=known.get(path)) for path in dict.fromkeys(paths)}
    first: dict[tuple[str, str], tuple[Path, set[str]]] = {}
    for path, content in files.items():
        for owner, table in content.tables().items():
            known, names = first.setdefault(owner, (path, set(table.modes.knobs)))
            _refuse_other_knobs(owner, {known: names, path: set(table.modes.knobs)})
    profiles = [profile for content in files.values() for profile in content.profiles]
    merged = CsvFile(profiles=profiles, knobs=(), warnings=())
    return merged.tables()


def _refuse_other_knobs(owner: tuple[str, str], by_path: Mapping[Path, set[str]]) -> None:
    everything = set[str]().union(*by_path.values())
    for path, names in by_path.items():
        if names != everything:
            lacking = ", ".join(sorted(everything - names))
            raise MissingKnobError(
                f"{path} lacks the knob {lacking}, which another file has for {owner[1]} on {owner[0]}: "
                f"add the column, or leave one file out"
            )


def _read(path: Path, *, knobs: Sequence[str] | None = None, content: bytes | None = None) -> CsvFile:
    found = read_csv(path, knobs=knobs, content=content)
    for warning in found.warnings:
        logger.warning("%s", warning)
    return found
