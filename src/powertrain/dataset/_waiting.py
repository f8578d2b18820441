"""Profiles that could not be sent to a server wait in a file of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import final

from powertrain.dataset import _schema
from powertrain.dataset._sql import COLUMNS, Batch
from powertrain.dataset._sqlite import keep
from powertrain.dataset._sqlite_file import SqliteFile
from powertrain.errors import StoreError

__all__ = ["Waiting"]

_PRIVATE = 0o700


@final
class Waiting:
    """A database like any other, in which each profile has the key that the server will know it by.

    Several processes may use one file: what two of them send, the server keeps once. An empty file stays
    where it is, because another process may be about to write into it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: SqliteFile | None = None

    def keep(self, batch: Batch) -> None:
        """Keep rows with keys.

        Raises:
            StoreError: The file cannot be written.
        """
        keep(self._opened(), batch)

    def count(self) -> int:
        """Return how many profiles wait, 0 where there is no file yet."""
        if self._file is None and not self.path.exists():
            return 0
        with self._opened().reading() as connection:
            (n,) = connection.execute("SELECT count(*) FROM profile").fetchone()
        return n

    def first(self, most: int) -> tuple[int, Batch]:
        """Return the rows that have waited the longest, and the number of the last of them."""
        with self._opened().reading() as connection:
            found = connection.execute(
                f"SELECT id, {', '.join(COLUMNS)}, key, added_at FROM profile ORDER BY id LIMIT ?", (most,)
            ).fetchall()
            knobs, quantities = _schema.registered(connection)
        rows, stamps = [row[1:-2] for row in found], [row[-2:] for row in found]
        batch = Batch(
            size=len(rows),
            knobs=tuple(knobs),
            quantities=tuple(quantities),
            rows=lambda: rows,
            stamps=lambda: stamps,
        )
        return (found[-1][0] if found else 0), batch

    def forget(self, upto: int) -> int:
        """Remove the rows up to a number, which have been sent; return how many were still there."""
        with self._opened().writing() as connection:
            return connection.execute("DELETE FROM profile WHERE id <= ?", (upto,)).rowcount

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> SqliteFile:
        if self._file is None:
            try:
                self.path.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"cannot make the folder {self.path.parent}: {error.strerror}") from error
            self._file = SqliteFile(self.path)
        return self._file
