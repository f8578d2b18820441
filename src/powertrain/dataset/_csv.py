"""Profiles in and out of CSV files.

The form is `device, workload, <one column per knob, unit in its name>, time_ms, power_w`, one row per
measurement; an empty cell is "not measured". Reading refuses what it cannot be sure of, with the line;
writing loses nothing of what reading gives.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from powertrain.dataset._cells import Place, Sheet, split_rows, text_of
from powertrain.dataset._columns import DURATION, Column, Role, columns_of, header_of
from powertrain.errors import CsvError, DataError, MissingKnobError
from powertrain.files import why_unwritten, write_file
from powertrain.quantities import by_column, measured
from powertrain.records import PowerMode, Profile, ProfileTable
from powertrain.wording import counted

__all__ = ["CsvFile", "csv_text", "read_csv", "write_csv"]

NAN = float("nan")
_BETWEEN_FLAGS = ";"
_SLOW_MHZ = 10.0

Owner = tuple[str, str]
"""Device and workload."""


@final
@dataclass(frozen=True, kw_only=True)
class CsvFile:
    """What a CSV file of profiles holds."""

    profiles: list[Profile]
    """In the order of the rows, repeats included."""
    knobs: tuple[str, ...]
    """Names of the knobs, in the order of the file and in PowerTrain's units."""
    warnings: tuple[str, ...]
    """What was kept aside, converted, skipped or repeated, a line each."""

    def tables(self) -> dict[Owner, ProfileTable]:
        """Return the unflagged profiles by `(device, workload)`, in order of appearance, repeats averaged."""
        groups: dict[Owner, list[Profile]] = {}
        for profile in self.profiles:
            if not profile.flags:
                groups.setdefault((profile.device, profile.workload), []).append(profile)
        return {owner: ProfileTable.of(group).averaged() for owner, group in groups.items()}


def read_csv(
    path: Path | str, *, knobs: Sequence[str] | None = None, content: bytes | None = None
) -> CsvFile:
    """Read profiles from a CSV file: UTF-8 with or without a byte-order mark, any line ends.

    Knobs are the known ones (`powertrain.space.KNOWN_KNOBS`) anywhere, any other column of numbers before the
    first measurement that is not named like one, and behind it the columns that name a clock or a limit.
    `knobs` names the columns instead. `knob:x` and `extra:x` in the file settle what x is. A knob that is
    empty in every row of a workload on a device is one that this workload lacks.

    Clocks in Hz, kHz and GHz, limits and power in mW, `time_s` and `time_us` are converted. Columns that are
    neither knobs nor fields of a profile go to `Profile.extra` as text. Rows with neither time nor power are
    skipped, unless a flag says why. `warnings` tells of all this and of repeated modes, which are kept.

    Args:
        path: The file.
        knobs: The columns that are knobs; guessed if None.
        content: What the file holds, if it was read already (from a pipe); `path` then only names it in
            messages.

    Raises:
        CsvError: the file cannot be read or breaks the form; the message has the line and what to do.
        MissingKnobError: one of `knobs` is not a column of the file.
    """
    place = Place(Path(path), content)
    rows, lines = split_rows(text_of(place), place)
    try:
        columns = columns_of(rows[0], knobs)
    except (CsvError, MissingKnobError) as error:
        raise type(error)(f"{path}, line {lines[0]}: {error}") from None
    if len(rows) < 2:
        raise place.error("there is a header and no row: add one row per measured mode")
    sheet = Sheet(place, columns, rows[1:], lines[1:])
    if not sheet.of_role(Role.KNOB):
        raise place.error("no column is a knob: add one with its unit, such as gpu_mhz")
    owners = list(zip(sheet.names(Role.DEVICE), sheet.names(Role.WORKLOAD), strict=True))
    modes, doubts = _modes(sheet, owners)
    profiles = _profiles(sheet, owners, modes)
    if not profiles:
        raise place.error("no row has a time or a power: fill in what was measured")
    used = [c.name for c in sheet.of_role(Role.KNOB) if any(c.name in mode for mode in set(modes))]
    warnings = [*_column_warnings(sheet), *doubts, *_row_warnings(rows[1:], profiles)]
    return CsvFile(
        profiles=profiles, knobs=tuple(used), warnings=tuple(f"{path}: {warning}" for warning in warnings)
    )


