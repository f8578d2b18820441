"""Tables and sentences on a screen of some width, on which no word and no number is broken.

A table that is too wide has its cells wrapped between words. Where that would not do, each row becomes a
block with a line for each column.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from powertrain.report._tables import DASH, Table, one_line

__all__ = ["FittedTable", "fit_table", "wrap_words"]

MARGIN, GAP = " ", "   "
MOST_LINES = 4
"""Of a row of three columns or more; with more lines a block is easier to read."""
RULE = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
NUMBERS_BEGIN_WITH = ("-", DASH, "\N{INFINITY}", *"0123456789")


@final
@dataclass(frozen=True, kw_only=True)
class FittedTable:
    """Lines of a table without its title and note."""

    head: tuple[str, ...]
    """The headings; none where each row is a block."""
    body: tuple[str, ...]


def fit_table(table: Table, width: int) -> FittedTable:
    """Lay a table out in lines of at most `width` columns of a screen, if its longest word allows it."""
    cells = [tuple(map(one_line, row)) for row in table.cells()]
    head = tuple(map(one_line, table.headings))
    widths = _widths([head, *cells], width - len(MARGIN) - len(GAP) * (len(head) - 1))
    if widths is None:
        return _as_blocks(head, cells, width)
    right = [_holds_numbers([row[j] for row in cells]) for j in range(len(head))]
    rule = RULE * (len(MARGIN) + sum(widths) + len(GAP) * (len(widths) - 1))
    return FittedTable(
        head=(*(line for line in _row_lines(head, widths, right) if line), rule),
        body=tuple(line for row in cells for line in _row_lines(row, widths, right)),
    )


def wrap_words(text: str, width: int, *, indent: str = "") -> list[str]:
    """Break a sentence between words into lines of at most `width` columns; a longer word has its own line.

    All lines but the first begin with the indent.
    """
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        room = width - (len(indent) if lines else 0)
        if line and _columns(longer) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    first, *others = [*lines, line]
    return [first, *(indent + other for other in others)]


def _widths(grid: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return the width of each column so that all fit into the room; None where blocks are better."""
    columns = list(zip(*grid, strict=True))
    whole = [max(map(_columns, column)) for column in columns]
    if sum(whole) <= room:
        return whole
    least = [max(_columns(word) for cell in column for word in cell.split() or [""]) for column in columns]
    if sum(least) > room:
        return None

    def limited(most: int) -> list[int]:
        return [min(full, max(short, most)) for full, short in zip(whole, least, strict=True)]

    # The widest columns give way first.
    most = next(most for most in range(max(whole), -1, -1) if sum(limited(most)) <= room)
    widths = limited(most)
    lines = max(len(wrap_words(cell, width)) for row in grid for cell, width in zip(row, widths, strict=True))
    return widths if lines <= MOST_LINES or len(widths) == 2 else None


def _row_lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    wrapped = [wrap_words(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines: list[str] = []
    for k in range(max(map(len, wrapped))):
        padded = (
            _pad(parts[k] if k < len(parts) else "", width, right=is_right)
            for parts, width, is_right in zip(wrapped, widths, right, strict=True)
        )
        lines.append((MARGIN + GAP.join(padded)).rstrip())
    return lines


def _as_blocks(head: Sequence[str], cells: Sequence[Sequence[str]], width: int) -> FittedTable:
    """Make a block of each row; a table of names and values needs no headings."""
    pairs = len(head) == 2
    blocks = [[(row[0], row[1])] if pairs else list(zip(head, row, strict=True)) for row in cells]
    named = [(name, value) for block in blocks for name, value in block]
    names = max((_columns(name) for name, _ in named), default=0)
    longest = max((_columns(word) for _, value in named for word in value.split()), default=0)
    beside = len(MARGIN) + names + 2 + longest <= width
    lines: list[str] = []
    for block in blocks:
        if lines and not pairs:
            lines.append("")
        for name, value in block:
            lines += _beside(name, value, names, width) if beside else _below(name, value, width)
    return FittedTable(head=(), body=tuple(lines))


def _beside(name: str, value: str, names: int, width: int) -> list[str]:
    start = f"{MARGIN}{_pad(name, names)}  "
    first, *others = wrap_words(value, width - len(MARGIN) - names - 2)
    return [(start + first).rstrip(), *(" " * (len(MARGIN) + names + 2) + other for other in others)]


def _below(name: str, value: str, width: int) -> list[str]:
    indent = MARGIN * 3
    named = [MARGIN + line for line in wrap_words(name, width - len(MARGIN))] if name else []
    return [*named, *(indent + line for line in wrap_words(value, width - len(indent)) if line)]


def _holds_numbers(column: Sequence[str]) -> bool:
    return bool(column) and all(cell.startswith(NUMBERS_BEGIN_WITH) for cell in column)


def _pad(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * (width - _columns(text))
    return blanks + text if right else text + blanks


def _columns(text: str) -> int:
    """Return how many columns of a screen a text takes: two for each wide character."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return len(text) + wide - sum(unicodedata.combining(sign) > 0 for sign in text)
