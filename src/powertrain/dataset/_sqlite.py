"""The default store: one SQLite file.

Write-ahead logging lets readers and one writer work at once, and a committed `add` survives a kill at any
moment. A file that is not PowerTrain's, is damaged, or is newer is refused and never written to.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
from typing_extensions import override

from powertrain import quantities
from powertrain.dataset import _schema
from powertrain.dataset._base import AbstractStore
from powertrain.dataset._rows import gather, other_columns, rows_of
from powertrain.dataset._source import BLOCK_ROWS
from powertrain.errors import CorruptStoreError, DataError, NewerStoreError, PowerTrainError, StoreError
from powertrain.files import open_file, real_path
from powertrain.records import ManyProfiles, PowerMode, Profile

__all__ = ["SqliteStore"]

_MAGIC = b"SQLite format 3\0"
_NUMBERS = ("time_ms", "power_w", "time_rel_se", "power_rel_se", "duration_s")
_COLUMNS = ("device", "workload", "mode", *_NUMBERS, "flags", "extra", "others")
_INSERT = f"INSERT INTO profile ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_SELECT = f"SELECT id, {', '.join(_COLUMNS)} FROM profile"


@final
class SqliteStore(AbstractStore):
    """Keeps profiles in one SQLite file, which is made on first use.

    Threads may share a store, and processes a file. Where file or folder cannot be written, the store reads
    and refuses to `add` and `delete`. The table for people and for Datasette is the view `profiles`.
    """

    def __init__(self, path: Path | str, *, create: bool = True, timeout_s: float = 30.0) -> None:
        """Open the database at `path`.

        Args:
            path: the file; its folder must exist.
            create: make the file if it is missing; else that is a `StoreError`.
            timeout_s: how long to wait for another process that is writing.

        Raises:
            CorruptStoreError: the file is damaged or is not PowerTrain's.
            NewerStoreError: a later version of PowerTrain wrote it.
            StoreError: it cannot be opened for another reason.
        """
        self._location = str(path)
        self.path = real_path(Path(path))
        """The file, its links followed."""
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._closed = False
        self._inherited: list[sqlite3.Connection] = []
        self.read_only = _is_read_only(self.path, create=create)
        """Whether file or folder refuse to be written."""
        self._connection, self._process = self._connect(), os.getpid()
        self._identity = _identity_of(self.path)

    @property
    @override
    def location(self) -> str:
        return self._location

    @override
    def add(self, profiles: Iterable[Profile]) -> int:
        if not isinstance(profiles, ManyProfiles):
            profiles = list(profiles)
        many = ManyProfiles.of(profiles)
        _refuse_names(many)
        # Rows are made while they are written: a million of them as text would be a gigabyte.
        rows = rows_of(many) if profiles is many else (_row(profile) for profile in profiles)
        others = [c for c, column in other_columns(many).items() if not np.isnan(column).all()]
        with self._writing() as connection:
            _schema.register_knobs(connection, many.knobs)
            _schema.register_quantities(connection, others)
            connection.executemany(_INSERT, rows)
        return len(many)

    @override
    def profiles(self, *, device: str | None = None, workload: str | None = None) -> list[Profile]:
        where, values = _where(device=device, workload=workload)
        with self._reading() as connection:
            rows = connection.execute(f"{_SELECT} {where} ORDER BY id", values).fetchall()
        return [self._profile(row) for row in rows]

    @override
    def columns(self, *, device: str | None = None, workload: str | None = None) -> ManyProfiles:
        where, values = _where(device=device, workload=workload)
        with self._reading() as connection:
            cursor = connection.execute(f"{_SELECT} {where} ORDER BY id", values)
            gathered = gather(iter(lambda: cursor.fetchmany(BLOCK_ROWS), []))
        try:
            return gathered.many()
        except (ValueError, TypeError, PowerTrainError):
            # One profile after the other, to name the one that cannot be read.
            return ManyProfiles.of(self.profiles(device=device, workload=workload))

    @override
    def modes_of(self, device: str) -> list[PowerMode]:
        sql = "SELECT DISTINCT mode FROM profile WHERE device = ?"
        with self._reading() as connection:
            texts = [text for (text,) in connection.execute(sql, (device,))]
        try:
            return list(dict.fromkeys(PowerMode(json.loads(text)) for text in texts))
        except (ValueError, TypeError):
            return super().modes_of(device)  # which names the profile that cannot be read

    @override
    def refuse_read_only(self) -> None:
        with self._writing():
            pass  # a lock on the file that is taken and given back

    @override
    def delete(self, *, device: str, workload: str) -> int:
        where, values = _where(device=device, workload=workload)
        with self._writing() as connection:
            return connection.execute(f"DELETE FROM profile {where}", values).rowcount

    @override
    def counts(self) -> dict[tuple[str, str], int]:
        sql = "SELECT device, workload, count(*) FROM profile GROUP BY 1, 2 ORDER BY 1, 2"
        with self._reading() as connection:
            return {(device, workload): n for device, workload, n in connection.execute(sql)}

    @override
    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._lock, self._explained():
            if self._closed:
                raise StoreError(f"the store of {self.path} is closed: open it again")
            if self._process != os.getpid():
                # SQLite forbids using a connection after a fork, and closing it too: it is only kept.
                self._inherited.append(self._connection)
                self._connection, self._process = self._connect(), os.getpid()
            self._refuse_another_file()
            yield self._connection

    def _refuse_another_file(self) -> None:
        """Notice that the file was deleted or replaced: what is written then is lost."""
        found = _identity_of(self.path)
        if found != self._identity:
            what = "deleted" if found is None else "replaced by another file"
            raise StoreError(
                f"{self.path} was {what} while it was in use, so nothing more is kept: restore the file, or "
                "begin anew"
            )

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        if self.read_only:
            raise StoreError(f"{self.path} or its folder cannot be written: profiles can only be read here")
        with self._reading() as connection, _schema.transaction(connection):
            yield connection

    def _connect(self) -> sqlite3.Connection:
        with self._explained():
            connection = sqlite3.connect(
                self._uri(), uri=True, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _uri(self) -> str:
        if not self.read_only:
            return f"{self.path.as_uri()}?mode=rwc"
        # Without a log nobody is writing, and SQLite need not make files in a folder where it may not.
        log = self.path.with_name(f"{self.path.name}-wal")
        settled = not log.exists() or log.stat().st_size == 0
        return f"{self.path.as_uri()}?mode=ro{'&immutable=1' if settled else ''}"

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Refuse what is not ours before anything is written, then bring it up to date."""
        found = _schema.identify(connection)
        if not found.ours and (self.read_only or not found.blank):
            raise CorruptStoreError(f"{self.path} is not a PowerTrain database: give another file")
        newest = len(_schema.MIGRATIONS)
        if found.version > newest:
            raise NewerStoreError(
                f"{self.path} has schema {found.version}, later than {newest} here: upgrade PowerTrain"
            )
        if self.read_only:
            if found.version < newest:
                raise StoreError(
                    f"{self.path} needs an upgrade to schema {newest} and cannot be written: open a copy"
                )
            return
        self._log_ahead(connection)
        # Every commit reaches the disk: a profile may have cost minutes of measuring.
        connection.execute("PRAGMA synchronous = FULL")
        _schema.migrate(connection)

    def _log_ahead(self, connection: sqlite3.Connection) -> None:
        """Switch to write-ahead logging, for which SQLite does not wait by itself when the file is busy."""
        deadline_s = time.monotonic() + self._timeout_s
        while not _logs_ahead(connection, last=time.monotonic() > deadline_s):
            time.sleep(0.01)

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Turn what SQLite raises into one line of the error tree."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            reason = str(error)
            damaged = type(error) is sqlite3.DatabaseError or "no such" in reason or "decode" in reason
            if damaged:
                raise CorruptStoreError(
                    f"{self.path} is damaged ({reason}): restore a copy, or try the sqlite3 command .recover"
                ) from error
            if "locked" in reason:
                raise StoreError(
                    f"{self.path} is busy: another process wrote to it for {self._timeout_s:g} s; try again"
                ) from error
            raise StoreError(f"cannot use {self.path}: {reason}; check its folder and the disk") from error

    def _profile(self, row: tuple[Any, ...]) -> Profile:
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
                **{name: value for name, value in zip(_NUMBERS, numbers, strict=True) if value is not None},
            )
        except (ValueError, TypeError, PowerTrainError) as error:
            raise CorruptStoreError(
                f"{self.path}: profile {number} cannot be read ({error}); restore a copy or delete that row"
            ) from error


