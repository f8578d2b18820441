"""Columns of profiles to rows of the database, and back, some ten thousand at a time.

A row is `(device, workload, mode, five numbers, flags, extra, others)`. Mode, flags, extra and others are
JSON. Texts that repeat (and most do) are read and written once.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from typing import Any, final

import numpy as np

from powertrain import quantities
from powertrain.records import Coded, FloatArray, ManyProfiles

__all__ = ["NUMBERS", "Gathered", "gather", "other_columns", "rows_of"]

NUMBERS = ("time_ms", "power_w", "time_rel_se", "power_rel_se", "duration_s")
"""Columns of numbers that the table of the database has."""
BLOCK = 1 << 14


def other_columns(many: ManyProfiles) -> dict[str, FloatArray]:
    """Return the quantities, and their standard errors, that have no column of their own."""
    known = quantities.by_column()
    errors = {known[column].se_column: cells for column, cells in many.se.items()}
    return {name: cells for name, cells in {**many.values, **errors}.items() if name not in NUMBERS}


def rows_of(many: ManyProfiles) -> Generator[tuple[Any, ...]]:
    """Yield the rows of profiles."""
    nothing = np.full(len(many), np.nan)
    known = quantities.by_column()
    errors = {known[column].se_column: cells for column, cells in many.se.items()}
    numbers = {**many.values, **errors, "duration_s": many.duration_s}
    others = other_columns(many)
    flags = [_json(list(flags)) for flags in many.flags.values]
    for begin in range(0, len(many), BLOCK):
        part = slice(begin, begin + BLOCK)
        owners = [many.owners.values[code] for code in many.owners.codes[part].tolist()]
        yield from zip(
            [owner[0] for owner in owners],
            [owner[1] for owner in owners],
            _objects(dict(zip(many.knobs, many.settings[part].T, strict=True))),
            *(numbers.get(name, nothing)[part].tolist() for name in NUMBERS),
            [flags[code] for code in many.flags.codes[part].tolist()],
            _texts(many.extras, part, n=len(owners)),
            _objects({name: cells[part] for name, cells in others.items()}, n=len(owners)),
            strict=True,
        )


def _objects(columns: Mapping[str, FloatArray], n: int = 0) -> list[str]:
    """Return the JSON object of each row, without what is NaN; `n` rows where there is no column."""
    if not columns:
        return ["{}"] * n
    keys = [f"{_json(name)}:" for name in columns]
    cells = [column.tolist() for column in columns.values()]
    if not any(np.isnan(column).any() for column in columns.values()):
        form = "{" + ",".join(f"{key.replace('%', '%%')}%r" for key in keys) + "}"
        return [form % row for row in zip(*cells, strict=True)]
    rows = zip(*cells, strict=True)
    return [
        "{"
        + ",".join(f"{key}{value!r}" for key, value in zip(keys, row, strict=True) if value == value)
        + "}"
        for row in rows
    ]


def _texts(extras: Mapping[str, Coded], part: slice, *, n: int) -> list[str]:
    if not extras:
        return ["{}"] * n
    names = list(extras)
    cells = [
        [column.values[c] if c >= 0 else None for c in column.codes[part].tolist()]
        for column in extras.values()
    ]
    known: dict[tuple[str | None, ...], str] = {}
    texts: list[str] = []
    for row in zip(*cells, strict=True):
        text = known.get(row)
        if text is None:
            text = known[row] = _json({k: v for k, v in zip(names, row, strict=True) if v is not None})
        texts.append(text)
    return texts


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@final
class Gathered:
    """Rows of the database as columns."""

    def __init__(self) -> None:
        self._known: list[dict[Any, int]] = [{} for _ in range(5)]
        self._codes: list[list[np.ndarray]] = [[] for _ in range(5)]
        self._numbers: list[list[FloatArray]] = [[] for _ in NUMBERS]

    def take(self, rows: list[tuple[Any, ...]]) -> None:
        """Add rows, each with its id before it."""
        _, devices, workloads, modes, *numbers, flags, extras, others = zip(*rows, strict=True)
        texts = (zip(devices, workloads, strict=True), modes, flags, extras, others)
        for known, codes, cells in zip(self._known, self._codes, texts, strict=True):
            codes.append(np.array([known.setdefault(cell, len(known)) for cell in cells], dtype=np.int32))
        for kept, cells in zip(self._numbers, numbers, strict=True):
            kept.append(np.array(cells, dtype=np.float64))

    def many(self) -> ManyProfiles:
        """Return the profiles.

        Raises:
            ValueError: A text is no JSON of its kind.
            PowerTrainError: A value cannot be.
        """
        owners, modes, flags, extras, others = (
            Coded(list(known), np.concatenate([*codes, np.empty(0, np.int32)]).astype(np.int32))
            for known, codes in zip(self._known, self._codes, strict=True)
        )
        numbers = dict(zip(NUMBERS, (np.concatenate([*c, np.empty(0)]) for c in self._numbers), strict=True))
        settings = _matrix(modes)
        more, unknown = _sorted_out(_matrix(others))
        numbers |= more
        measured = quantities.measured()
        return ManyProfiles(
            owners=owners,
            knobs=list(settings),
            settings=np.column_stack([*settings.values()]) if settings else np.empty((len(owners), 0)),
            values={q.column: numbers[q.column] for q in measured if q.column in numbers},
            se={q.column: numbers[q.se_column] for q in measured if q.se_column in numbers},
            duration_s=numbers["duration_s"],
            flags=Coded([tuple(json.loads(text)) for text in flags.values], flags.codes),
            extras={**_columns_of_texts(extras), **unknown},
        )


def gather(blocks: Iterable[list[tuple[Any, ...]]]) -> Gathered:
    """Put rows of the database into columns."""
    gathered = Gathered()
    for rows in blocks:
        gathered.take(rows)
    return gathered


def _matrix(texts: Coded) -> dict[str, FloatArray]:
    """Return the numbers of JSON objects by name, `(n,)` each, NaN where an object has no such name."""
    objects = [json.loads(text) for text in texts.values]
    names = dict.fromkeys(name for one in objects for name in one)
    columns = {name: np.array([one.get(name, np.nan) for one in objects], dtype=np.float64) for name in names}
    return {name: column[texts.codes] for name, column in columns.items()}


def _columns_of_texts(texts: Coded) -> dict[str, Coded]:
    objects = [json.loads(text) for text in texts.values]
    columns: dict[str, Coded] = {}
    for name in dict.fromkeys(name for one in objects for name in one):
        known: dict[str, int] = {}
        codes = [known.setdefault(one[name], len(known)) if name in one else -1 for one in objects]
        columns[name] = Coded(list(known), np.array(codes, dtype=np.int32)[texts.codes])
    return columns


def _sorted_out(others: Mapping[str, FloatArray]) -> tuple[dict[str, FloatArray], dict[str, Coded]]:
    """Tell the quantities that this version knows from those that it does not, which become extras."""
    measured = quantities.measured()
    known = {*(q.column for q in measured), *(q.se_column for q in measured)}
    unknown: dict[str, Coded] = {}
    for name, column in others.items():
        if name not in known:
            values, codes = np.unique(column, return_inverse=True)
            there = np.where(np.isnan(column), -1, codes.reshape(-1)).astype(np.int32)
            unknown[name] = Coded([str(value) for value in values.tolist()], there)
    return {name: column for name, column in others.items() if name in known}, unknown
