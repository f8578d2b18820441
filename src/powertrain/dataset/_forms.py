"""The forms that tables come in: told apart by how a file begins, never by its name alone."""

from __future__ import annotations

import importlib
import io
import json
import math
from collections.abc import Generator, Sequence
from typing import Any, cast

from powertrain.dataset._source import BLOCK_ROWS, Block, Place, Source, content_of, csv_source, in_blocks
from powertrain.errors import CsvError, MissingExtraError

__all__ = ["frame_source", "source_of"]

_PARQUET, _ZIP, _OLD_EXCEL = b"PAR1", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_DATABASE = b"SQLite format 3\0"
_BOM = b"\xef\xbb\xbf"


def source_of(place: Place) -> Source:
    """Return the table in a file."""
    content = content_of(place)
    begin = content[:64].removeprefix(_BOM).lstrip()
    if content.startswith(_PARQUET):
        return frame_source(_frame(content, place, "parquet"), place)
    if content.startswith(_DATABASE):
        raise CsvError(
            f"{place.path} is a database, and a CSV file was asked for: powertrain export --db "
            f"{place.path} FILE.csv writes its profiles as one, and other commands take it with --db"
        )
    if content.startswith(_ZIP) and b"[Content_Types].xml" not in content:
        raise CsvError(
            f"{place.path} is a predictor or another archive, and a CSV file was asked for: powertrain show "
            f"{place.path} tells what it holds"
        )
    if content.startswith(_ZIP):
        return frame_source(_frame(content, place, "excel"), place)
    if content.startswith(_OLD_EXCEL):
        raise place.error("this is an Excel file of the old form: save it as .xlsx")
    if begin.startswith((b"{", b"[")):
        return _json_source(content, place)
    return csv_source(content, place)


def _json_source(content: bytes, place: Place) -> Source:
    """Return the table in JSON: an object on each line, or one list of objects."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.error(f"byte {content[error.start]:#04x} is not UTF-8: save it as UTF-8") from None
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise place.error(f"the JSON is broken ({error}): correct it") from None
        records: Sequence[tuple[int, Any]] = [(1, record) for record in listed]
    else:
        records = list(_json_lines(text, place))
    names: dict[str, None] = {}
    for line, record in records:
        if not isinstance(record, dict):
            raise place.error('each row must be an object, as in {"gpu_mhz": 900, "time_ms": 12.5}', line)
        names.update(dict.fromkeys(map(str, cast("dict[str, Any]", record))))
    header = list(names)
    rows = (
        (line, [_json_cell(record.get(name), name, place, line) for name in header])
        for line, record in records
    )
    return Source(header=header, line=records[0][0] if records else 1, blocks=in_blocks(rows))


def _json_lines(text: str, place: Place) -> Generator[tuple[int, Any]]:
    for number, line in enumerate(io.StringIO(text), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise place.error(
                    f"the JSON is broken ({error}): write one object per line", number
                ) from None


def _json_cell(value: Any, name: str, place: Place, line: int) -> str:
    if isinstance(value, dict | list):
        raise place.error(f"{name} is not a single value: give it columns of its own", line)
    return _cell(value)


def _cell(value: Any) -> str:
    """Return a value as a CSV file would have it."""
    if value is None or value != value:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


def _frame(content: bytes, place: Place, kind: str) -> Any:
    """Read Parquet or Excel with pandas or polars, whichever is installed and can."""
    what = {"parquet": "Parquet files", "excel": "Excel files"}[kind]
    missing: list[str] = []
    for library in ("pandas", "polars"):
        try:
            reader = getattr(importlib.import_module(library), f"read_{kind}")
            return reader(io.BytesIO(content))
        except ImportError as error:
            missing.append(error.name or library)
        except Exception as error:  # whatever the library of somebody else raises for a damaged file
            raise place.error(
                f"{library} cannot read it ({_line(error)}): save it again, or as CSV"
            ) from error
    raise MissingExtraError.of(
        " or ".join(dict.fromkeys(missing)), extra="tables", purpose=f"reading {what}"
    ) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def frame_source(frame: Any, place: Place) -> Source:
    """Return the table in a data frame of pandas or polars."""
    names: list[Any] = list(frame.columns)
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise place.error(f"column {odd[0]!r} has no name: put the names into the first row")
    return Source(header=names, line=1, blocks=_frame_blocks(frame, names))


def _frame_blocks(frame: Any, names: Sequence[str]) -> Generator[Block]:
    columns = [frame[name] for name in names]
    n = len(frame)
    for begin in range(0, n, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, n)
        cells = [[_cell(value) for value in _listed(column[begin:end])] for column in columns]
        yield list(range(begin + 2, end + 2)), [list(row) for row in zip(*cells, strict=True)]


def _listed(column: Any) -> list[Any]:
    """Return the values of a column as Python's own, None or NaN for none."""
    values = column.to_list() if hasattr(column, "to_list") else column.tolist()
    return [None if _is_missing(value) else value for value in values]


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return type(value).__name__ in ("NaTType", "NAType")
