"""Memory: profiles in a database, in memory, and in CSV files."""

from __future__ import annotations

from powertrain.dataset._base import AbstractStore as AbstractStore
from powertrain.dataset._csv import CsvFile as CsvFile
from powertrain.dataset._csv import csv_text as csv_text
from powertrain.dataset._csv import read_csv as read_csv
from powertrain.dataset._csv import write_csv as write_csv
from powertrain.dataset._memory import MemoryStore as MemoryStore
from powertrain.dataset._open import open_store as open_store
from powertrain.dataset._open import store_file as store_file
from powertrain.dataset._sqlite import SqliteStore as SqliteStore

__all__ = [
    "AbstractStore",
    "CsvFile",
    "MemoryStore",
    "SqliteStore",
    "csv_text",
    "open_store",
    "read_csv",
    "store_file",
    "write_csv",
]
