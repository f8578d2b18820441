"""The schema of the profile database: numbered migrations and the `profiles` view.

A migration is never changed once released; a change is a new one at the end of `MIGRATIONS`. Each runs in one
transaction with the number it leads to (`PRAGMA user_version`), so a database is always at a whole number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

from powertrain.units import ms_from_s

__all__ = [
    "APPLICATION_ID",
    "MIGRATIONS",
    "Identity",
    "Migration",
    "identify",
    "migrate",
    "register_knobs",
    "register_quantities",
    "transaction",
    "version_of",
]

APPLICATION_ID = 0x50545231
"""The bytes "PTR1" at offset 68 of the file, by which `file` and PowerTrain recognise it."""

Migration = Callable[[sqlite3.Connection], None]

_AFTER_KNOBS = (
    "time_ms",
    "power_w",
    # SQL cannot call units.energy_j: milliseconds times watts, over the milliseconds of a second.
    f"time_ms * power_w / {ms_from_s(1.0)} AS energy_j",
    "time_rel_se",
    "power_rel_se",
    "duration_s",
    "nullif(flags, '[]') AS flags",
    "nullif(extra, '{}') AS extra",
    "added_at",
)
"""Columns of the view behind those of the knobs."""
_OWN_COLUMNS = ("id", "device", "workload", *(column.split(" AS ")[-1] for column in _AFTER_KNOBS))


def _create(connection: sqlite3.Connection) -> None:
    """1: one row per profile, the knobs seen, and the view."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("""
        CREATE TABLE profile (
            id INTEGER PRIMARY KEY,
            device TEXT NOT NULL CHECK (device <> ''),
            workload TEXT NOT NULL CHECK (workload <> ''),
            mode TEXT NOT NULL,                  -- JSON object: knob -> value, in the mode's order
            time_ms REAL CHECK (time_ms > 0),    -- NULL: not measured
            power_w REAL CHECK (power_w > 0),
            time_rel_se REAL CHECK (time_rel_se >= 0),
            power_rel_se REAL CHECK (power_rel_se >= 0),
            duration_s REAL CHECK (duration_s >= 0),
            flags TEXT NOT NULL DEFAULT '[]',    -- JSON array of text
            extra TEXT NOT NULL DEFAULT '{}',    -- JSON object: column -> text
            added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
            CHECK (time_ms IS NOT NULL OR power_w IS NOT NULL)
        )""")
    connection.execute("CREATE INDEX profile_of_workload ON profile (workload, device)")
    connection.execute("CREATE TABLE knob (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    _create_view(connection)


def _allow_flagged_without_numbers(connection: sqlite3.Connection) -> None:
    """2: a flagged profile may have neither time nor power: its mode was tried, and this is why it failed."""
    connection.execute("DROP VIEW IF EXISTS profiles")
    connection.execute("ALTER TABLE profile RENAME TO profile_1")
    connection.execute("""
        CREATE TABLE profile (
            id INTEGER PRIMARY KEY,
            device TEXT NOT NULL CHECK (device <> ''),
            workload TEXT NOT NULL CHECK (workload <> ''),
            mode TEXT NOT NULL,                  -- JSON object: knob -> value, in the mode's order
            time_ms REAL CHECK (time_ms > 0),    -- NULL: not measured
            power_w REAL CHECK (power_w > 0),
            time_rel_se REAL CHECK (time_rel_se >= 0),
            power_rel_se REAL CHECK (power_rel_se >= 0),
            duration_s REAL CHECK (duration_s >= 0),
            flags TEXT NOT NULL DEFAULT '[]',    -- JSON array of text
            extra TEXT NOT NULL DEFAULT '{}',    -- JSON object: column -> text
            added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
            CHECK (time_ms IS NOT NULL OR power_w IS NOT NULL OR flags <> '[]')
        )""")
    connection.execute("INSERT INTO profile SELECT * FROM profile_1")
    connection.execute("DROP TABLE profile_1")
    connection.execute("CREATE INDEX profile_of_workload ON profile (workload, device)")
    _create_view(connection)


def _keep_other_quantities(connection: sqlite3.Connection) -> None:
    """3: a profile may hold further quantities, and needs no time or power if it does."""
    connection.execute("DROP VIEW IF EXISTS profiles")
    connection.execute("DROP INDEX IF EXISTS profile_of_workload")
    connection.execute("ALTER TABLE profile RENAME TO profile_2")
    connection.execute("""
        CREATE TABLE profile (
            id INTEGER PRIMARY KEY,
            device TEXT NOT NULL CHECK (device <> ''),
            workload TEXT NOT NULL CHECK (workload <> ''),
            mode TEXT NOT NULL,                  -- JSON object: knob -> value, in the mode's order
            time_ms REAL CHECK (time_ms > 0),    -- NULL: not measured
            power_w REAL CHECK (power_w > 0),
            time_rel_se REAL CHECK (time_rel_se >= 0),
            power_rel_se REAL CHECK (power_rel_se >= 0),
            duration_s REAL CHECK (duration_s >= 0),
            flags TEXT NOT NULL DEFAULT '[]',    -- JSON array of text
            extra TEXT NOT NULL DEFAULT '{}',    -- JSON object: column -> text
            added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
            others TEXT NOT NULL DEFAULT '{}',   -- JSON object: column of another quantity -> number
            CHECK (time_ms IS NOT NULL OR power_w IS NOT NULL OR flags <> '[]' OR others <> '{}')
        )""")
    connection.execute("INSERT INTO profile SELECT *, '{}' FROM profile_2")
    connection.execute("DROP TABLE profile_2")
    connection.execute("CREATE INDEX profile_of_workload ON profile (workload, device)")
    connection.execute("CREATE TABLE quantity (position INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)")
    _create_view(connection)


MIGRATIONS: tuple[Migration, ...] = (_create, _allow_flagged_without_numbers, _keep_other_quantities)
"""Migration i leads from schema version i to i + 1."""


@final
@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a database says of itself."""

    ours: bool
    """PowerTrain made it."""
    blank: bool
    """Nobody has made anything of it yet."""
    version: int
    """Schema version, 0 for a blank one."""


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Generator[None]:
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


