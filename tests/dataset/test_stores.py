from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.plugins import install

from powertrain.dataset import (
    AbstractStore,
    MemoryStore,
    SqliteStore,
    open_store,
    store_file,
    without_password,
)
from powertrain.errors import MissingExtraError, PowerTrainError, StoreError, UnknownNameError
from powertrain.testing import StoreSuite, example_profiles


class TestMemoryStore(StoreSuite):
    def open_store(self, folder: Path) -> AbstractStore:
        return open_store(None)

    def test_its_location_opens_another_such_store(self) -> None:
        with open_store(None) as store, open_store(store.location) as other:
            assert (store.location, store.name) == ("memory:", "memory")
            assert isinstance(other, MemoryStore)

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


# Stores are opened by their location


@pytest.mark.parametrize("form", ["{path}", "sqlite:///{path}", "sqlite:{path}", "SQLite:///{path}"])
def test_a_file_is_opened_by_its_path_and_by_a_url(tmp_path, form):
    path = tmp_path / "p.db"
    with open_store(form.format(path=path)) as store:
        store.add(example_profiles())
        assert (store.location, store.name) == (str(path), "p.db")
    with open_store(path, create=False) as store:
        assert len(store.profiles()) == len(example_profiles())


def test_a_url_with_three_slashes_is_relative_to_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///p.db").close()
    assert [path.name for path in tmp_path.iterdir()] == ["p.db"]


@pytest.mark.parametrize("location", ["sqlite:", "sqlite:///", "sqlite://host/p.db", "memory:p"])
def test_a_location_that_names_nothing_to_open_is_refused(location):
    with pytest.raises(StoreError) as refusal:
        open_store(location)
    assert "\n" not in str(refusal.value)


def test_an_unknown_scheme_is_refused_with_those_that_exist_and_without_the_password():
    with pytest.raises(UnknownNameError, match="'nosql': give a file, or one of sqlite:, memory:") as refusal:
        open_store("nosql://user:secret@host/db")
    assert "secret" not in str(refusal.value)


def test_a_database_on_a_server_names_the_extra_that_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'powertrain\[postgresql\]'"):
        open_store("postgresql://host/db")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@host:5432/db", "postgresql://me@host:5432/db"),
        ("run --db postgres://me:se@cr:et@host/db --again", "run --db postgres://me@host/db --again"),
        (
            "postgresql://host/db?sslmode=require&password=secret",
            "postgresql://host/db?sslmode=require&password=",
        ),
        ("--db=postgresql://:secret@host", "--db=postgresql://@host"),
        ("profiles.db and http://host:80/a", "profiles.db and http://host:80/a"),
    ],
)
def test_a_text_is_shown_without_the_passwords_of_its_urls(text, shown):
    assert without_password(text) == shown


def test_a_file_whose_name_looks_like_a_scheme_is_opened_if_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError, match=r"\./run:1\.db for a file of that name"):
        open_store("run:1.db")
    open_store("./run:1.db").close()
    open_store("run:1.db").close()
    open_store(Path("run:2.db")).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run:1.db", "run:2.db"]


OTHERS_STORE = """
from powertrain.dataset import MemoryStore
def open_it(location, *, create):
    print(location, create)
    return MemoryStore()
"""


def test_a_package_adds_a_store_by_an_entry_point(tmp_path, monkeypatch, capsys):
    install(
        tmp_path,
        monkeypatch,
        group="powertrain.stores",
        entry="other = others_store:open_it",
        others_store=OTHERS_STORE,
    )
    with open_store("other://host/db", create=False):
        pass
    assert capsys.readouterr().out == "other://host/db False\n"
    with pytest.raises(UnknownNameError, match="one of sqlite:, memory:, postgresql:, postgres:, other:"):
        open_store("nosql://host")


FILE_STORE = """
from pathlib import Path
from powertrain.dataset import MemoryStore
class Opener:
    def __call__(self, location, *, create):
        return MemoryStore()
    def file_of(self, location):
        return Path(location.partition(":")[2])
open_it = Opener()
"""


def test_a_package_says_which_file_its_store_is(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        group="powertrain.stores",
        entry="lines = lines_store:open_it",
        lines_store=FILE_STORE,
    )
    assert store_file("lines:profiles.jsonl") == Path("profiles.jsonl")
    assert store_file("memory:") is None


def test_a_package_whose_store_cannot_be_imported_is_named(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, group="powertrain.stores", entry="broken = not_there:open_it")
    with pytest.raises(PowerTrainError, match=r"'broken' of the package other cannot be loaded .*not_there"):
        open_store("broken://")


def test_a_package_cannot_replace_a_store_of_powertrain(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, group="powertrain.stores", entry="memory = not_there:open_it")
    with open_store("memory:") as store:
        assert isinstance(store, MemoryStore)
