"""Tables as values: made once, shown as plain text, Markdown or HTML (and by the command line in colour).

A cell is text, a number or `None`; numbers are written with the significant digits of their column. What is
not known (`None` or NaN) is shown as a dash.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from powertrain.wording import visible

__all__ = [
    "Cell",
    "Column",
    "Table",
    "escape_html",
    "format_number",
    "one_line",
    "to_html",
    "to_markdown",
    "to_text",
]

Cell = str | float | int | None

DASH = "\N{EN DASH}"


@final
@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading, the unit of what stands below it, and how exactly to write it."""

    name: str
    unit: str = ""
    digits: int = 3
    """Significant digits of numbers that are not whole."""

    def __post_init__(self) -> None:
        if self.digits < 1:
            raise ValueError(f"column {self.name!r} asks for {self.digits} digits: give at least 1")

    @property
    def heading(self) -> str:
        """The name with its unit, as in `power [W]`."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """A title, columns, rows of as many cells, and a note to stand below."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError(f"table {self.title!r} has no columns")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.title!r} has {len(self.columns)} columns and a row of {len(row)} cells"
                )

    @classmethod
    def of(
        cls,
        title: str,
        columns: Sequence[Column | str],
        rows: Iterable[Sequence[Cell]],
        *,
        note: str = "",
    ) -> Table:
        """Build a table; a column that is only text is a name without a unit."""
        made = tuple(Column(name=column) if isinstance(column, str) else column for column in columns)
        return cls(title=title, columns=made, rows=tuple(map(tuple, rows)), note=note)

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings with units, one per column."""
        return tuple(column.heading for column in self.columns)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds numbers and no text; such a column is set to the right."""
        return tuple(
            not any(isinstance(row[j], str) for row in self.rows)
            and any(row[j] is not None for row in self.rows)
            for j in range(len(self.columns))
        )

    def cells(self) -> tuple[tuple[str, ...], ...]:
        """Return all cells as text, numbers formatted."""
        return tuple(
            tuple(_cell(cell, column.digits) for cell, column in zip(row, self.columns, strict=True))
            for row in self.rows
        )


def format_number(value: float, *, digits: int = 3) -> str:
    """Write a number with `digits` significant digits, and never fewer than its whole part has.

    Thousands are separated by commas. Whole numbers given as `int` are written in full, NaN as a dash, and
    numbers too small for a plain decimal (below 10^-4) with an exponent.

    ```pycon
    >>> [format_number(x) for x in (47.913, 0.01234, 18096, 12345.6, 3e-7)]
    ['47.9', '0.0123', '18,096', '12,346', '3e-07']

    ```
    """
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    # The exponent after rounding, so that 9.996 becomes 10.0 and not 10.00.
    exponent = int(f"{value:.{digits - 1}e}".partition("e")[2])
    if value != 0.0 and exponent < -4:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - exponent) if value != 0.0 else 0
    return f"{value:,.{decimals}f}"


def to_text(table: Table) -> str:
    """Write the table in columns of plain text, ending in a line feed."""
    # A line feed in a name would break the columns apart.
    grid = [tuple(map(one_line, row)) for row in (table.headings, *table.cells())]
    widths = [max(len(row[j]) for row in grid) for j in range(len(table.columns))]

    def line(row: tuple[str, ...]) -> str:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, table.numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    lines = [one_line(table.title), "", line(grid[0]), rule, *map(line, grid[1:])]
    if table.note:
        lines += ["", one_line(table.note)]
    return "\n".join(lines) + "\n"


def to_markdown(table: Table) -> str:
    """Write the table in Markdown, the title in bold above it, ending in a line feed."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rule = ("--:" if right else "---" for right in table.numeric)
    rows = (map(_markdown, row) for row in table.cells())
    lines = [
        f"**{_markdown(table.title)}**",
        "",
        line(map(_markdown, table.headings)),
        line(rule),
        *map(line, rows),
    ]
    if table.note:
        lines += ["", _markdown(table.note)]
    return "\n".join(lines) + "\n"


def to_html(table: Table) -> str:
    """Write the table as a `<table>` element, everything escaped, numbers in cells of class `number`.

    Each cell knows its heading, because a narrow screen shows each row as a block.
    """
    kinds = [' class="number"' if right else "" for right in table.numeric]
    head = "".join(
        f'<th scope="col"{kind}>{escape_html(text)}</th>'
        for kind, text in zip(kinds, table.headings, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(
            f'<td{kind} data-label="{escape_html(heading)}">{escape_html(text)}</td>'
            for kind, heading, text in zip(kinds, table.headings, row, strict=True)
        )
        + "</tr>"
        for row in table.cells()
    )
    note = f'\n<p class="note">{escape_html(table.note)}</p>' if table.note else ""
    return (
        f'<div class="table"><table>\n<caption>{escape_html(table.title)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>{note}</div>"
    )


def escape_html(text: str) -> str:
    """Escape text for an element or an attribute; characters that HTML forbids become blanks."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", " ", text))


def _cell(cell: Cell, digits: int) -> str:
    if cell is None:
        return DASH
    return cell if isinstance(cell, str) else format_number(cell, digits=digits)


def one_line(text: str) -> str:
    """Return a text as a cell of a screen shows it: on one line, with control characters spelled out."""
    return visible(" ".join(text.split()))


def _markdown(text: str) -> str:
    """Escape what would end a cell or start markup; names of workloads and devices may hold anything."""
    for sign in "\\|*`[<":
        text = text.replace(sign, "\\" + sign)
    return one_line(text)
