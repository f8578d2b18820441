from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.processes import Process

import powertrain as pt
from powertrain.dataset import SqliteStore, _schema, open_store, read_csv
from powertrain.dataset._sqlite_file import SQLITE
from powertrain.errors import CorruptStoreError, DataError, NewerStoreError, StoreError
from powertrain.records import PowerMode, Profile
from powertrain.testing import example_profiles

DATA = Path(__file__).parents[1] / "data"
# Loaded before a test becomes a user who may not read all of Python.
BOARD = pt.open_device("sim:orin-nano")
PLAN = pt.plan(BOARD, 2)
PROFILE = pt.profile
PLAIN = Profile(
    device="Orin", workload="w", mode=PowerMode(cpu_mhz=1.5, gpu_mhz=2.0), time_ms=4.0, power_w=8.0
)

WRITER = """
import sys
from powertrain.dataset import open_store
from powertrain.records import PowerMode, Profile
path, writer, batches, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print("ready", flush=True)
sys.stdin.readline()
store = open_store(path)
for batch in range(batches):
    mode = PowerMode({f"knob_{batch % 5}": batch})
    store.add(Profile(device="d", workload=writer, mode=mode, time_ms=batch + 1) for _ in range(size))
    print(batch, flush=True)
store.close()
"""


def start_writer(path: Path, name: str, *, batches: int, size: int) -> Process:
    """Start a process that adds `batches` times `size` profiles once it is sent a line."""
    return Process(
        [sys.executable, "-c", WRITER, str(path), name, str(batches), str(size)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_go(*writers: Process) -> None:
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()


def batches_of(store: SqliteStore, writer: str) -> list[float]:
    return [p.time_ms for p in store.profiles(workload=writer)]


def view(path: Path) -> list[dict[str, object]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM profiles")]


def only_one_line(error: pytest.ExceptionInfo[Exception]) -> bool:
    return "\n" not in str(error.value)


# The file for people


def test_the_view_has_a_column_for_every_knob_seen_and_the_energy(tmp_path):
    with open_store(tmp_path / "p.db") as store:
        store.add([PLAIN])
        store.add([replace(PLAIN, mode=PowerMode(mem_mhz=3.0), power_w=float("nan"), flags=("drift",))])
    first, second = view(tmp_path / "p.db")
    assert list(first) == [
        *("id", "device", "workload", "cpu_mhz", "gpu_mhz", "mem_mhz", "time_ms", "power_w", "energy_j"),
        *("time_rel_se", "power_rel_se", "duration_s", "flags", "extra", "added_at"),
    ]
    assert (first["cpu_mhz"], first["mem_mhz"], first["energy_j"], first["flags"]) == (1.5, None, 0.032, None)
    assert (second["mem_mhz"], second["power_w"], second["energy_j"]) == (3.0, None, None)
    assert second["flags"] == '["drift"]'
    assert time.strptime(str(first["added_at"]), "%Y-%m-%dT%H:%M:%SZ")


def test_any_name_can_be_a_knob_of_the_view(tmp_path):
    names = ['say "hi"', "it's", "x; DROP TABLE profile", "time_ms", "ID", "a.b[0]$", "ß 測", "A", "a"]
    with open_store(tmp_path / "p.db") as store:
        store.add([replace(PLAIN, mode=PowerMode({name: i for i, name in enumerate(names)}))])
        assert list(store.profiles()[0].mode) == names
    (row,) = view(tmp_path / "p.db")
    assert [row[name] for name in ('say "hi"', "it's", "x; DROP TABLE profile")] == [0.0, 1.0, 2.0]
    assert (row["time_ms"], row["knob:time_ms"], row["knob:ID"], row["ß 測"]) == (4.0, 3.0, 4.0, 6.0)


def test_the_file_says_that_it_is_powertrains_and_logs_ahead(tmp_path):
    open_store(tmp_path / "p.db").close()
    assert (tmp_path / "p.db").read_bytes()[68:72] == b"PTR1"
    with closing(sqlite3.connect(tmp_path / "p.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("field", ["device", "workload"])
@pytest.mark.parametrize(("bad", "why"), [("a\0b", "NUL"), ("a\udc80", "UTF-8")])
def test_a_name_that_the_file_cannot_keep_is_refused_with_its_batch(tmp_path, field, bad, why):
    with open_store(tmp_path / "p.db") as store:
        with pytest.raises(DataError, match=why):
            store.add([PLAIN, replace(PLAIN, **{field: bad})])
        with pytest.raises(DataError, match=why):
            store.add([PLAIN, replace(PLAIN, mode=PowerMode({bad: 1}))])
        assert store.profiles() == []


# Kills, processes, threads


def test_a_writer_killed_at_any_moment_loses_nothing_that_it_acknowledged(tmp_path):
    path, rng = tmp_path / "p.db", np.random.default_rng(0)
    writers = {f"writer {i}": start_writer(path, f"writer {i}", batches=100_000, size=7) for i in range(4)}
    for name, writer in writers.items():
        let_go(writer)
        for _ in range(rng.integers(1, 30)):
            writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.01))
        writer.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in writer.communicate()[0].split()]
        with SqliteStore(path) as store:
            times = batches_of(store, name)
            assert len(times) % 7 == 0
            assert times == sorted(times)
            assert times[-1] >= max(acknowledged, default=0) + 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_process_killed_while_it_makes_the_file_leaves_one_that_opens(tmp_path):
    rng = np.random.default_rng(1)
    paths = [tmp_path / f"{i}.db" for i in range(4)]
    writers = [start_writer(path, "w", batches=1000, size=1) for path in paths]
    for writer, path in zip(writers, paths, strict=True):
        let_go(writer)
        time.sleep(rng.uniform(0, 0.02))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        with SqliteStore(path) as store:
            before = store.profiles()
            store.add([PLAIN])
            assert store.profiles() == [*before, PLAIN]


def test_two_processes_may_make_and_fill_one_file_at_once(tmp_path):
    path = tmp_path / "p.db"
    writers = [start_writer(path, name, batches=30, size=3) for name in ("a", "b")]
    let_go(*writers)
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    with SqliteStore(path) as store:
        expected = [float(1 + batch) for batch in range(30) for _ in range(3)]
        assert batches_of(store, "a") == batches_of(store, "b") == expected
        everyone = [p.workload for p in store.profiles()]
    assert all(len(set(everyone[i : i + 3])) == 1 for i in range(0, len(everyone), 3))
    assert set(view(path)[0]) >= {f"knob_{i}" for i in range(5)}


def test_another_process_that_keeps_the_lock_is_named_as_the_reason(tmp_path):
    with SqliteStore(tmp_path / "p.db", timeout_s=0.05) as store:
        with closing(sqlite3.connect(tmp_path / "p.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match=r"is busy: .* 0.05 s; try again"):
                store.add([PLAIN])
            assert store.profiles() == []
        assert store.add([PLAIN]) == 1


def test_a_failure_within_a_batch_keeps_none_of_it(tmp_path):
    with SqliteStore(tmp_path / "p.db") as store:
        store.add([PLAIN])
        with closing(sqlite3.connect(tmp_path / "p.db")) as other:
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON profile WHEN NEW.time_ms = 3 "
                "BEGIN SELECT raise(ABORT, 'database or disk is full'); END"
            )
        with pytest.raises(StoreError, match="disk is full"):
            store.add(replace(PLAIN, mode=PowerMode(new=1), time_ms=t) for t in (1.0, 2.0, 3.0, 4.0))
        assert store.profiles() == [PLAIN]
    assert "new" not in view(tmp_path / "p.db")[0]


# Files that are refused, and stay as they are


def other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (id)")


def newer_database(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def other_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")


def without_tables(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP VIEW profiles; DROP TABLE knob; DROP TABLE profile")


def a_csv_file(path: Path) -> None:
    path.write_text("device,workload,gpu_mhz,time_ms\n")


def a_header_and_rubbish(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (a_csv_file, CorruptStoreError, "is not an SQLite database"),
        (a_header_and_rubbish, CorruptStoreError, "is damaged"),
        (other_database, CorruptStoreError, "is not a PowerTrain database"),
        (other_application, CorruptStoreError, "is not a PowerTrain database"),
        (without_tables, CorruptStoreError, "is damaged .no such table"),
        (newer_database, NewerStoreError, "has schema 99, later than 4 here: upgrade PowerTrain"),
    ],
)
def test_a_file_that_is_not_usable_is_refused_in_one_line_and_left_alone(tmp_path, make, kind, words):
    path = tmp_path / "p.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(kind, match=words) as refusal:  # noqa: SIM117
        with open_store(path) as store:
            store.add([PLAIN])
    assert only_one_line(refusal)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_file_becomes_a_database(tmp_path):
    (tmp_path / "p.db").touch()
    with open_store(tmp_path / "p.db") as store:
        assert store.add([PLAIN]) == 1


@pytest.mark.parametrize("damage", ["middle", "end"])
def test_a_damaged_file_is_named_as_such(tmp_path, damage):
    path = tmp_path / "p.db"
    with open_store(path) as store:
        store.add(replace(PLAIN, time_ms=1.0 + i) for i in range(2000))
    content = bytearray(path.read_bytes())
    if damage == "middle":
        content[len(content) // 4 : len(content) // 2] = b"\xa5" * (len(content) // 2 - len(content) // 4)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    with pytest.raises(CorruptStoreError, match=r"is damaged .*: restore a copy") as refusal:  # noqa: SIM117
        with open_store(path) as store:
            store.profiles()
    assert only_one_line(refusal)
    assert path.stat().st_size >= len(content) // 2


@pytest.mark.parametrize(
    "change",
    ["mode = 'rubbish'", "mode = '{}'", "mode = '[]'", "flags = '5'", "extra = '5'", "time_ms = 'fast'"],
)
def test_a_row_that_somebody_edited_into_nonsense_is_named(tmp_path, change):
    with open_store(tmp_path / "p.db") as store:
        store.add([PLAIN, PLAIN])
        with closing(sqlite3.connect(tmp_path / "p.db")) as other, other:
            other.execute(f"UPDATE profile SET {change} WHERE id = 2")
        with pytest.raises(CorruptStoreError, match="profile 2 cannot be read"):
            store.profiles()


def test_a_folder_or_a_missing_folder_is_no_database(tmp_path):
    with pytest.raises(StoreError, match="is a folder: give a file in it"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match=r"there is no folder .*missing: make it first"):
        open_store(tmp_path / "missing" / "p.db")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="there is no folder"):
        open_store(tmp_path / "file" / "p.db")


# What may only be read


@pytest.mark.parametrize("locked", ["file", "folder", "both"])
def test_a_database_that_cannot_be_written_can_be_read(unprivileged_folder, locked):
    path = unprivileged_folder / "p.db"
    with open_store(path) as store:
        store.add(example_profiles())
    if locked in ("file", "both"):
        path.chmod(0o444)
    if locked in ("folder", "both"):
        unprivileged_folder.chmod(0o555)
    with SqliteStore(path) as store:
        assert store.read_only
        assert store.profiles() == example_profiles()
        for change in (lambda: store.add([PLAIN]), lambda: store.delete(device="Orin", workload="w")):
            with pytest.raises(StoreError, match="can only be read here"):
                change()


def test_a_run_on_a_database_that_cannot_be_written_measures_nothing(unprivileged_folder):
    path = unprivileged_folder / "p.db"
    open_store(path).close()
    path.chmod(0o444)
    told = []
    with open_store(path) as store, pytest.raises(StoreError, match="can only be read here"):
        PROFILE(BOARD, "lstm", PLAN, store, progress=lambda *what: told.append(what))
    assert not told


@pytest.mark.parametrize("how", ["deleted", "replaced by another file"])
def test_a_database_that_goes_away_in_a_run_is_noticed(tmp_path, how):
    path = tmp_path / "p.db"
    with open_store(path) as store:
        store.add([PLAIN])
        path.unlink()
        if how != "deleted":
            path.touch()
        with pytest.raises(StoreError, match=rf"p.db was {how} while it was in use") as error:
            store.add([PLAIN])
        assert only_one_line(error)


def test_a_read_only_folder_takes_no_new_database(unprivileged_folder):
    unprivileged_folder.chmod(0o555)
    with pytest.raises(StoreError, match="cannot be written: give a file in another folder"):
        open_store(unprivileged_folder / "p.db")


def test_a_file_that_cannot_even_be_read_is_refused(unprivileged_folder):
    path = unprivileged_folder / "p.db"
    open_store(path).close()
    path.chmod(0o000)
    with pytest.raises(StoreError, match=r"cannot read .*: Permission denied"):
        open_store(path)


def test_a_store_in_use_can_be_read_from_a_folder_that_cannot_be_written(unprivileged_folder):
    path = unprivileged_folder / "p.db"
    with open_store(path) as writer:
        writer.add([PLAIN])
        path.chmod(0o444)
        with SqliteStore(path) as reader:
            assert reader.read_only
            assert reader.profiles() == [PLAIN]


# Schemas of the past


@pytest.mark.parametrize("version", range(1, len(_schema.MIGRATIONS) + 1))
def test_a_database_of_every_released_schema_still_opens(tmp_path, version):
    path = shutil.copy(DATA / f"schema_{version}.db", tmp_path / "p.db")
    expected = read_csv(DATA / f"schema_{version}.csv").profiles
    added = replace(PLAIN, mode=PowerMode(new_knob=1))
    with open_store(path) as store:
        assert store.profiles() == expected
        store.add([added])
        assert store.profiles() == [*expected, added]
    assert view(path)[-1]["new_knob"] == 1.0


def test_migrations_run_once_each_and_a_failing_one_leaves_the_schema_before_it(tmp_path):
    def add_column() -> str:
        return "ALTER TABLE profile ADD COLUMN comment TEXT;\n"

    def fail() -> str:
        return "DROP VIEW profiles;\nDROP TABLE profile;\nNONSENSE;\n"

    path = tmp_path / "p.db"
    with open_store(path) as store:
        store.add([PLAIN])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="NONSENSE"):
            _schema.migrate(SQLITE, connection, (*_schema.MIGRATIONS, add_column, fail))
        assert SQLITE.version(connection) == len(_schema.MIGRATIONS) + 1
        assert (
            _schema.migrate(SQLITE, connection, (*_schema.MIGRATIONS, add_column))
            == len(_schema.MIGRATIONS) + 1
        )
        assert connection.execute("SELECT time_ms, comment FROM profile").fetchall() == [(4.0, None)]


def test_an_old_database_that_cannot_be_written_asks_for_a_copy(unprivileged_folder, monkeypatch):
    path = unprivileged_folder / "p.db"
    open_store(path).close()
    path.chmod(0o444)
    monkeypatch.setattr(_schema, "MIGRATIONS", (*_schema.MIGRATIONS, lambda: ""))
    with pytest.raises(StoreError, match="needs an upgrade to schema 5 and cannot be written: open a copy"):
        open_store(path)
