"""The cells of a CSV file: bytes to rows, cells to checked numbers, each refusal with its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from powertrain.dataset._columns import EXTRA_PREFIX, Column, Role
from powertrain.errors import CsvError
from powertrain.files import read_file
from powertrain.quantities import Quantity, by_column
from powertrain.space import KNOWN_KNOBS, KnownKnob

__all__ = ["Place", "Sheet", "split_rows", "text_of"]

NAN = float("nan")
DATABASE, ARCHIVE = b"SQLite format 3\0", b"PK\x03\x04"
"""How files begin that are given in the place of a CSV file."""
_MOST_MHZ = 100_000.0
"""Beyond this a clock was given in kHz or Hz."""
_LARGEST_BYTES = 1 << 29
"""Half a gibibyte: some five million rows, which take ten times as much memory once read."""
_OTHER_SEPARATOR = re.compile("[;\t|]")
_IF_NOT_MEASURED = "leave the cell empty if it was not measured"


@final
@dataclass(frozen=True)
class Place:
    """The file, for messages."""

    path: Path
    content: bytes | None = None
    """What it holds, where that was read already."""

    def error(self, message: str, line: int | None = None) -> CsvError:
        """Return the error that says where (in which line, counted from 1) and what."""
        return CsvError(f"{self.path}: {message}" if line is None else f"{self.path}, line {line}: {message}")


def text_of(place: Place) -> str:
    """Return the text of a UTF-8 file, without its byte-order mark; a blank file is refused."""
    content = place.content
    try:
        content = read_file(place.path, most_bytes=_LARGEST_BYTES) if content is None else content
    except OSError as error:
        raise CsvError(f"cannot read {place.path}: {error.strerror}") from error
    except ValueError as error:
        raise CsvError(f"{error}: part it into several") from None
    if content.startswith(DATABASE):
        raise CsvError(
            f"{place.path} is a database, and a CSV file was asked for: powertrain export --db "
            f"{place.path} FILE.csv writes its profiles as one, and other commands take it with --db"
        )
    if content.startswith(ARCHIVE):
        raise CsvError(
            f"{place.path} is a predictor or another archive, and a CSV file was asked for: powertrain show "
            f"{place.path} tells what it holds"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise place.error("the text is UTF-16: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise place.error(f"byte {content[error.start]:#04x} is not UTF-8: save it as UTF-8", line) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise place.error("there is a NUL byte: give a text file", line)
    if not text.strip():
        raise place.error("the file is empty: begin with a line device,workload,KNOBS,time_ms,power_w")
    return text


def split_rows(text: str, place: Place) -> tuple[list[list[str]], list[int]]:
    """Return the rows that are not blank, the header first, and the line on which each begins."""
    rows: list[list[str]] = []
    lines: list[int] = []
    begin = 1
    try:
        # After ", " a quote opens a cell only if the reader is told to skip the blank.
        padded = any(name.startswith(" ") for name in next(filter(any, _parsed(text)))[1:])
        reader = _parsed(text, skip_blanks=padded)
        for row in reader:
            if any(row) and not (len(row) == 1 and row[0].isspace()):
                if rows and len(row) != len(rows[0]):
                    raise place.error(f"the row has {len(row)} cells, the header {len(rows[0])}", begin)
                if not rows and len(row) == 1 and _OTHER_SEPARATOR.search(row[0]):
                    raise place.error("the columns are not separated by commas: save it as such", begin)
                rows.append(row)
                lines.append(begin)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise place.error(f"the quoting is broken ({error}): close every quote", begin) from None
    return rows, lines


@final
class Sheet:
    """The rows of a file by column, read as text or as numbers."""

    def __init__(
        self, place: Place, columns: Sequence[Column], rows: Sequence[Sequence[str]], lines: Sequence[int]
    ) -> None:
        self._place = place
        self._lines = lines
        self._cells = dict(zip((c.header for c in columns), zip(*rows, strict=True), strict=True))
        self.n_rows = len(rows)
        self.columns = [_settled(column, self._cells[column.header]) for column in columns]

    def of_role(self, role: Role) -> list[Column]:
        """Return the columns of one role, in the order of the file."""
        return [column for column in self.columns if column.role is role]

    def text(self, column: Column) -> Sequence[str]:
        """Return the cells of a column as they are."""
        return self._cells[column.header]

    def names(self, role: Role) -> list[str]:
        """Return the names in the one column of `role`, without surrounding blanks, none of them empty."""
        (column,) = self.of_role(role)
        names = [cell.strip() for cell in self.text(column)]
        if not all(names):
            raise self.error(names.index(""), f"the {column.name} is empty: fill it in")
        return names

    def measurements(self, column: Column) -> list[float]:
        """Return a quantity of the profile in its unit, NaN where the cell is empty."""
        values = self._floats(column)
        quantity = by_column().get(column.name)
        # What is not a quantity is a duration or an error bar, and may be zero.
        least, reached = (quantity.low, quantity.reaches_low) if quantity else (0.0, True)
        most = min(quantity.plausible, quantity.high) if quantity else math.inf
        for row, value in enumerate(values):
            if value < least or (value == least and not reached):
                kind = "zero" if value == 0 else "negative" if least <= 0 and value > -math.inf else "too low"
                raise self._refused(column, row, f"which is {kind}: {_IF_NOT_MEASURED}")
            if math.isinf(value):
                raise self._refused(column, row, f"which is infinite: {_IF_NOT_MEASURED}")
            if value > most:
                assert quantity is not None
                raise self._refused(column, row, _too_much(quantity, most))
        return values

    def settings(self, column: Column) -> list[float]:
        """Return the values of a knob in its unit, NaN where the cell is empty."""
        values = self._floats(column)
        cells = self.text(column)
        clock = "_mhz" in column.name
        known = KNOWN_KNOBS.get(column.name, KnownKnob(meaning="") if clock else None)
        least = known.least if known else -math.inf
        most = _MOST_MHZ if clock else math.inf
        for row, value in enumerate(values):
            if not math.isfinite(value) and cells[row].strip():
                raise self._refused(
                    column, row, "and a knob needs a finite number: correct or delete the row"
                )
            if value < least:
                bound = f"at least {least:g}" if least == 0 or least >= 1 else "above zero"
                raise self._refused(column, row, f"and must be {bound}: correct or delete the row")
            if value > most:
                raise self._refused(
                    column, row, f"more than {most:g} MHz: if it is kHz or Hz, name that unit"
                )
        return values

    def error(self, row: int, message: str) -> CsvError:
        """Return the error that names the line of a row."""
        return self._place.error(message, self._lines[row])

    def _refused(self, column: Column, row: int, why: str) -> CsvError:
        return self.error(row, f"{column.header} is {self.text(column)[row].strip()!r}, {why}")

    def _floats(self, column: Column) -> list[float]:
        cells = self.text(column)
        numbers = [_number(cell) for cell in cells]
        values = [number for number in numbers if number is not None]
        if len(values) < len(numbers):
            advice = f": {_IF_NOT_MEASURED}"
            if column.role is Role.KNOB:
                advice = f"; if the column is not a knob, call it {EXTRA_PREFIX}{column.header}"
            raise self._refused(column, numbers.index(None), f"which is not a number{advice}")
        return values if column.convert is None else [column.convert(value) for value in values]


def _too_much(quantity: Quantity, most: float) -> str:
    """Say that a value is beyond what its unit can mean, and which spelling has the smaller unit."""
    spelling = next(iter(quantity.spellings), "")
    advice = f"if its unit is smaller, call it {spelling}" if spelling else "check its unit"
    return f"more than {most:g} {quantity.unit}: {advice}"


def _number(cell: str) -> float | None:
    """Return the number in a cell, NaN for a blank one, None for anything else."""
    try:
        # Python reads 1_000 as a thousand, which no table means.
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None if cell.strip() else NAN


def _settled(column: Column, cells: Sequence[str]) -> Column:
    """Decide by its cells what an open column is for.

    A name like a knob's makes it one, so that text is found as the mistake that it is; under any other name
    it is one if most cells are numbers.
    """
    if column.role is not Role.OPEN:
        return column
    filled = [cell for cell in cells if cell.strip()]
    numbers = sum(_number(cell) is not None for cell in filled)
    if column.like_a_knob or 2 * numbers > len(filled):
        return replace(column, role=Role.KNOB)
    return Column(header=column.header, name=column.header, role=Role.EXTRA)


def _parsed(text: str, *, skip_blanks: bool = False):
    return csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=skip_blanks)
