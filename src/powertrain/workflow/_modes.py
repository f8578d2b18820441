"""Modes in and out of CSV files: a row per mode, a column per knob."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from powertrain.errors import CsvError, MissingKnobError
from powertrain.files import read_file
from powertrain.quantities import LARGEST
from powertrain.records import FloatArray, ModeTable

__all__ = ["modes_csv", "read_modes"]

LARGEST_BYTES = 1 << 29


def read_modes(path: Path, *, knobs: Sequence[str], content: bytes | None = None) -> ModeTable:
    """Read the modes of a CSV file, `(n_rows, len(knobs))`, in order; other columns are ignored.

    Args:
        path: The file.
        knobs: The columns to read.
        content: What the file holds, if it was read already; `path` then only names it in messages.

    Raises:
        MissingKnobError: One of `knobs` is not a column.
        CsvError: The file cannot be read, has no rows, or a cell is not a finite number.
    """
    try:
        raw = read_file(path, most_bytes=LARGEST_BYTES) if content is None else content
        text = io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig", newline="")
        raw.decode("utf-8-sig")
    except OSError as error:
        raise CsvError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CsvError(f"{path} is not UTF-8 text: give a CSV file with a column per knob") from error
    except ValueError as error:
        raise CsvError(f"{error}: part it into several") from None
    reader = csv.reader(text)
    try:
        header = [name.strip() for name in next(reader, list[str]())]
        missing = [knob for knob in knobs if knob not in header]
        if missing:
            raise MissingKnobError(
                f"{path} has no column {', '.join(missing)}: it has {', '.join(header) or 'none'}, and the "
                f"modes need {', '.join(knobs)}"
            )
        columns = [header.index(knob) for knob in knobs]
        fast = _plain_table(raw, columns)
        if fast is not None:
            return ModeTable(knobs=tuple(knobs), values=fast)
        rows = [_row(row, columns, header, f"{path}, line {reader.line_num}") for row in reader if any(row)]
    except csv.Error as error:
        raise CsvError(f"{path}, line {reader.line_num}: {error}") from error
    if not rows:
        raise CsvError(f"{path} has a header and no rows: add one row per mode")
    return ModeTable(knobs=tuple(knobs), values=np.array(rows))


def _plain_table(content: bytes, columns: Sequence[int]) -> FloatArray | None:
    """Return the columns of a file in which every cell of theirs is a plain number, None for any other file.

    It takes a tenth of the time, and the slower way names the line of what is wrong.
    """
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig")
    form: dict[str, Any] = {"delimiter": ",", "comments": None, "quotechar": '"', "ndmin": 2}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of a file without rows
            values = np.loadtxt(text, skiprows=1, usecols=list(columns), **form)
    except (ValueError, IndexError, UserWarning):
        return None
    return values if len(values) and (np.abs(values) <= LARGEST).all() else None


def _row(row: Sequence[str], columns: Sequence[int], header: Sequence[str], place: str) -> list[float]:
    values: list[float] = []
    for column in columns:
        cell = row[column].strip() if column < len(row) else ""
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not abs(value) <= LARGEST:  # which NaN is not, either
            raise CsvError(
                f"{place}: {header[column]} is {cell!r}, which is not a finite number of up to {LARGEST:g}"
            )
        values.append(value)
    return values


def modes_csv(modes: ModeTable) -> str:
    """Return the text of a CSV file that `read_modes` reads."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(modes.knobs)
    writer.writerows([f"{value:.15g}" for value in row] for row in modes.values)
    return buffer.getvalue()
