"""Profiles out to CSV files.

The form is `device, workload, <one column per knob, unit in its name>, time_ms, power_w`, one row per
measurement; an empty cell is "not measured". Writing loses nothing of what `read_csv` gives.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Generator, Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from powertrain.columns import DURATION, Role, header_of
from powertrain.dataset._source import BLOCK_ROWS
from powertrain.errors import CsvError, DataError
from powertrain.files import why_unwritten, write_chunks
from powertrain.quantities import measured
from powertrain.records import FloatArray, ManyProfiles, Profile

__all__ = ["csv_blocks", "csv_text", "write_csv"]

_BETWEEN_FLAGS = ";"


def write_csv(profiles: Iterable[Profile], path: Path | str) -> int:
    """Write profiles to a CSV file, which is replaced only once the new one is complete; return how many.

    `read_csv` of the file gives the same profiles: floats by `repr`, an empty cell for what was not measured.
    Extras are written as `extra:NAME`, and a knob whose name would be read as something else as `knob:NAME`.
    Extras that are empty text are left out.

    Raises:
        DataError: there is no profile, modes of one workload have different knobs, or CSV cannot keep a name.
        CsvError: the file cannot be written; what was there before is still there.
    """
    many, path = ManyProfiles.of(profiles), Path(path)
    blocks = csv_blocks(many)
    try:
        write_chunks(path, (block.encode("utf-8") for block in blocks))
    except OSError as error:
        raise CsvError(f"cannot write {path}: {why_unwritten(path, error)}") from error
    return len(many)


def csv_text(profiles: Iterable[Profile]) -> str:
    """Return the text that `write_csv` writes.

    Raises:
        DataError: there is no profile, modes of one workload have different knobs, or CSV cannot keep a name.
    """
    return "".join(csv_blocks(profiles))


def csv_blocks(profiles: Iterable[Profile]) -> Iterable[str]:
    """Return the text that `write_csv` writes in blocks of rows; what it refuses is refused at once.

    Raises:
        DataError: as `csv_text`.
    """
    many = ManyProfiles.of(profiles)
    if not len(many):
        raise DataError("there are no profiles to write")
    _refuse_unwritable(many)
    return _blocks(many)


def _refuse_unwritable(many: ManyProfiles) -> None:
    """Refuse what would read back as something else."""
    _refuse_mixed_knobs(many)
    flags = sorted({flag for flags in many.flags.present() for flag in flags})
    used = [name for name, column in many.extras.items() if (column.codes >= 0).any()]
    names = {*chain.from_iterable(many.owners.present()), *many.knobs, *used, *flags}
    cells = {cell for name in used for cell in many.extras[name].present()}
    for name in sorted(names):
        if not name or name != name.strip():
            raise DataError(
                f"CSV cannot keep the name {name!r}: names are not empty and have no blanks around"
            )
    for text in chain(sorted(names), cells):
        if "\0" in text:
            raise DataError(f"CSV cannot keep {text!r}, which holds a NUL: rename it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            bad = text[error.start : error.end]
            raise DataError(f"{bad!r} in a name or an extra cannot be written as UTF-8: rename it") from None
    for flag in flags:
        if _BETWEEN_FLAGS in flag:
            raise DataError(f"CSV cannot keep the flag {flag!r}: flags have no {_BETWEEN_FLAGS!r}")


def _refuse_mixed_knobs(many: ManyProfiles) -> None:
    there = ~np.isnan(many.settings)
    for code in np.unique(many.owners.codes).tolist():
        rows = there[many.owners.codes == code]
        mixed = np.asarray(rows.any(axis=0) & ~rows.all(axis=0))
        if mixed.any():
            device, workload = many.owners.values[code]
            knobs = sorted(k for k, is_mixed in zip(many.knobs, mixed.tolist(), strict=True) if is_mixed)
            raise DataError(
                f"modes of {workload!r} on {device!r} differ in the knob {', '.join(knobs)}: write them to "
                "separate files"
            )


def _numbers(many: ManyProfiles) -> dict[str, FloatArray]:
    """Return the columns of numbers in the order of writing; time and power always, others where known."""
    nothing = np.full(len(many), np.nan)
    columns = {q.column: many.values.get(q.column, nothing) for q in measured()}
    columns |= {q.se_column: many.se.get(q.column, nothing) for q in measured()}
    columns[DURATION] = many.duration_s
    always = ("time_ms", "power_w")
    return {name: cells for name, cells in columns.items() if name in always or not np.isnan(cells).all()}


def _blocks(many: ManyProfiles) -> Generator[str]:
    numbers = _numbers(many)
    has_flags = any(many.flags.present())
    extras = {name: column for name, column in many.extras.items() if (column.codes >= 0).any()}
    header = ["device", "workload", *(header_of(name, Role.KNOB) for name in many.knobs), *numbers.keys()]
    header += ["flags"] * has_flags + [header_of(name, Role.EXTRA) for name in extras]
    # Before Python 3.13 the csv module leaves a carriage return bare, and a reader ends the row there.
    texts = chain(header, *many.owners.present(), *(column.present() for column in extras.values()))
    bare = any("\r" in text for text in texts) or any("\r" in f for fs in many.flags.present() for f in fs)
    quoting = csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL
    flags = [_BETWEEN_FLAGS.join(flags) for flags in many.flags.values]
    for begin in range(0, len(many), BLOCK_ROWS):
        part = slice(begin, begin + BLOCK_ROWS)
        owners = [many.owners.values[code] for code in many.owners.codes[part].tolist()]
        columns: list[Sequence[str]] = [[owner[0] for owner in owners], [owner[1] for owner in owners]]
        columns += [_cells(many.settings[part, j]) for j in range(len(many.knobs))]
        columns += [_cells(cells[part]) for cells in numbers.values()]
        if has_flags:
            columns.append([flags[int(code)] for code in many.flags.codes[part].tolist()])
        for column in extras.values():
            columns.append([column.values[c] if c >= 0 else "" for c in column.codes[part].tolist()])
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n", quoting=quoting)
        if not begin:
            writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))
        yield text.getvalue()


def _cells(numbers: FloatArray) -> list[str]:
    return [_number(number) for number in numbers.tolist()]


def _number(number: float) -> str:
    """Return the shortest text that reads back as `number`, empty for NaN."""
    if math.isnan(number):
        return ""
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else repr(number)
