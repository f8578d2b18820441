"""A race, from what a person names: files of measurements, or a simulated board."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from powertrain.cells import Compute
from powertrain.errors import DataError, UnknownNameError
from powertrain.evaluation import Race, RacePlan, Tables, Track, race, track_of_board, track_of_table
from powertrain.progress import Progress
from powertrain.virtual import SimulatedBoard
from powertrain.workflow._joins import device_name, open_device, read_tables

__all__ = ["run_race"]

logger = logging.getLogger(__name__)

REFERENCE_MODES = 400
"""Random modes in which a simulated board's references were profiled."""


def run_race(
    plan: Callable[[str], RacePlan],
    sources: Sequence[str],
    *,
    device: str | None = None,
    knobs: Sequence[str] | None = None,
    jobs: int = 1,
    compute: Compute | None = None,
    kept: Path | None = None,
    progress: Progress | None = None,
) -> Race:
    """Let methods race on what is measured in files, or on one simulated board.

    Args:
        plan: Returns the plan for the device, whose name is known once files were read.
        sources: Files, or the spec of one simulated board (`sim:orin-agx`).
        device: Name or spec of the device; may be left out where there is only one.
        knobs: Columns of the files that are knobs, instead of guessing.
        jobs: See `race`.
        compute: See `race`.
        kept: See `race`.
        progress: See `race`.

    Raises:
        DataError: Boards and files are mixed, or the device has to be named.
        UnknownNameError: The device, a target or a reference is not there.
    """
    boards = [source for source in sources if source.startswith("sim:")]
    if boards and len(sources) > 1:
        raise DataError(f"a race is on one simulated board or on files, not on both: give {boards[0]} alone")
    name, tracks, tables = _of_board(boards[0]) if boards else _of_files(sources, device, knobs)
    made = plan(name)
    reference_devices = [device_name(d, [d for d, _ in tables]) for d in made.reference_devices]
    made = replace(made, reference_devices=tuple(reference_devices))
    return race(made, tracks, tables, jobs=jobs, compute=compute, kept=kept, progress=progress)


def _of_board(spec: str) -> tuple[str, dict[str, Track], Tables]:
    board = open_device(spec)
    if not isinstance(board, SimulatedBoard):
        raise DataError(f"{spec} is no simulated board: a race needs one, or files of measurements")
    modes = board.modes()
    known = np.sort(np.random.default_rng(0).permutation(len(modes))[:REFERENCE_MODES])
    tracks = {name: track_of_board(board, name) for name in board.workloads()}
    tables = {(board.name, name): board.measure(name, modes.take(known)) for name in tracks}
    return board.name, tracks, tables


def _of_files(
    sources: Sequence[str], device: str | None, knobs: Sequence[str] | None
) -> tuple[str, dict[str, Track], Tables]:
    tables = read_tables([Path(source) for source in sources], knobs=knobs)
    names = list(dict.fromkeys(owner for owner, _ in tables))
    if device is None and len(names) > 1:
        raise UnknownNameError(f"{len(names)} devices are in the files ({', '.join(names)}): name one")
    name = names[0] if device is None else device_name(device, names)
    tracks: dict[str, Track] = {}
    for (owner, workload), table in tables.items():
        if owner != name:
            continue
        if table.has_time and table.has_power:
            tracks[workload] = track_of_table(table)
        else:
            lacking = "power" if table.has_time else "time"
            logger.warning("%s on %s has no %s: it cannot be a target", workload, name, lacking)
    if not tracks:
        raise DataError(f"no workload of {name} has both time and power, and a race needs both: measure them")
    return name, tracks, tables
