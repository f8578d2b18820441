"""Profiles in from tables: PowerTrain's own CSV files, and those of others.

Reading refuses what it cannot be sure of, with the line, and asks about columns whose names say too little.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from powertrain.columns import DURATION, Column, Role, columns_of
from powertrain.dataset._cells import Sheet
from powertrain.dataset._forms import source_of
from powertrain.dataset._source import Place
from powertrain.errors import CsvError, MissingKnobError
from powertrain.quantities import by_column, measured
from powertrain.records import (
    Coded,
    FloatArray,
    ManyProfiles,
    Owner,
    Profile,
    ProfileTable,
    Shown,
    View,
    distinct_rows,
)
from powertrain.wording import counted

__all__ = ["CsvFile", "read_csv", "read_profiles"]

_BETWEEN_FLAGS = ";"
_SLOW_MHZ = 10.0


@final
@dataclass(frozen=True, kw_only=True, repr=False)
class CsvFile(Shown):
    """What a table of profiles holds."""

    profiles: Sequence[Profile]
    """In the order of the rows, repeats included."""
    knobs: tuple[str, ...]
    """Names of the knobs, in the order of the file and in PowerTrain's units."""
    warnings: tuple[str, ...]
    """What was kept aside, converted, skipped or repeated, a line each."""

    def _view(self) -> View:
        rows = [(str(p.mode), p.time_ms, p.power_w) for p in self.profiles[:5]]
        title = f"{len(self.profiles):,} profiles with the knobs {', '.join(self.knobs)}"
        return View(title=title, headings=("mode", "time_ms", "power_w"), rows=rows)

    def tables(self) -> dict[Owner, ProfileTable]:
        """Return the unflagged profiles by `(device, workload)`, in order of appearance, repeats averaged."""
        return ManyProfiles.of(self.profiles).tables()


def read_csv(
    path: Path | str,
    *,
    knobs: Sequence[str] | None = None,
    content: bytes | None = None,
    columns: Mapping[str, str] | None = None,
    device: str | None = None,
    workload: str | None = None,
) -> CsvFile:
    """Read profiles from a CSV file; the same as `read_profiles`."""
    return read_profiles(
        path, knobs=knobs, content=content, columns=columns, device=device, workload=workload
    )


def read_profiles(
    path: Path | str,
    *,
    knobs: Sequence[str] | None = None,
    content: bytes | None = None,
    columns: Mapping[str, str] | None = None,
    device: str | None = None,
    workload: str | None = None,
) -> CsvFile:
    """Read profiles from a table: CSV with any usual separator, JSON lines, Parquet or Excel.

    Text is UTF-8, with or without a byte-order mark, any line ends, plain or compressed with gzip. In a table
    whose columns are not separated by commas, numbers may have a decimal comma. Parquet and Excel need pandas
    or polars (the extra `tables`).

    A column is known by its name in any usual spelling: `gpu_mhz`, `GPU Freq (MHz)`, `power.draw [W]`,
    `time[s]`. Clocks, powers and times in other units are converted. Columns that plainly are something else
    (`throughput`, `timestamp`, text) go to `Profile.extra`. A column of numbers whose name says too little is
    refused, with the option that says what it is; none is guessed to be a knob. `knob:x` and `extra:x` in the
    file settle what x is. A knob that is empty in every row of a workload on a device is one that this
    workload lacks. Rows with neither time nor power are skipped, unless a flag says why. `warnings` tells of
    all this and of repeated modes, which are kept.

    Args:
        path: The file.
        knobs: The columns that are knobs; every column that is not known otherwise is an extra then.
        content: What the file holds, if it was read already (from a pipe); `path` then only names it in
            messages.
        columns: What columns are, by their names in the file: `{"GPU Freq": "gpu_mhz", "fan": "knob:fan_pct",
            "note 2": "extra:note"}`.
        device: Name of the device of all rows, for a table without such a column.
        workload: Name of the workload of all rows, likewise.

    Raises:
        CsvError: the file cannot be read or breaks the form; the message has the line and what to do.
        MissingKnobError: one of `knobs` is not a column of the file.
        MissingExtraError: neither pandas nor polars is installed, and the file needs one.
    """
    place = Place(Path(path), content)
    source = source_of(place)
    given = [name for name, value in (("device", device), ("workload", workload)) if value]
    try:
        understood = columns_of(source.header, knobs, mapping=columns, given=given)
    except (CsvError, MissingKnobError) as error:
        raise type(error)(f"{path}, line {source.line}: {error}") from None
    sheet = Sheet(place, understood, source)
    if not sheet.n_rows:
        raise place.error("there is a header and no row: add one row per measured mode")
    sheet.refuse_unknown()
    if not sheet.of_role(Role.KNOB):
        raise place.error(
            "no column is a knob: add one with its unit, such as gpu_mhz (for a mode's name, what it sets)"
        )
    owners = sheet.owners(device=device, workload=workload)
    return _file(path, place, sheet, owners)