def _modes(sheet: Sheet, owners: Sequence[Owner]) -> tuple[list[PowerMode], list[str]]:
    """Return the mode of each row, and what is doubtful about the knobs."""
    columns = sheet.of_role(Role.KNOB)
    names = [column.name for column in columns]
    settings = [sheet.settings(column) for column in columns]
    doubts: list[str] = []
    for column, values in zip(columns, settings, strict=True):
        doubts += _doubts(sheet, column, values, owners)
    known: dict[tuple[float, ...], PowerMode] = {}
    modes: list[PowerMode] = []
    for row, values in enumerate(zip(*settings, strict=True)):
        mode = known.get(values)
        if mode is None:
            present = {n: v for n, v in zip(names, values, strict=True) if not math.isnan(v)}
            if not present:
                raise sheet.error(row, "every knob is empty: fill them in or delete the row")
            mode = known[values] = PowerMode(present)
        modes.append(mode)
    return modes, doubts


def _doubts(sheet: Sheet, column: Column, values: Sequence[float], owners: Sequence[Owner]) -> Generator[str]:
    """Yield what is doubtful about a knob; refuse it where only some rows of a workload lack it."""
    empty = [row for row, value in enumerate(values) if math.isnan(value)]
    if empty:
        having = {owner for owner, value in zip(owners, values, strict=True) if not math.isnan(value)}
        mixed = next((row for row in empty if owners[row] in having), None)
        if mixed is not None:
            raise sheet.error(mixed, f"{column.header} is empty: fill it in or delete the row")
        lacking = sorted({owners[row] for row in empty})
        yield f"{column.header} is always empty, and taken as no knob, for {_listed(lacking)}"
    fastest = max((value for value in values if not math.isnan(value)), default=math.inf)
    if "_mhz" in column.name and fastest < _SLOW_MHZ:
        question = "is it GHz?" if column.convert is None else "is its unit right?"
        yield f"{column.header} is below {_SLOW_MHZ:g} MHz in every row: {question}"


def _profiles(sheet: Sheet, owners: Sequence[Owner], modes: Sequence[PowerMode]) -> list[Profile]:
    """Return a profile for each row in which something was measured, or a flag says why not."""
    numbers = {column.name: sheet.measurements(column) for column in sheet.of_role(Role.NUMBER)}
    values = {column: numbers[column] for column in by_column() if column in numbers}
    errors = {q.column: numbers[q.se_column] for q in measured() if q.se_column in numbers}
    cost_s = numbers.get(DURATION, [NAN] * sheet.n_rows)
    flags = next((_flags(sheet.text(column)) for column in sheet.of_role(Role.FLAGS)), [()] * sheet.n_rows)
    extras = {column.name: sheet.text(column) for column in sheet.of_role(Role.EXTRA)}
    return [
        Profile(
            device=owner[0],
            workload=owner[1],
            mode=modes[row],
            values={column: cells[row] for column, cells in values.items()},
            se={column: cells[row] for column, cells in errors.items()},
            duration_s=cost_s[row],
            flags=flags[row],
            extra={name: cells[row] for name, cells in extras.items() if cells[row]},
        )
        for row, owner in enumerate(owners)
        if flags[row] or not all(math.isnan(cells[row]) for cells in values.values())
    ]


def _flags(cells: Iterable[str]) -> list[tuple[str, ...]]:
    parted = (cell.split(_BETWEEN_FLAGS) for cell in cells)
    return [tuple(flag.strip() for flag in flags if flag.strip()) for flags in parted]


def _column_warnings(sheet: Sheet) -> Iterable[str]:
    aside = [column.header for column in sheet.of_role(Role.EXTRA) if column.header == column.name]
    if aside:
        yield f"kept with the profiles, but not as knobs: {', '.join(aside)}"
    for column in sheet.columns:
        if column.convert is not None:
            yield f"{column.header} was converted to {column.name}"


def _row_warnings(rows: Sequence[Sequence[str]], profiles: Sequence[Profile]) -> Iterable[str]:
    skipped = len(rows) - len(profiles)
    if skipped:
        have, were = ("has", "was") if skipped == 1 else ("have", "were")
        yield f"{skipped} of {counted(len(rows), 'row')} {have} neither time nor power and {were} skipped"
    repeats = len(profiles) - len({(p.device, p.workload, p.mode) for p in profiles})
    if repeats:
        identical = len(rows) - len(set(map(tuple, rows)))
        copies = f", {identical} of them as {'an exact copy' if identical == 1 else 'exact copies'}"
        repeat = "repeats" if repeats == 1 else "repeat"
        told = f"{repeats} of {counted(len(rows), 'row')} {repeat} a mode{copies if identical else ''}"
        yield f"{told}: all are kept, and averaged for fits"


