"""Where a table begins: which of its first rows are titles and remarks, and which has the names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from powertrain.columns import is_unit
from powertrain.errors import CsvError

__all__ = ["MOST_REMARKS", "Row", "headed", "is_remark"]

Row = tuple[int, list[str]]
"""The line on which a row begins, counted from 1, and its cells."""

MOST_REMARKS = 50
"""Rows above the names, at most."""


def is_remark(row: list[str]) -> bool:
    """Tell whether a row above the names is none of the table: a title in one cell, or a comment."""
    return row[0].lstrip().startswith("#") or sum(bool(cell.strip()) for cell in row) < 2


def headed(rows: Iterator[Row], refused: Callable[[str, int], CsvError]) -> tuple[Row, Iterator[Row]]:
    """Return the row with the names of the columns, and an iterator of the rows after it.

    Titles and comments above the names are left out. Units in a row of their own below the names are added to
    them. `refused` makes an error of a message and a line.

    Raises:
        CsvError: The names take several rows.
    """
    above: list[Row] = []
    names = next(rows)
    while is_remark(names[1]) and len(above) < MOST_REMARKS:
        above.append(names)
        names = next(rows, above[0])
        if names is above[0]:  # there is one column, whatever it may be
            return names, iter(above[1:])
    line, header = names
    first = next(rows, None)
    if above and _is_commented_out(above[-1][1], header):
        rest = [names] if first is None else [names, first]
        line, header = above[-1]
        return (line, [header[0].lstrip(" #"), *header[1:]]), chain(rest, rows)
    if first is None:
        return names, rows
    if _is_of_units(first[1]):
        return (line, [_with_unit(*both) for both in zip(header, first[1], strict=True)]), rows
    if _goes_on(header, first[1]):
        raise refused(
            "the names of the columns take two rows: write them into one, such as 'mean time (ms)'", line
        )
    return names, chain([first], rows)


def _is_commented_out(comment: list[str], first: list[str]) -> bool:
    """Tell whether the last comment has the names of the columns, as numpy writes them."""
    is_names = comment[0].lstrip().startswith("#") and len(comment) == len(first) > 1
    return is_names and all(_is_number(cell) for cell in first)


def _is_of_units(row: list[str]) -> bool:
    filled = [cell.strip(" []()") for cell in row if cell.strip()]
    return any(map(is_unit, filled)) and all(is_unit(cell) or cell in ("-", "%", "1") for cell in filled)


def _with_unit(name: str, unit: str) -> str:
    unit = unit.strip(" []()")
    return f"{name} ({unit})" if name.strip() and is_unit(unit) else name


def _goes_on(header: list[str], row: list[str]) -> bool:
    """Tell whether the row below the names has names as well: some above are missing, or the same."""
    lacks = any(not name.strip() for name in header[1:]) or len(set(header)) < len(header)
    filled = [cell for cell in row if cell.strip()]
    return lacks and len(filled) > 1 and not any(_is_number(cell) for cell in filled)


def _is_number(cell: str) -> bool:
    return any(mark.isdigit() for mark in cell) and not any(mark.isalpha() for mark in cell)
