"""An SQLite file of profiles: opened, brought up to date, and its failures as one line each.

Write-ahead logging lets readers and one writer work at once, and a committed transaction survives a kill at
any moment. A file that is not PowerTrain's, is damaged, or is newer is refused and never written to.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, final

from typing_extensions import override

from powertrain.dataset import _schema
from powertrain.errors import CorruptStoreError, NewerStoreError, StoreError
from powertrain.files import open_file, real_path

__all__ = ["SQLITE", "SqliteDialect", "SqliteFile"]

APPLICATION_ID = 0x50545231
"""The bytes "PTR1" at offset 68 of the file, by which `file` and PowerTrain recognise it."""
_MAGIC = b"SQLite format 3\0"


@final
class SqliteDialect(_schema.AbstractDialect):
    """What SQLite calls things. The version is `PRAGMA user_version`."""

    def __init__(self) -> None:
        self.words = {
            "serial": "INTEGER PRIMARY KEY",
            "real": "REAL",
            "now": "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')",
        }

    @override
    @contextmanager
    def transaction(self, connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Generator[None]:
        """Hold the write lock; commit at the end, or roll back on any error, Ctrl-C included.

        The kind `"DEFERRED"` holds no lock, but all that is read within is of one moment.
        """
        connection.execute(f"BEGIN {kind}")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # SQLite itself has rolled back after a full disk and the like.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @override
    def version(self, connection: sqlite3.Connection) -> int:
        return _pragma(connection, "user_version")

    @override
    def set_version(self, connection: sqlite3.Connection, version: int) -> None:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")

    @override
    def value(self, column: str, key: str) -> str:
        # json_each rather than json_extract, whose paths cannot name a key with a quote in it.
        return f"(SELECT value FROM json_each(profile.{column}) WHERE key = {key})"

    @override
    def labels(self, names: Sequence[str]) -> list[str]:
        return list(names)  # SQLite itself tells names apart that are the same


SQLITE = SqliteDialect()


@final
class SqliteFile:
    """One file. Threads may share this, and processes the file."""

    def __init__(self, path: Path | str, *, create: bool = True, timeout_s: float = 30.0) -> None:
        """Open the database at `path`; the errors are those of `SqliteStore`."""
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

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._connection.close()

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Hold the connection, and say in one line what fails."""
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
    def writing(self) -> Generator[sqlite3.Connection]:
        """Hold the connection in a transaction."""
        if self.read_only:
            raise StoreError(f"{self.path} or its folder cannot be written: profiles can only be read here")
        with self.reading() as connection, SQLITE.transaction(connection):
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
        found = _identify(connection)
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
        _schema.migrate(SQLITE, connection)

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


class _Identity(NamedTuple):
    """What a database says of itself."""

    ours: bool
    """PowerTrain made it."""
    blank: bool
    """Nobody has made anything of it yet."""
    version: int
    """Schema version, 0 for a blank one."""


def _identify(connection: sqlite3.Connection) -> _Identity:
    """Return what the database is, though another process may be making it at this moment."""
    with SQLITE.transaction(connection, "DEFERRED"):
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        application, version = _pragma(connection, "application_id"), SQLITE.version(connection)
    return _Identity(
        ours=application == APPLICATION_ID,
        blank=(objects, application, version) == (0, 0, 0),
        version=version,
    )


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


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
    if not start and not create:
        raise StoreError(f"{path} is empty: import or profile something first, or give another file")
    return not (_may(path, os.W_OK) and _may(path.parent, os.W_OK | os.X_OK))


def _may(path: Path, mode: int) -> bool:
    # The effective user is the one who will write, where the system can tell.
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)
