"""Memory: profiles in a database, in memory, and in tables of files."""

from __future__ import annotations

from powertrain.dataset._base import AbstractStore as AbstractStore
from powertrain.dataset._csv import csv_blocks as csv_blocks
from powertrain.dataset._csv import csv_text as csv_text
from powertrain.dataset._csv import write_csv as write_csv
from powertrain.dataset._lately import AddedProfile as AddedProfile
from powertrain.dataset._lately import Holding as Holding
from powertrain.dataset._memory import MemoryStore as MemoryStore
from powertrain.dataset._open import open_store as open_store
from powertrain.dataset._open import store_file as store_file
from powertrain.dataset._read import CsvFile as CsvFile
from powertrain.dataset._read import read_csv as read_csv
from powertrain.dataset._read import read_profiles as read_profiles
from powertrain.dataset._sqlite import SqliteStore as SqliteStore
from powertrain.dataset._url import without_password as without_password

__all__ = [
    "AbstractStore",
    "AddedProfile",
    "CsvFile",
    "Holding",
    "MemoryStore",
    "SqliteStore",
    "csv_blocks",
    "csv_text",
    "open_store",
    "read_csv",
    "read_profiles",
    "store_file",
    "without_password",
    "write_csv",
]
