"""The default store: one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, final

from typing_extensions import override

from powertrain.dataset import _schema
from powertrain.dataset._source import BLOCK_ROWS
from powertrain.dataset._sql import COLUMNS, AbstractSqlStore, Batch, Row
from powertrain.dataset._sqlite_file import SQLITE, SqliteFile
from powertrain.records import Profile

__all__ = ["SqliteStore", "keep"]

T = TypeVar("T")

# What is there already, by its key, is left. SQLite itself keeps NaN as NULL.
_INSERT = (
    f"INSERT INTO profile ({', '.join(COLUMNS)}, key, added_at) "
    f"VALUES ({', '.join('?' * (len(COLUMNS) + 1))}, coalesce(?, {SQLITE.words['now']})) "
    "ON CONFLICT DO NOTHING"
)


@final
class SqliteStore(AbstractSqlStore):
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
        self._file = SqliteFile(path, create=create, timeout_s=timeout_s)
        self.path = self._file.path
        """The file, its links followed."""
        self.read_only = self._file.read_only
        """Whether file or folder refuse to be written."""

    @property
    @override
    def location(self) -> str:
        return self._location

    @override
    def close(self) -> None:
        self._file.close()

    @property
    @override
    def _place(self) -> str:
        return str(self.path)

    @override
    def _batch(self, profiles: Iterable[Profile]) -> Batch:
        return Batch.of(profiles)

    @override
    def _keep(self, batch: Batch) -> None:
        keep(self._file, batch)

    @override
    def _read(self, sql: str, values: Sequence[str], take: Callable[[Iterator[list[Row]]], T]) -> T:
        with self._file.reading() as connection:
            cursor = connection.execute(sql, values)
            return take(iter(lambda: cursor.fetchmany(BLOCK_ROWS), []))

    @override
    def refuse_read_only(self) -> None:
        with self._file.writing():
            pass  # a lock on the file that is taken and released

    @override
    def _change(self, sql: str, values: Sequence[str]) -> int:
        with self._file.writing() as connection:
            return connection.execute(sql, values).rowcount


def keep(file: SqliteFile, batch: Batch) -> None:
    """Keep rows in a file, all or none."""
    with file.writing() as connection:
        _schema.register(SQLITE, connection, knobs=batch.knobs, quantities=batch.quantities)
        rows = zip(batch.rows(), batch.stamps(), strict=True)
        connection.executemany(_INSERT, ((*row, *stamp) for row, stamp in rows))