def _file(path: Path | str, place: Place, sheet: Sheet, owners: Coded) -> CsvFile:
    knobs = sheet.of_role(Role.KNOB)
    settings = np.column_stack([sheet.settings(column) for column in knobs])
    doubts = [d for j, c in enumerate(knobs) for d in _doubts(sheet, c, settings[:, j], owners)]
    empty = np.isnan(settings).all(axis=1)
    if empty.any():
        row = int(np.argmax(empty))
        raise sheet.error(row, "every knob is empty: fill them in or delete the row")
    profiles = _profiles(sheet, owners, knobs, settings)
    if not len(profiles):
        raise place.error("no row has a time or a power: fill in what was measured")
    used = [
        c.name
        for c, filled in zip(knobs, np.asarray((~np.isnan(settings)).any(axis=0)).tolist(), strict=True)
        if filled
    ]
    warnings = [*_column_warnings(sheet), *doubts, *_row_warnings(sheet.n_rows, profiles)]
    return CsvFile(
        profiles=profiles, knobs=tuple(used), warnings=tuple(f"{path}: {warning}" for warning in warnings)
    )


def _doubts(sheet: Sheet, column: Column, values: FloatArray, owners: Coded) -> Generator[str]:
    """Yield what is doubtful about a knob; refuse it where only some rows of a workload lack it."""
    empty = np.isnan(values)
    if empty.any():
        mixed = np.flatnonzero(empty & np.isin(owners.codes, owners.codes[~empty]))
        if len(mixed):
            raise sheet.error(int(mixed[0]), f"{column.header} is empty: fill it in or delete the row")
        lacking = sorted(owners.take(empty).present())
        yield f"{column.header} is always empty, and taken as no knob, for {_listed(lacking)}"
    fastest = values[~empty].max(initial=-math.inf)
    if "_mhz" in column.name and not empty.all() and fastest < _SLOW_MHZ:
        question = "is it GHz?" if column.convert is None else "is its unit right?"
        yield f"{column.header} is below {_SLOW_MHZ:g} MHz in every row: {question}"


def _profiles(sheet: Sheet, owners: Coded, knobs: Sequence[Column], settings: FloatArray) -> ManyProfiles:
    """Return a profile for each row in which something was measured, or a flag says why not."""
    numbers = {column.name: sheet.measurements(column) for column in sheet.of_role(Role.NUMBER)}
    values = {column: numbers[column] for column in by_column() if column in numbers}
    errors = {q.column: numbers[q.se_column] for q in measured() if q.se_column in numbers}
    columns = sheet.of_role(Role.FLAGS)
    flags = _flags(sheet.text(columns[0])) if columns else Coded.constant((), sheet.n_rows)
    flagged = np.array([bool(flag) for flag in flags.values])[flags.codes]
    kept = flagged | ~np.all([np.isnan(cells) for cells in values.values()], axis=0)
    extras = {column.name: _filled(sheet.text(column)) for column in sheet.of_role(Role.EXTRA)}
    cost_s = numbers.get(DURATION)
    rows = slice(None) if kept.all() else np.flatnonzero(kept)
    return ManyProfiles(
        owners=owners.take(rows),
        knobs=[column.name for column in knobs],
        settings=settings[rows],
        values={column: cells[rows] for column, cells in values.items()},
        se={column: cells[rows] for column, cells in errors.items()},
        duration_s=None if cost_s is None else cost_s[rows],
        flags=flags.take(rows),
        extras={name: column.take(rows) for name, column in extras.items()},
    )


def _flags(text: Coded) -> Coded:
    parted = (cell.split(_BETWEEN_FLAGS) for cell in text.values)
    return Coded([tuple(flag.strip() for flag in flags if flag.strip()) for flags in parted], text.codes)


def _filled(text: Coded) -> Coded:
    """Return texts without the empty ones."""
    if "" not in text.values:
        return text
    return Coded(text.values, np.where(text.codes == text.values.index(""), -1, text.codes).astype(np.int32))


def _column_warnings(sheet: Sheet) -> Iterable[str]:
    aside = [column.header for column in sheet.of_role(Role.EXTRA) if column.header == column.name]
    if aside:
        yield f"kept with the profiles, but not as knobs: {', '.join(aside)}"
    for column in sheet.columns:
        if column.convert is not None:
            yield f"{column.header} was converted to {column.name}"
        elif column.role is not Role.EXTRA and not column.header.lower().endswith(column.name):
            yield f"{column.header} was read as {column.name}"


def _row_warnings(n_rows: int, profiles: ManyProfiles) -> Iterable[str]:
    skipped = n_rows - len(profiles)
    if skipped:
        have, were = ("has", "was") if skipped == 1 else ("have", "were")
        yield f"{skipped} of {counted(n_rows, 'row')} {have} neither time nor power and {were} skipped"
    owners = profiles.owners.codes.astype(np.float64)
    repeats = len(profiles) - distinct_rows(np.column_stack([owners, profiles.settings]))
    if repeats:
        identical = len(profiles) - len(np.unique(profiles.digests()[:, 0]))
        copies = f", {identical} of them as {'an exact copy' if identical == 1 else 'exact copies'}"
        repeat = "repeats" if repeats == 1 else "repeat"
        told = f"{repeats} of {counted(n_rows, 'row')} {repeat} a mode{copies if identical else ''}"
        yield f"{told}: all are kept, and averaged for fits"


def _listed(owners: Sequence[Owner]) -> str:
    names = ", ".join(f"{workload!r} on {device!r}" for device, workload in owners[:3])
    return names if len(owners) <= 3 else f"{names} and {len(owners) - 3} more"