def _listed(owners: Sequence[Owner]) -> str:
    names = ", ".join(f"{workload!r} on {device!r}" for device, workload in owners[:3])
    return names if len(owners) <= 3 else f"{names} and {len(owners) - 3} more"


def write_csv(profiles: Iterable[Profile], path: Path | str) -> int:
    """Write profiles to a CSV file, which is replaced only once the new one is complete; return how many.

    `read_csv` of the file gives the same profiles: floats by `repr`, an empty cell for what was not measured.
    Extras are written as `extra:NAME`, and a knob whose name would be read as something else as `knob:NAME`.
    Extras that are empty text are left out.

    Raises:
        DataError: there is no profile, modes of one workload have different knobs, or CSV cannot keep a name.
        CsvError: the file cannot be written; what was there before is still there.
    """
    listed, path = list(profiles), Path(path)
    content = csv_text(listed).encode("utf-8")
    try:
        write_file(path, content)
    except OSError as error:
        raise CsvError(f"cannot write {path}: {why_unwritten(path, error)}") from error
    return len(listed)


def csv_text(profiles: Iterable[Profile]) -> str:
    """Return the text that `write_csv` writes.

    Raises:
        DataError: there is no profile, modes of one workload have different knobs, or CSV cannot keep a name.
    """
    listed = list(profiles)
    if not listed:
        raise DataError("there are no profiles to write")
    _refuse_unwritable(listed)
    text = _formatted(listed)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        bad = text[error.start : error.end]
        raise DataError(f"{bad!r} in a name or an extra cannot be written as UTF-8: rename it") from None
    return text


def _refuse_unwritable(profiles: Sequence[Profile]) -> None:
    """Refuse what would read back as something else."""
    knobs: dict[Owner, frozenset[str]] = {}
    for profile in profiles:
        own = frozenset(profile.mode)
        first = knobs.setdefault((profile.device, profile.workload), own)
        if own != first:
            raise DataError(
                f"modes of {profile.workload!r} on {profile.device!r} differ in the knob "
                f"{', '.join(sorted(own ^ first))}: write them to separate files"
            )
    names = {n for p in profiles for n in (p.device, p.workload, *p.mode, *p.extra, *p.flags)}
    cells = {cell for p in profiles for cell in p.extra.values()}
    for name in sorted(names):
        if not name or name != name.strip():
            raise DataError(
                f"CSV cannot keep the name {name!r}: names are not empty and have no blanks around"
            )
    for text in sorted(names | cells):
        if "\0" in text:
            raise DataError(f"CSV cannot keep {text!r}, which holds a NUL: rename it")
    for flag in sorted({flag for p in profiles for flag in p.flags}):
        if _BETWEEN_FLAGS in flag:
            raise DataError(f"CSV cannot keep the flag {flag!r}: flags have no {_BETWEEN_FLAGS!r}")


def _numbers(profiles: Sequence[Profile]) -> dict[str, list[float]]:
    """Return the columns of numbers in the order of writing; time and power always, others where known."""
    columns = {q.column: [p.values.get(q.column, NAN) for p in profiles] for q in measured()}
    columns |= {q.se_column: [p.se.get(q.column, NAN) for p in profiles] for q in measured()}
    columns[DURATION] = [p.duration_s for p in profiles]
    always = ("time_ms", "power_w")
    return {n: cells for n, cells in columns.items() if n in always or not all(map(math.isnan, cells))}


def _formatted(profiles: Sequence[Profile]) -> str:
    knobs = list(dict.fromkeys(name for p in profiles for name in p.mode))
    extras = list(dict.fromkeys(name for p in profiles for name in p.extra))
    numbers = _numbers(profiles)
    flags = any(p.flags for p in profiles)
    header = ["device", "workload", *(header_of(name, Role.KNOB) for name in knobs), *numbers.keys()]
    header += ["flags"] * flags + [header_of(name, Role.EXTRA) for name in extras]
    rows = [header]
    for i, p in enumerate(profiles):
        row = [p.device, p.workload]
        row += [_number(p.mode.get(name, NAN)) for name in knobs]
        row += [_number(cells[i]) for cells in numbers.values()]
        row += [_BETWEEN_FLAGS.join(p.flags)] * flags + [p.extra.get(name, "") for name in extras]
        rows.append(row)
    # Before Python 3.13 the csv module leaves a carriage return bare, and a reader ends the row there.
    bare = any("\r" in cell for row in rows for cell in row)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL).writerows(
        rows
    )
    return text.getvalue()


def _number(value: float) -> str:
    """Return the shortest text that reads back as `value`, empty for NaN."""
    number = float(value)
    if math.isnan(number):
        return ""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)
