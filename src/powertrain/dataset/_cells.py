"""The cells of a table: text to checked numbers, each refusal with its line."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Sequence
from typing import final

import numpy as np

from powertrain.columns import EXTRA_PREFIX, KNOB_PREFIX, Column, Role, is_unit, map_line
from powertrain.dataset._source import Place, Source
from powertrain.errors import CsvError
from powertrain.knobs import KNOWN_KNOBS, KnownKnob
from powertrain.quantities import LARGEST, SMALLEST, Quantity, by_column
from powertrain.records import Coded, FloatArray, Owner

__all__ = ["Sheet"]

NAN = float("nan")
_MOST_MHZ = 100_000.0
"""Beyond this a clock was given in kHz or Hz."""
_IF_NOT_MEASURED = "leave the cell empty if it was not measured"
_WITH_UNIT = re.compile(r"\s*(?P<number>[-+]?[\d.,]+(?:[eE][-+]?\d+)?)\s*(?P<unit>[a-zA-Zµ]+)\s*")
_COMMA = re.compile(r"\s*[-+]?\d*,\d+(?:[eE][-+]?\d+)?\s*")
_THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(?:,\d{3})+\s*")
_ABSENT = frozenset(
    (
        *("[n/a]", "[not supported]", "[unknown error]", "[insufficient permissions]"),
        *("n/a", "na", "#n/a", "<na>", "none", "null", "-", "--"),
    )
)
"""What nvidia-smi, and others, write where there is nothing to read."""
_PARTED = re.compile(
    r"\s*[-+]?\d{1,3}(?:(?:,\d{3})+(?:\.\d*)?|(?:\.\d{3})+,\d*|(?:[ '\u00a0\u202f]\d{3})+)\s*"
)
"""A number with its thousands parted."""


@final
class Sheet:
    """The rows of a table by column, read as text or as numbers.

    Numbers of the profile are kept as numbers, everything else as codes of the distinct cells, so that a
    million rows take some tens of bytes each.
    """

    def __init__(self, place: Place, columns: Sequence[Column], source: Source) -> None:
        self._place, self._source = place, source
        self._lines = array("q")
        self._decimals: set[str] = set()
        self._numbers: dict[str, list[FloatArray]] = {}
        self._codes: dict[str, array[int]] = {}
        self._known: dict[str, dict[str, int]] = {}
        for column in columns:
            if column.role is Role.NUMBER:
                self._numbers[column.header] = []
            else:
                self._codes[column.header], self._known[column.header] = array("i"), {}
        for lines, rows in source.blocks:
            self._take(columns, lines, rows)
        self.n_rows = len(self._lines)
        self.columns = [self._settled(column) for column in columns]

    def _take(self, columns: Sequence[Column], lines: list[int], rows: list[list[str]]) -> None:
        begin = len(self._lines)
        self._lines.extend(lines)
        for column, cells in zip(columns, zip(*rows, strict=True), strict=True):
            if column.role is Role.NUMBER:
                self._numbers[column.header].append(self._measured(column, cells, begin))
            else:
                known = self._known[column.header]
                self._codes[column.header].extend([known.setdefault(cell, len(known)) for cell in cells])

    def of_role(self, role: Role) -> list[Column]:
        """Return the columns of one role, in the order of the file."""
        return [column for column in self.columns if column.role is role]

    def text(self, column: Column) -> Coded:
        """Return the cells of a column as they are."""
        codes = np.frombuffer(self._codes[column.header], dtype=np.int32)
        return Coded(tuple(self._known[column.header]), codes)

    def names(self, role: Role) -> Coded:
        """Return the names in the one column of `role`, without surrounding blanks, none of them empty."""
        (column,) = self.of_role(role)
        text = self.text(column)
        names = [cell.strip() for cell in text.values]
        if "" in names:
            raise self.error(_first(text, names.index("")), f"the {column.name} is empty: fill it in")
        return Coded(names, text.codes)

    def owners(self, *, device: str | None, workload: str | None) -> Coded:
        """Return `(device, workload)` of each row; a name that was given is that of all rows."""
        devices = Coded.constant(device, self.n_rows) if device else self.names(Role.DEVICE)
        workloads = Coded.constant(workload, self.n_rows) if workload else self.names(Role.WORKLOAD)
        many = len(workloads.values)
        pairs, codes = np.unique(devices.codes.astype(np.int64) * many + workloads.codes, return_inverse=True)
        owners: list[Owner] = [
            (devices.values[p // many], workloads.values[p % many]) for p in pairs.tolist()
        ]
        # Two cells may be one name with other blanks around.
        number = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
        renamed = np.array([number[owner] for owner in owners], dtype=np.int32)
        return Coded(tuple(number), renamed[codes.reshape(-1)])

    def measurements(self, column: Column) -> FloatArray:
        """Return a quantity of the profile in its unit, NaN where the cell is empty."""
        return np.concatenate(self._numbers[column.header] or [np.empty(0)])

    def _measured(self, column: Column, cells: Sequence[str], begin: int) -> FloatArray:
        """Read and check cells of a quantity, the first of them in row `begin`."""

        def refused(at: int, why: str) -> CsvError:
            return self.error(begin + at, f"{column.header} is {cells[at].strip()!r}, {why}")

        values = self._floats(column, cells, refused)
        quantity = by_column().get(column.name)
        # What is not a quantity is a duration or an error bar, and may be zero.
        least, reached = (quantity.low, quantity.reaches_low) if quantity else (0.0, True)
        most = min(quantity.plausible, quantity.high, LARGEST) if quantity else LARGEST
        too_low = values < least if reached else (values <= least) | (np.abs(values) < SMALLEST)
        for at in np.flatnonzero(too_low | (values > most) | np.isinf(values))[:1].tolist():
            value = float(values[at])
            if too_low[at]:
                negative = least <= 0 and -math.inf < value < 0
                kind = "zero" if value == 0 else "negative" if negative else "too low"
                raise refused(at, f"which is {kind}: {_IF_NOT_MEASURED}")
            if math.isinf(value):
                raise refused(at, f"which is infinite: {_IF_NOT_MEASURED}")
            if quantity is None or most == LARGEST:
                raise refused(at, f"which is above {most:g}: {_IF_NOT_MEASURED}")
            raise refused(at, _too_much(quantity, most))
        return values

    def settings(self, column: Column) -> FloatArray:
        """Return the values of a knob in its unit, NaN where the cell is empty."""
        text = self.text(column)
        cells: Sequence[str] = text.values

        def refused(at: int, why: str) -> CsvError:
            return self.error(_first(text, at), f"{column.header} is {cells[at].strip()!r}, {why}")

        values = self._floats(column, cells, refused)
        clock = "_mhz" in column.name
        known = KNOWN_KNOBS.get(column.name, KnownKnob(meaning="") if clock else None)
        least = known.least if known else -math.inf
        most = _MOST_MHZ if clock else LARGEST
        for at, value in enumerate(values.tolist()):
            if not math.isfinite(value) and not _is_blank(cells[at]):
                raise refused(at, "and a knob needs a finite number: correct or delete the row")
            if value < least:
                bound = f"at least {least:g}" if least == 0 or least >= 1 else "above zero"
                raise refused(at, f"and must be {bound}: correct or delete the row")
            if abs(value) > LARGEST or (0 < abs(value) < SMALLEST):
                raise refused(at, f"which no knob is set to: give 0, or {SMALLEST:g} to {LARGEST:g}")
            if value > most:
                raise refused(at, f"more than {most:g} MHz: if it is kHz or Hz, name that unit")
        return values[text.codes] if len(text.codes) else np.empty(0)

    def error(self, row: int, message: str) -> CsvError:
        """Return the error that names the line of a row."""
        return self._place.error(message, self._lines[row])

    def _floats(
        self, column: Column, cells: Sequence[str], refused: Callable[[int, str], CsvError]
    ) -> FloatArray:
        """Read cells as numbers in the unit of the column's name."""
        values = _plain_numbers(cells)
        if values is None:
            listed = [self._number(column, cell) for cell in cells]
            if None in listed:
                raise refused(listed.index(None), self._no_number(column, cells[listed.index(None)]))
            values = np.array(listed, dtype=np.float64)
        if self._source.decimal_comma:
            self._note_decimals(cells, refused)
        convert = column.convert
        # One at a time, because what a new quantity brings may not take arrays.
        return values if convert is None else np.array([convert(value) for value in values.tolist()])

    def _note_decimals(self, cells: Sequence[str], refused: Callable[[int, str], CsvError]) -> None:
        """Refuse a table in which some numbers have a decimal comma and others a point."""
        for mark in ",.":
            if mark not in self._decimals and mark in (joined := "\n".join(cells)) and joined:
                self._decimals.add(mark)
                if len(self._decimals) == 2:
                    at = next(i for i, cell in enumerate(cells) if mark in cell)
                    raise refused(at, "and other numbers have a comma or a point there: write all one way")

    def _no_number(self, column: Column, cell: str) -> str:
        if self._source.decimal_comma and _THOUSANDS.fullmatch(cell):
            return "and the comma may part decimals or thousands: write it without"
        if _PARTED.fullmatch(cell):
            return "and its thousands are parted: write it without that"
        found = _WITH_UNIT.fullmatch(cell)
        if found and column.unit and is_unit(found["unit"]):
            return f"and the unit of the column is {column.unit}: convert it"
        if column.role is Role.KNOB:
            return (
                f"which is not a number; if the column is not a knob, call it {EXTRA_PREFIX}{column.header}"
            )
        return f"which is not a number: {_IF_NOT_MEASURED}"

    def _number(self, column: Column, cell: str) -> float | None:
        """Return the number in a cell, NaN for a blank one, None for anything else."""
        if _is_blank(cell):
            return NAN
        found = _WITH_UNIT.fullmatch(cell)
        if found and column.unit and found["unit"].lower() == column.unit:
            cell = found["number"]
        if self._source.decimal_comma and _COMMA.fullmatch(cell):
            if self._source.ambiguous_thousands and _THOUSANDS.fullmatch(cell):
                return None
            cell = cell.replace(",", ".")
        return _parsed(cell)

    def _settled(self, column: Column) -> Column:
        """Decide by its cells what an unknown column is: text is kept aside, numbers are asked about."""
        if column.role is not Role.UNKNOWN:
            return column
        text = self.text(column)
        counts: list[int] = np.bincount(text.codes, minlength=len(text.values)).tolist()
        filled = numbers = 0
        for cell, count in zip(text.values, counts, strict=False):
            if not _is_blank(cell):
                filled += count
                numbers += count * (self._number(column, cell) is not None)
        is_number = 2 * numbers > filled
        return column if is_number else Column(header=column.header, name=column.header, role=Role.EXTRA)

    def refuse_unknown(self) -> None:
        """Ask about columns of numbers whose names say too little.

        Raises:
            CsvError: There are some; the message has the options that answer.
        """
        unknown = {column.header: column.answer for column in self.of_role(Role.UNKNOWN)}
        if not unknown:
            return
        names = ", ".join(map(repr, unknown))
        one = len(unknown) == 1
        without = {c.answer for c in self.of_role(Role.UNKNOWN) if not c.unit}
        other = {"time_ms": "time_s for seconds", "power_w": "power_mw for milliwatts"}
        units = "".join(f"; {text}" for answer, text in other.items() if answer in without)
        raise self._place.error(
            f"column{'' if one else 's'} {names} {'is' if one else 'are'} not known: say what "
            f"{'it is' if one else 'they are'}, as in {map_line(unknown)} ({KNOB_PREFIX}NAME is a setting, "
            f"{EXTRA_PREFIX}NAME is kept aside{units})",
            self._source.line,
        )


def _first(text: Coded, code: int) -> int:
    """Return the first row that has a code."""
    return int(np.argmax(text.codes == code))


def _is_blank(cell: str) -> bool:
    return not cell.strip() or cell.strip().lower() in _ABSENT


def _plain_numbers(cells: Sequence[str]) -> FloatArray | None:
    """Return cells that are all numbers as Python writes them; None where one is anything else."""
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    # Python reads 1_000 as a thousand, which no table means.
    return None if any("_" in cell for cell in cells) else values


def _parsed(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def _too_much(quantity: Quantity, most: float) -> str:
    """Say that a value is beyond what its unit can mean, and which spelling has the smaller unit."""
    spelling = next(iter(quantity.spellings), "")
    advice = f"if its unit is smaller, call it {spelling}" if spelling else "check its unit"
    return f"more than {most:g} {quantity.unit}: {advice}"
