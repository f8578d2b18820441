"""What a data frame of somebody holds: the parts of a table of profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from powertrain import quantities
from powertrain.columns import Column, Role, columns_of
from powertrain.errors import CsvError, DataError
from powertrain.records._frames import KNOBS, columns_of_frame, numbers_of
from powertrain.records._modes import FloatArray, ModeTable

__all__ = ["parts_of_frame"]


def parts_of_frame(
    frame: Any,
    *,
    device: str | None,
    workload: str | None,
    knobs: Sequence[str] | None,
    mapping: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return what a `ProfileTable` is made of; see `ProfileTable.from_pandas`."""
    cells = columns_of_frame(frame)
    knobs = knobs if knobs is not None else getattr(frame, "attrs", {}).get(KNOBS)
    repeats = cells.pop("repeats", None)
    given = {"device": device, "workload": workload}
    names = [name for name, value in given.items() if value]
    try:
        columns = columns_of(list(cells), knobs, mapping=mapping, given=names)
    except CsvError as error:
        raise DataError(f"the data frame: {error}") from None
    _refuse_unknown(columns, cells)
    for role, name in ((Role.DEVICE, "device"), (Role.WORKLOAD, "workload")):
        for column in columns:
            if column.role is role:
                given[name] = _only_name(name, cells[column.header])
    numbers = {
        c.name: _converted(c, numbers_of(c.header, cells[c.header]))
        for c in columns
        if c.role in (Role.NUMBER, Role.KNOB)
    }
    knob_names = [c.name for c in columns if c.role is Role.KNOB]
    if not knob_names:
        raise DataError("no column of the data frame is a knob: add one with its unit, such as gpu_mhz")
    known = quantities.by_column()
    values = {c: numbers[c] for c in known if c in numbers}
    kept = ~np.all([np.isnan(column) for column in values.values()], axis=0)
    for column in columns:
        if column.role is Role.FLAGS:
            kept &= np.array(
                [not isinstance(text, str) or not text for text in cells[column.header].to_list()]
            )
    return {
        **given,
        "modes": ModeTable(
            knobs=tuple(knob_names), values=np.column_stack([numbers[k] for k in knob_names])[kept]
        ),
        "columns": {c: column[kept] for c, column in values.items()},
        "se": {q.column: numbers[q.se_column][kept] for q in known.values() if q.se_column in numbers},
        "repeats": None if repeats is None else numbers_of("repeats", repeats)[kept],
    }


def _refuse_unknown(columns: Sequence[Column], cells: Mapping[str, Any]) -> None:
    """Ask about columns of numbers whose names say too little."""
    unknown = {
        c.header: c.answer
        for c in columns
        if c.role is Role.UNKNOWN and not any(isinstance(value, str) for value in cells[c.header].to_list())
    }
    if unknown:
        raise DataError(
            f"column {', '.join(map(repr, unknown))} of the data frame is not known: say what it is, as in "
            f"columns={unknown!r} (knob:NAME is a setting, extra:NAME is left out)"
        )


def _only_name(what: str, column: Any) -> str:
    names = sorted({str(value) for value in column.to_list()})
    if len(names) != 1 or not names[0]:
        raise DataError(
            f"the data frame holds {len(names)} {what}s, {', '.join(names[:3])}: take one of them"
        )
    return names[0]


def _converted(column: Column, numbers: FloatArray) -> FloatArray:
    convert = column.convert
    return numbers if convert is None else np.array([convert(value) for value in numbers.tolist()])
