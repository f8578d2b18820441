"""Memory: profiles in a database file, in memory, and in CSV files."""

from __future__ import annotations

from pathlib import Path

from powertrain.dataset._base import AbstractStore as AbstractStore
from powertrain.dataset._csv import CsvFile as CsvFile
from powertrain.dataset._csv import read_csv as read_csv
from powertrain.dataset._csv import write_csv as write_csv
from powertrain.dataset._memory import MemoryStore as MemoryStore
from powertrain.dataset._sqlite import SqliteStore as SqliteStore

__all__ = ["AbstractStore", "CsvFile", "MemoryStore", "SqliteStore", "open_store", "read_csv", "write_csv"]


def open_store(path: Path | str | None, *, create: bool = True) -> AbstractStore:
    """Open the profile database at `path`, or a store in memory for None.

    A missing file is made, unless `create` is off: then it is a `StoreError`.
    """
    return MemoryStore() if path is None else SqliteStore(path, create=create)