def _identity_of(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from all others, whatever its name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _logs_ahead(connection: sqlite3.Connection, *, last: bool) -> bool:
    """Try to switch to write-ahead logging; return whether the file was free, which the last try asserts."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # SQLite's own words, as Python 3.10 does not hand on its error codes.
        if last or "locked" not in str(error):
            raise
        return False
    return True


def _is_read_only(path: Path, *, create: bool) -> bool:
    """Refuse a path that cannot be a database, else return whether it can only be read."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder: give a file in it, such as {path / 'profiles.db'}")
    if not path.parent.is_dir():
        raise StoreError(f"there is no folder {path.parent}: make it first")
    if path.is_symlink():  # links were followed, so this one leads to itself
        raise StoreError(f"{path} is a link that leads in a circle: give the file itself")
    if not path.exists():
        if not create:
            raise StoreError(f"there is no database {path}: import or profile something first")
        if not _may(path.parent, os.W_OK | os.X_OK):
            raise StoreError(f"{path.parent} cannot be written: give a file in another folder")
        return False
    try:
        with open_file(path) as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    if start not in (_MAGIC, b""):
        raise CorruptStoreError(
            f"{path} is not an SQLite database: give another file, or import a CSV file with "
            f"powertrain import {path} --db FILE.db"
        )
    return not (_may(path, os.W_OK) and _may(path.parent, os.W_OK | os.X_OK))


def _may(path: Path, mode: int) -> bool:
    # The effective user is the one who will write, where the system can tell.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _row(profile: Profile) -> tuple[object, ...]:
    """Return the values of `_COLUMNS`; SQLite itself keeps NaN as NULL."""
    texts = {
        "device": profile.device,
        "workload": profile.workload,
        "mode": _json(dict(profile.mode)),
        "flags": _json(list(profile.flags)),
        "extra": _json(dict(profile.extra)),
        "others": _json(_others(profile)),
    }
    return tuple(texts[name] if name in texts else float(getattr(profile, name)) for name in _COLUMNS)


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
    return {name: x for name, x in {**profile.values, **errors}.items() if name not in _NUMBERS}


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
    return f"WHERE {' AND '.join(f'{name} = ?' for name in asked) or '1'}", list(asked.values())
