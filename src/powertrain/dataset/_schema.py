"""The schema of the profile database: numbered migrations and the `profiles` view.

SQLite and PostgreSQL share one series of migrations, the files in `migrations`. In them `$serial`, `$real`
and `$now` stand for the words of the database. A migration is never changed once released: a change is a
new one at the end of `MIGRATIONS`. Each runs in one transaction with the number it leads to, so a database is
always at a whole number. A new one only adds, since programs of the version before may be writing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, Protocol

from powertrain.units import ms_from_s

__all__ = [
    "MIGRATIONS",
    "AbstractDialect",
    "Connection",
    "Cursor",
    "Migration",
    "migrate",
    "register",
    "registered",
]

Migration = Callable[[], str]
"""Returns the statements of a migration, each ended by a semicolon at the end of a line."""

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
_WITH_QUANTITIES = 3
"""The first version that has a table of quantities."""


class Cursor(Protocol):
    """What a statement gives."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all rows."""
        ...


class Connection(Protocol):
    """What both databases do; `?` stands for a value."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        """Execute a statement."""
        ...

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> object:
        """Execute a statement once for each set of values."""
        ...


class AbstractDialect(ABC):
    """How a database differs from the other."""

    words: Mapping[str, str]
    """What stands in migrations for `$serial`, `$real` and `$now`."""

    @abstractmethod
    def transaction(self, connection: Any) -> AbstractContextManager[None]:
        """Hold the lock of those who change the schema; commit at the end, or roll back on any error."""

    @abstractmethod
    def version(self, connection: Any) -> int:
        """Return the schema version, 0 for a database without any."""

    @abstractmethod
    def set_version(self, connection: Any, version: int) -> None:
        """Set the schema version."""

    @abstractmethod
    def value(self, column: str, key: str) -> str:
        """Return the expression for the number under a key (SQL text) of the JSON object in a column."""

    @abstractmethod
    def labels(self, names: Sequence[str]) -> list[str]:
        """Return the names that columns of a view can have, in place of these."""


def _file(name: str) -> str:
    return (Path(__file__).with_name("migrations") / f"{name}.sql").read_text(encoding="utf-8")


MIGRATIONS: tuple[Migration, ...] = tuple(
    partial(_file, name) for name in ("1_profiles", "2_flagged", "3_quantities", "4_keys")
)
"""Migration i leads from schema version i to i + 1."""


def migrate(
    dialect: AbstractDialect, connection: Connection, migrations: Sequence[Migration] = MIGRATIONS
) -> int:
    """Bring the database to the newest version, one transaction per step; return that version.

    Another process may do the same at the same time: each looks again once it holds the lock. A database
    that is newer than `migrations` is left as it is.
    """
    while (version := dialect.version(connection)) < len(migrations):
        with dialect.transaction(connection):
            if dialect.version(connection) == version:
                for statement in _statements(migrations[version](), dialect):
                    connection.execute(statement)
                _create_view(dialect, connection, version + 1)
                dialect.set_version(connection, version + 1)
    return version


def _statements(text: str, dialect: AbstractDialect) -> list[str]:
    parts = Template(text).substitute(dialect.words).split(";\n")
    return [part for part in parts if part.strip()]


def register(
    dialect: AbstractDialect, connection: Connection, *, knobs: Iterable[str], quantities: Iterable[str]
) -> None:
    """Give every new knob and quantity a column in the view, within a transaction that holds the lock."""
    # All of them are looked at, whatever the first finds.
    if any([_register(connection, "knob", knobs), _register(connection, "quantity", quantities)]):
        _create_view(dialect, connection, len(MIGRATIONS))


def registered(connection: Connection) -> tuple[list[str], list[str]]:
    """Return the knobs and the quantities that have a column in the view."""
    return _names(connection, "knob"), _names(connection, "quantity")


def _register(connection: Connection, table: str, names: Iterable[str]) -> bool:
    known = set(_names(connection, table))
    new = [name for name in dict.fromkeys(names) if name not in known]
    if new:
        connection.executemany(f"INSERT INTO {table} (name) VALUES (?)", [(name,) for name in new])
    return bool(new)


def _names(connection: Connection, table: str) -> list[str]:
    return [name for (name,) in connection.execute(f"SELECT name FROM {table} ORDER BY position").fetchall()]


def _create_view(dialect: AbstractDialect, connection: Connection, version: int) -> None:
    knobs = _names(connection, "knob")
    others = _names(connection, "quantity") if version >= _WITH_QUANTITIES else []
    labels = dialect.labels([*(_knob_label(name) for name in knobs), *others])
    values = [
        f"{dialect.value(column, _text(key))} AS {_identifier(label)}"
        for (column, key), label in zip(
            [*(("mode", name) for name in knobs), *(("others", name) for name in others)], labels, strict=True
        )
    ]
    columns = [
        *("id", "device", "workload"),
        *values[: len(knobs)],
        *_AFTER_KNOBS[:2],
        *values[len(knobs) :],
        *_AFTER_KNOBS[2:],
    ]
    connection.execute("DROP VIEW IF EXISTS profiles")
    connection.execute(f"CREATE VIEW profiles AS SELECT {', '.join(columns)} FROM profile")


def _knob_label(name: str) -> str:
    return f"knob:{name}" if name.lower() in _OWN_COLUMNS else name


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
