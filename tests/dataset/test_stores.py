from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from powertrain.dataset import AbstractStore, MemoryStore, SqliteStore, open_store
from powertrain.errors import StoreError
from powertrain.testing import StoreSuite, example_profiles


class TestMemoryStore(StoreSuite):
    def open_store(self, folder: Path) -> AbstractStore:
        return open_store(None)

    def test_it_may_start_with_profiles(self) -> None:
        with MemoryStore(example_profiles()) as store:
            assert store.profiles() == example_profiles()


class TestSqliteStore(StoreSuite):
    def open_store(self, folder: Path) -> AbstractStore:
        return open_store(folder / "pro files %3f#?ü.db")

    def test_profiles_are_there_when_the_file_is_opened_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            with self.open_store(tmp_path) as store:
                store.add(example_profiles())
        with self.open_store(tmp_path) as store:
            assert store.profiles() == example_profiles() * 2
        assert [path.name for path in tmp_path.iterdir()] == ["pro files %3f#?ü.db"]


def test_a_missing_database_is_only_made_when_asked_for(tmp_path):
    with pytest.raises(StoreError, match="there is no database"):
        open_store(tmp_path / "a.db", create=False)
    open_store(str(tmp_path / "a.db")).close()
    store = open_store(tmp_path / "a.db", create=False)
    assert isinstance(store, SqliteStore)
    store.close()


def test_the_layer_loads_none_of_the_heavy_libraries():
    heavy = {"scipy", "torch", "matplotlib", "rich", "click", "pytest"}
    code = f"import sys, powertrain.dataset; print(sorted({heavy} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
