"""What every store in a database of rows shares: batches to keep, and how rows are read."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeVar, final

import numpy as np
from typing_extensions import override

from powertrain import quantities
from powertrain.dataset._base import AbstractStore
from powertrain.dataset._lately import AddedProfile, Holding, moment
from powertrain.dataset._rows import NUMBERS, gather, other_columns, rows_of
from powertrain.errors import CorruptStoreError, DataError, PowerTrainError
from powertrain.records import ManyProfiles, PowerMode, Profile

__all__ = ["COLUMNS", "AbstractSqlStore", "Batch", "Row", "Stamp"]

Row = tuple[Any, ...]
Stamp = tuple["str | None", "str | None"]
"""The key of a row, and when it was added. None leaves a row without a key, and the time to the database."""
T = TypeVar("T")

COLUMNS = ("device", "workload", "mode", *NUMBERS, "flags", "extra", "others")
_SELECT = f"SELECT id, {', '.join(COLUMNS)} FROM profile"
_LATEST = f"SELECT id, {', '.join(COLUMNS)}, added_at FROM profile ORDER BY id DESC LIMIT"
_HELD = """
    SELECT profile.device, profile.workload, n, newest, added_at FROM profile JOIN
    (SELECT count(*) AS n, max(id) AS newest FROM profile GROUP BY device, workload) AS held ON id = newest"""
_KEY_BITS = 128


@final
@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows that a database keeps together: all or none."""

    size: int
    knobs: tuple[str, ...]
    quantities: tuple[str, ...]
    """The knobs, and the quantities without a column of their own, that occur."""
    rows: Callable[[], Iterable[Row]]
    """Yields the values of `COLUMNS`, anew at each call. As a list, a million of them would be a gigabyte."""
    stamps: Callable[[], Iterable[Stamp]]
    """Yields the stamp of each row, the same at each call."""

    @classmethod
    def of(cls, profiles: Iterable[Profile], *, keyed: bool = False) -> Batch:
        """Make a batch of new profiles, each with a new key if `keyed`.

        Raises:
            DataError: A name cannot be kept as text.
        """
        given = profiles if isinstance(profiles, ManyProfiles) else list(profiles)
        many = ManyProfiles.of(given)
        _refuse_names(many)
        first = int.from_bytes(os.urandom(_KEY_BITS // 8), "big")
        return cls(
            size=len(many),
            knobs=tuple(many.knobs),
            quantities=tuple(c for c, cells in other_columns(many).items() if not np.isnan(cells).all()),
            rows=lambda: rows_of(many) if many is given else (_row(profile) for profile in given),
            stamps=lambda: _keys(first, len(many)) if keyed else repeat((None, None), len(many)),
        )


def _keys(first: int, n: int) -> Iterator[Stamp]:
    """Yield keys that nobody else has: they count on from a random number."""
    for i in range(first, first + n):
        yield f"{i % (1 << _KEY_BITS):032x}", None


class AbstractSqlStore(AbstractStore):
    """Keeps profiles as the rows of a table."""

    @property
    @abstractmethod
    def _place(self) -> str:
        """What messages call the database."""

    @abstractmethod
    def _batch(self, profiles: Iterable[Profile]) -> Batch:
        """Make rows of new profiles."""

    @abstractmethod
    def _keep(self, batch: Batch) -> None:
        """Keep rows, all or none."""

    @abstractmethod
    def _read(self, sql: str, values: Sequence[str], take: Callable[[Iterator[list[Row]]], T]) -> T:
        """Return what `take` makes of the rows, which it is given in blocks; `?` stands for a value.

        It may be called again from the start, if the connection to a server was cut.
        """

    @abstractmethod
    def _change(self, sql: str, values: Sequence[str]) -> int:
        """Execute a statement that changes rows; return how many."""

    @override
    def add(self, profiles: Iterable[Profile]) -> int:
        batch = self._batch(profiles)
        self._keep(batch)
        return batch.size

    @override
    def profiles(self, *, device: str | None = None, workload: str | None = None) -> list[Profile]:
        where, values = _where(device=device, workload=workload)
        rows = self._read(f"{_SELECT} {where} ORDER BY id", values, _listed)
        return [self._profile(row) for row in rows]

    @override
    def columns(self, *, device: str | None = None, workload: str | None = None) -> ManyProfiles:
        where, values = _where(device=device, workload=workload)
        gathered = self._read(f"{_SELECT} {where} ORDER BY id", values, gather)
        try:
            return gathered.many()
        except (ValueError, TypeError, PowerTrainError):
            # One profile after the other, to name the one that cannot be read.
            return ManyProfiles.of(self.profiles(device=device, workload=workload))

    @override
    def modes_of(self, device: str) -> list[PowerMode]:
        sql = "SELECT mode FROM profile WHERE device = ? GROUP BY mode ORDER BY min(id)"
        rows = self._read(sql, (device,), _listed)
        try:
            return list(dict.fromkeys(PowerMode(json.loads(text)) for (text,) in rows))
        except (ValueError, TypeError):
            return super().modes_of(device)  # which names the profile that cannot be read

    @override
    def delete(self, *, device: str, workload: str) -> int:
        where, values = _where(device=device, workload=workload)
        return self._change(f"DELETE FROM profile {where}", values)

    @override
    def counts(self) -> dict[tuple[str, str], int]:
        rows = self._read("SELECT device, workload, count(*) FROM profile GROUP BY 1, 2", (), _listed)
        # Sorted here: databases do not agree on the order of texts.
        return dict(sorted(((device, workload), n) for device, workload, n in rows))

    @override
    def holdings(self) -> dict[tuple[str, str], Holding]:
        rows = self._read(_HELD, (), _listed)
        held = (
            ((device, workload), Holding(profiles=n, newest=newest, added_at=moment(added_at)))
            for device, workload, n, newest, added_at in rows
        )
        return dict(sorted(held, key=lambda one: one[0]))

    @override
    def latest(self, n: int) -> list[AddedProfile]:
        rows = self._read(f"{_LATEST} {int(n)}", (), _listed)
        return [
            AddedProfile(profile=self._profile(row[:-1]), added_at=moment(row[-1])) for row in reversed(rows)
        ]

    def _profile(self, row: Row) -> Profile:
        number, device, workload, mode, *numbers, flags, extra, others = row
        try:
            more, unknown = _sorted_out(json.loads(others)) if others != "{}" else ({}, {})
            return Profile(
                device=device,
                workload=workload,
                mode=PowerMode(json.loads(mode)),
                flags=tuple(json.loads(flags)),
                extra={**json.loads(extra), **unknown},
                **more,
                **{name: value for name, value in zip(NUMBERS, numbers, strict=True) if value is not None},
            )
        except (ValueError, TypeError, PowerTrainError) as error:
            raise CorruptStoreError(
                f"{self._place}: profile {number} cannot be read ({error}); restore a copy or delete that row"
            ) from error


def _listed(blocks: Iterator[list[Row]]) -> list[Row]:
    return [row for block in blocks for row in block]


def _row(profile: Profile) -> Row:
    """Return the values of `COLUMNS`."""
    texts = {
        "device": profile.device,
        "workload": profile.workload,
        "mode": _json(dict(profile.mode)),
        "flags": _json(list(profile.flags)),
        "extra": _json(dict(profile.extra)),
        "others": _json(_others(profile)),
    }
    return tuple(texts[name] if name in texts else float(getattr(profile, name)) for name in COLUMNS)


def _refuse_names(many: ManyProfiles) -> None:
    """Refuse what a database cannot keep as text."""
    owners = [name for owner in many.owners.values for name in owner]
    for name in (*owners, *many.knobs):
        if "\0" in name:
            raise DataError(f"{name!r} holds a NUL, which a database cannot keep in a name: rename it")
    flags = (flag for flags in many.flags.values for flag in flags)
    extras = (text for column in many.extras.values() for text in column.values)
    for text in (*owners, *many.knobs, *many.extras, *flags, *extras):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            bad = error.object[error.start : error.end]
            raise DataError(f"{bad!r} in a name or an extra cannot be kept as UTF-8: rename it") from None


def _others(profile: Profile) -> dict[str, float]:
    """Return the quantities, and their standard errors, that have no column of their own."""
    errors = {quantities.by_column()[column].se_column: se for column, se in profile.se.items()}
    return {name: x for name, x in {**profile.values, **errors}.items() if name not in NUMBERS}


def _sorted_out(others: dict[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Tell the quantities that this version knows from those that it does not, which become extras."""
    measured = quantities.measured()
    known = {*(q.column for q in measured), *(q.se_column for q in measured)}
    numbers = {name: float(value) for name, value in others.items() if name in known}
    return numbers, {name: str(value) for name, value in others.items() if name not in known}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _where(*, device: str | None, workload: str | None) -> tuple[str, list[str]]:
    """Return the condition for a device and a workload, and its values."""
    asked = {name: value for name, value in (("device", device), ("workload", workload)) if value is not None}
    conditions = " AND ".join(f"{name} = ?" for name in asked)
    return f"WHERE {conditions}" if asked else "", list(asked.values())