def identify(connection: sqlite3.Connection) -> Identity:
    """Return what the database is, though another process may be making it at this moment."""
    with transaction(connection, "DEFERRED"):
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        application, version = _pragma(connection, "application_id"), version_of(connection)
    return Identity(
        ours=application == APPLICATION_ID,
        blank=(objects, application, version) == (0, 0, 0),
        version=version,
    )


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version, 0 for a database without any."""
    return _pragma(connection, "user_version")


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """Bring the database to the newest version, one transaction per step; return that version.

    Another process may do the same at the same time: each looks again once it holds the lock. A database
    that is newer than `migrations` is left as it is.
    """
    while (version := version_of(connection)) < len(migrations):
        with transaction(connection):
            if version_of(connection) == version:
                migrations[version](connection)
                connection.execute(f"PRAGMA user_version = {version + 1}")
    return version


def register_knobs(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Give every new knob a column in the view; to be called inside the transaction that first uses it."""
    _register(connection, "knob", names)


def register_quantities(connection: sqlite3.Connection, columns: Iterable[str]) -> None:
    """Give every new quantity a column in the view, as `register_knobs` does."""
    _register(connection, "quantity", columns)


def _register(connection: sqlite3.Connection, table: str, names: Iterable[str]) -> None:
    known = set(_names(connection, table))
    new = [name for name in dict.fromkeys(names) if name not in known]
    if new:
        connection.executemany(f"INSERT INTO {table} (name) VALUES (?)", ((name,) for name in new))
        _create_view(connection)


def _names(connection: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute(f"SELECT name FROM {table} ORDER BY position")]


def _create_view(connection: sqlite3.Connection) -> None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    others = _names(connection, "quantity") if "quantity" in tables else []
    columns = [
        *("id", "device", "workload"),
        *map(_knob_column, _names(connection, "knob")),
        *_AFTER_KNOBS[:2],
        *(_json_column("others", name, name) for name in others),
        *_AFTER_KNOBS[2:],
    ]
    connection.execute("DROP VIEW IF EXISTS profiles")
    connection.execute(f"CREATE VIEW profiles AS SELECT {', '.join(columns)} FROM profile")


def _knob_column(name: str) -> str:
    return _json_column("mode", name, f"knob:{name}" if name.lower() in _OWN_COLUMNS else name)


def _json_column(column: str, key: str, name: str) -> str:
    # json_each rather than json_extract, whose paths cannot name a key with a quote in it.
    value = f"(SELECT value FROM json_each(profile.{column}) WHERE key = {_text(key)})"
    return f"{value} AS {_identifier(name)}"


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return value


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
