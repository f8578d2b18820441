"""What a table is read from: text of any common form, as a header and blocks of rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol, final

from powertrain.dataset._heading import MOST_REMARKS, headed, is_remark
from powertrain.errors import CsvError
from powertrain.files import CHUNK_BYTES, read_file

__all__ = ["BLOCK_ROWS", "Block", "Place", "Source", "content_of", "csv_source", "in_blocks"]

BLOCK_ROWS = 1 << 15
"""Rows that are in memory as text at once."""
_LARGEST_BYTES = 1 << 29
"""Half a gibibyte: some five million rows."""
_GZIP = b"\x1f\x8b"
_SEPARATORS = (",", ";", "\t", "|")


class _Reader(Protocol):
    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


Block = tuple[list[int], list[list[str]]]
"""The line on which each row begins, counted from 1, and the rows."""


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


@final
@dataclass(frozen=True, kw_only=True)
class Source:
    """A table as text: its header, and its rows in blocks."""

    header: list[str]
    line: int
    """Line of the header, counted from 1."""
    blocks: Iterable[Block]
    decimal_comma: bool = False
    """Whether a comma within a number may stand for the decimal point."""
    ambiguous_thousands: bool = False
    """Whether a comma before three digits may as well part thousands."""


def content_of(place: Place) -> bytes:
    """Return the bytes of a file, unpacked if it is compressed with gzip."""
    content = place.content
    try:
        content = read_file(place.path, most_bytes=_LARGEST_BYTES) if content is None else content
    except OSError as error:
        raise CsvError(f"cannot read {place.path}: {error.strerror}") from error
    except ValueError as error:
        raise CsvError(f"{error}: part it into several") from None
    return _unpacked(content, place) if content.startswith(_GZIP) else content


def _unpacked(content: bytes, place: Place) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(_LARGEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise place.error(f"the gzip file is damaged ({error}): copy it again") from error
    if len(unpacked) > _LARGEST_BYTES:
        raise place.error(f"it is larger than {_LARGEST_BYTES:,} bytes once unpacked: part it into several")
    return unpacked


def csv_source(content: bytes, place: Place) -> Source:
    """Return the table in UTF-8 text with any usual separator; blank rows are left out."""
    _refuse_what_is_no_text(content, place)
    separator, padded = _dialect(content)
    (line, header), rows = headed(_rows(content, place, separator, padded=padded), place.error)
    if len(header) == 1 and len(header[0].split()) > 2:
        raise place.error("no comma, semicolon or tab parts the columns: save it as CSV", line)
    return Source(
        header=header,
        line=line,
        blocks=in_blocks(rows),
        decimal_comma=separator != ",",
        ambiguous_thousands=separator in "\t|",
    )


def _refuse_what_is_no_text(content: bytes, place: Place) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise place.error("the text is UTF-16: save it as UTF-8")
    decoder = codecs.getincrementaldecoder("utf-8")()
    begin = 0
    try:
        for begin in range(0, len(content), CHUNK_BYTES):
            decoder.decode(content[begin : begin + CHUNK_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        _refuse_bytes(content, place)
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise place.error("there is a NUL byte: give a text file", line)
    if not content.removeprefix(codecs.BOM_UTF8).strip():
        raise place.error("the file is empty: begin with a line device,workload,KNOBS,time_ms,power_w")


def _refuse_bytes(content: bytes, place: Place) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise place.error(f"byte {content[error.start]:#04x} is not UTF-8: save it as UTF-8", line) from None


def _dialect(content: bytes) -> tuple[str, bool]:
    """Return what separates the columns, and whether blanks follow it, by the first rows.

    Of the separators that part most rows alike, it is the one that parts the earliest row, and then the one
    that makes the most cells.
    """
    best: tuple[tuple[bool, int, int], str, list[str]] = ((False, -MOST_REMARKS, 1), ",", [])
    for separator in _SEPARATORS:
        try:
            rows = list(islice(filter(_is_filled, _parsed(content, separator)), MOST_REMARKS))
        except csv.Error:
            continue
        at = next((i for i, row in enumerate(rows) if not is_remark(row)), None)
        if at is not None:
            alike = sum(len(row) == len(rows[at]) for row in rows[at:])
            best = max(best, ((2 * alike >= len(rows) - at, -at, len(rows[at])), separator, rows[at]))
    # After ", " a quote opens a cell only if the reader is told to skip the blank.
    return best[1], any(name.startswith(" ") for name in best[2][1:])


def _rows(content: bytes, place: Place, separator: str, *, padded: bool) -> Generator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, the header first, and the line on which each begins."""
    begin, width = 1, 0
    try:
        reader = _parsed(content, separator, skip_blanks=padded)
        for row in reader:
            if _is_filled(row):
                if width and len(row) != width:
                    raise place.error(f"the row has {len(row)} cells, the header {width}", begin)
                width = width or (0 if is_remark(row) else len(row))
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        raise place.error(f"the quoting is broken ({error}): close every quote", begin) from None


def _is_filled(row: list[str]) -> bool:
    return any(row) and not (len(row) == 1 and row[0].isspace())


def in_blocks(rows: Iterable[tuple[int, list[str]]]) -> Generator[Block]:
    """Yield numbered rows in blocks of `BLOCK_ROWS`."""
    lines: list[int] = []
    cells: list[list[str]] = []
    for line, row in rows:
        lines.append(line)
        cells.append(row)
        if len(cells) == BLOCK_ROWS:
            yield lines, cells
            lines, cells = [], []
    if cells:
        yield lines, cells


def _parsed(content: bytes, separator: str, *, skip_blanks: bool = False) -> _Reader:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    return csv.reader(text, delimiter=separator, strict=True, skipinitialspace=skip_blanks)
