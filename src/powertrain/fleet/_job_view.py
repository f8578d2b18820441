"""What the page shows of one job: its front to explore, and what each choice saves, as frozen records."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import final

import numpy as np
from typing_extensions import override

from powertrain.dataset import AbstractStore
from powertrain.devices import AbstractDevice
from powertrain.errors import DataError, UnknownNameError
from powertrain.records import ModeTable, PowerMode, Prediction
from powertrain.report import FrontView, Marks, Points, front_view
from powertrain.space import ModeSpace, is_speed
from powertrain.workflow import (
    MEASURED,
    Candidates,
    Saving,
    candidates,
    device_named,
    modes_to_choose_from,
    spec_to_apply,
)

__all__ = ["Baseline", "JobView", "job_view", "saving"]

MOST_MARKED = 500
"""Profiles that are marked in the drawing; more would hide the modes."""
HIGHEST = "all knobs at their highest"


@final
@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A mode that a job would run in without PowerTrain, as predicted or measured."""

    name: str
    """The vendor's, or `HIGHEST` where none is known."""
    mode: str
    time_ms: float
    power_w: float
    energy_j: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class JobView:
    """What can be said of one workload on one device."""

    device: str
    workload: str
    profiles: int
    """That are in the store, flagged ones included."""
    flagged: int
    basis: str
    """One sentence: what the numbers come from."""
    remarks: tuple[str, ...]
    """What was warned of meanwhile, such as modes whose prediction is a guess."""
    front: FrontView
    baselines: tuple[Baseline, ...]

    def chosen(self, limit_w: float) -> Baseline | None:
        """Return the mode that is chosen under a power limit [W]; None where no mode keeps it."""
        row = self.front.steps.row_at(limit_w)
        return None if row is None else _at(self.front.prediction, self.front.modes, row, name="")


def saving(chosen: Baseline, against: Baseline) -> Saving:
    """Return what one mode saves against another, in the words of `powertrain tune`."""
    return Saving(
        time_pct=100 * (1 - chosen.time_ms / against.time_ms),
        power_w=against.power_w - chosen.power_w,
        energy_pct=100 * (1 - chosen.energy_j / against.energy_j),
        so_far_s=0.0,
    )


def job_view(store: AbstractStore, *, device: str, workload: str) -> JobView:
    """Predict a job from its profiles where there are enough, and gather what its page shows.

    What is chosen under a limit is what `powertrain choose --db` chooses: from all modes of a device that can
    be opened here, else from those in which it was ever profiled.

    Raises:
        UnknownNameError: The store has no such profiles.
        DataError: Time or power was not measured, or all profiles are flagged.
    """
    every = store.columns(device=device, workload=workload)
    if not len(every):
        raise UnknownNameError(f"there are no profiles of {workload!r} on {device!r} in {store.name}")
    tables = every.tables()
    if not tables:
        raise DataError(f"all profiles of {workload} on {device} are flagged: measure it again")
    profiles = tables[device, workload]
    if not (np.isfinite(profiles.time_ms) & np.isfinite(profiles.power_w)).any():
        lacks = "power" if profiles.has_time else "time"
        raise DataError(f"no {lacks} of {workload} on {device} was measured: a front needs time and power")
    profiled = _profiled(store, device, profiles.modes.knobs)
    board = _board(device, profiles.modes.knobs)
    with _remarks() as remarks:
        found = candidates(
            profiles.within(ModeSpace.spanned_by(profiled).ends()),
            profiled if board is None else partial(modes_to_choose_from, board),
        )
    baselines = _baselines(board, found)
    marked = profiles if found.method != MEASURED and len(profiles) <= MOST_MARKED else None
    named = {
        one.name: Points(time_ms=np.array([one.time_ms]), power_w=np.array([one.power_w]))
        for one in baselines
    }
    return JobView(
        device=device,
        workload=workload,
        profiles=len(every),
        flagged=int(every.flagged.sum()),
        basis=found.basis,
        remarks=tuple(dict.fromkeys(remarks)),
        front=front_view(
            found.prediction,
            found.modes,
            title=f"{workload} on {device}",
            marks=Marks(measured=marked, named=named),
            device=spec_to_apply(board),
        ),
        baselines=baselines,
    )


@contextmanager
def _remarks() -> Generator[list[str]]:
    """Gather what this thread warns of."""
    gathered: list[str] = []
    handler, own = _Gathering(gathered), threading.get_ident()
    handler.addFilter(lambda record: record.thread == own)
    root = logging.getLogger("powertrain")
    root.addHandler(handler)
    try:
        yield gathered
    finally:
        root.removeHandler(handler)


@final
class _Gathering(logging.Handler):
    def __init__(self, gathered: list[str]) -> None:
        super().__init__(level=logging.WARNING)
        self._gathered = gathered

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self._gathered.append(record.getMessage())


@cache
def _known(device: str) -> AbstractDevice | None:
    """Return the device of that name. It is looked for once, since that opens all of this machine."""
    return device_named(device)


def _board(device: str, knobs: Sequence[str]) -> AbstractDevice | None:
    """Return the device of that name if its knobs are those that the profiles know."""
    board = _known(device)
    return board if board is not None and set(board.space.names) == set(knobs) else None


def _profiled(store: AbstractStore, device: str, knobs: Sequence[str]) -> ModeTable:
    """Return the modes in which a device was profiled, for any workload."""
    return ModeTable.of((mode for mode in store.modes_of(device) if set(mode) == set(knobs)), knobs)


def _baselines(board: AbstractDevice | None, found: Candidates) -> tuple[Baseline, ...]:
    """Return the vendor's modes, or the one with all clocks at their highest where none of them is known."""
    stock = {} if board is None else board.stock_modes()
    rows = {name: _row_of(mode, found.modes) for name, mode in stock.items()}
    known = {name: row for name, row in rows.items() if row is not None and _is_known(found.prediction, row)}
    if not known and (highest := _highest(found)) is not None:
        known = {HIGHEST: highest}
    return tuple(_at(found.prediction, found.modes, row, name=name) for name, row in known.items())


def _row_of(mode: PowerMode, modes: ModeTable) -> int | None:
    if set(mode) != set(modes.knobs):
        return None
    rows = np.flatnonzero((modes.values == ModeTable.of([mode], modes.knobs).values).all(axis=1))
    return int(rows[0]) if rows.size else None


def _highest(found: Candidates) -> int | None:
    """Return the row with every speed at its highest; the fastest of several."""
    speeds = [
        column for knob, column in zip(found.modes.knobs, found.modes.values.T, strict=True) if is_speed(knob)
    ]
    rows = (
        np.flatnonzero(np.all([column == column.max() for column in speeds], axis=0))
        if speeds
        else np.empty(0)
    )
    rows = [int(row) for row in rows if _is_known(found.prediction, int(row))]
    return min(rows, key=lambda row: float(found.prediction.time_ms[row])) if rows else None


def _is_known(prediction: Prediction, row: int) -> bool:
    return bool(np.isfinite(prediction.time_ms[row]) and np.isfinite(prediction.power_w[row]))


def _at(prediction: Prediction, modes: ModeTable, row: int, *, name: str) -> Baseline:
    return Baseline(
        name=name,
        mode=str(modes[row]),
        time_ms=float(prediction.time_ms[row]),
        power_w=float(prediction.power_w[row]),
        energy_j=float(prediction.energy_j[row]),
    )
