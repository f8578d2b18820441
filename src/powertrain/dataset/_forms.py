"""The forms that tables come in: told apart by how a file begins, never by its name alone."""

from __future__ import annotations

import importlib
import io
import json
import math
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, cast

from powertrain.dataset._heading import headed
from powertrain.dataset._source import BLOCK_ROWS, Block, Place, Source, content_of, csv_source, in_blocks
from powertrain.errors import CsvError, MissingExtraError
from powertrain.records import flat_frame

__all__ = ["frame_source", "source_of"]

_PARQUET, _ZIP, _OLD_EXCEL = b"PAR1", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_DATABASE = b"SQLite format 3\0"
_PACKED = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf": "7z"}
_TEGRASTATS = re.compile(rb"[-0-9: ]*RAM \d+/\d+MB")
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
            f"{place.path} tells what it holds; unpack an archive of tables first"
        )
    if content.startswith(_ZIP):
        return _excel_source(content, place)
    if content.startswith(_OLD_EXCEL):
        raise place.error("this is an Excel file of the old form: save it as .xlsx")
    if begin.startswith((b"{", b"[")):
        return _json_source(content, place)
    for magic, kind in _PACKED.items():
        if content.startswith(magic):
            raise place.error(f"it is compressed with {kind}: unpack it first, or use gzip")
    if _TEGRASTATS.match(begin):
        raise place.error(
            "this is a log of tegrastats, which has no times of minibatches: import a table with columns "
            "start, end and time_ms, and give the log with --tegrastats"
        )
    if begin.startswith(b"|"):
        raise place.error("this is a table of Markdown: save it as CSV")
    return csv_source(content, place)


def _json_source(content: bytes, place: Place) -> Source:
    """Return the table in JSON: an object on each line, or one list of objects."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise place.error(f"byte {content[error.start]:#04x} is not UTF-8: save it as UTF-8") from None
    whole = _whole_json(text, place)
    if whole is None:
        records: Sequence[tuple[int, Any]] = list(_json_lines(text, place))
    else:
        records = [(1, record) for record in whole]
    names: dict[str, None] = {}
    for line, record in records:
        if not isinstance(record, dict):
            raise place.error('each row must be an object, as in {"gpu_mhz": 900, "time_ms": 12.5}', line)
    records = [(line, dict(_leaves(record))) for line, record in records]
    for _, record in records:
        names.update(dict.fromkeys(record))
    short = _short_names(list(names))
    rows = (
        (line, [_json_cell(record.get(name), name, place, line) for name in names])
        for line, record in records
    )
    return Source(header=short, line=records[0][0] if records else 1, blocks=in_blocks(rows))


def _whole_json(text: str, place: Place) -> list[Any] | None:
    """Return the rows of a text that is one JSON value: a list of rows, or a list for each column."""
    is_list = text.lstrip().startswith("[")
    if not is_list and len(text.split("\n", 2)) > 1 and text.split("\n", 1)[0].rstrip().endswith("}"):
        return None  # an object on each line
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not is_list:
            return None
        raise place.error(f"the JSON is broken ({error}): correct it") from None
    if is_list:
        return value
    columns: list[Any] = [
        list(cast("dict[str, Any]", column).values()) if isinstance(column, dict) else column
        for column in value.values()
    ]
    keys = [list(cast("dict[str, Any]", column)) for column in value.values() if isinstance(column, dict)]
    are_lists = bool(columns) and all(isinstance(column, list) for column in columns)
    if not are_lists or len({len(column) for column in columns}) > 1 or any(k != keys[0] for k in keys):
        return [value]
    return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _leaves(record: Mapping[str, Any], above: str = "") -> Generator[tuple[str, Any]]:
    """Yield the values of a record, those of records within it included, by names with dots."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(cast("dict[str, Any]", value), f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _short_names(names: Sequence[str]) -> list[str]:
    """Return names without the records that they are in, where that leaves no two the same."""
    last = [name.rpartition(".")[2] for name in names]
    return [short if last.count(short) == 1 else name for short, name in zip(last, names, strict=True)]


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


def _excel_source(content: bytes, place: Place) -> Source:
    """Return the table in the first sheet that has columns."""
    try:
        pandas = importlib.import_module("pandas")
        importlib.import_module("openpyxl")
    except ImportError:
        return frame_source(_frame(content, place, "excel"), place)
    try:
        sheets = pandas.read_excel(io.BytesIO(content), sheet_name=None, header=None)
    except Exception as error:  # whatever the library of somebody else raises for a damaged file
        raise place.error(f"pandas cannot read it ({_line(error)}): save it again, or as CSV") from error
    listed = [sheet for sheet in sheets.values() if len(sheet)]
    if not listed:
        raise place.error("the file is empty: begin with a row device, workload, KNOBS, time_ms, power_w")
    chosen = next((sheet for sheet in listed if sheet.shape[1] > 1), listed[0])
    rows = (
        (line, row)
        for lines, cells in _frame_blocks(chosen)
        for line, row in zip(lines, cells, strict=True)
        if any(cell.strip() for cell in row)
    )
    (line, names), rest = headed(rows, place.error)
    header = [name.strip() or f"Unnamed: {i}" for i, name in enumerate(names)]
    return Source(header=header, line=line - 1, blocks=in_blocks((n - 1, row) for n, row in rest))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def frame_source(frame: Any, place: Place) -> Source:
    """Return the table in a data frame of pandas or polars."""
    names, frame = flat_frame(frame)
    odd = [name for name in names if not isinstance(name, str)]
    if odd:
        raise place.error(f"column {odd[0]!r} has no name: put the names into the first row")
    return Source(header=names, line=1, blocks=_frame_blocks(frame))


def _frame_blocks(frame: Any) -> Generator[Block]:
    columns = [frame[name] for name in frame.columns]
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
