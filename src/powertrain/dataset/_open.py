"""From the text that a person types after `--db` to a store."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, final

from powertrain.dataset._base import AbstractStore
from powertrain.dataset._memory import MemoryStore
from powertrain.dataset._sqlite import SqliteStore
from powertrain.errors import StoreError, UnknownNameError
from powertrain.registry import Registry

__all__ = ["STORES", "StoreOpener", "open_store", "store_file"]

STORES = Registry(
    kind="kind of store",
    group="powertrain.stores",
    built_in={
        "sqlite": "powertrain.dataset._open:open_sqlite",
        "memory": "powertrain.dataset._open:open_memory",
        "postgresql": "powertrain.dataset._open:open_postgresql",
        "postgres": "powertrain.dataset._open:open_postgresql",
    },
)
"""What opens a store, by the scheme of its location; each is a `StoreOpener`."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")
_SQLITE = "sqlite:"


class StoreOpener(Protocol):
    """Opens a store from its whole location, scheme included.

    Where the store is a file, its method `file_of` returns the path from the location.
    """

    def __call__(self, location: str, *, create: bool) -> AbstractStore:
        """Return the store; without `create`, one that is missing is a `StoreError`."""
        ...


def open_store(location: Path | str | None = None, *, create: bool = True) -> AbstractStore:
    """Open a profile store.

    Args:
        location: A file, such as `profiles.db` (SQLite); `sqlite:///profiles.db`, which is the same, with
            four slashes before an absolute path; `postgresql://USER@HOST:PORT/DATABASE` for a store that many
            machines share; `memory:` or None, for a store that ends with the process; or `SCHEME://...` of a
            store that an installed package adds.
        create: Whether a missing one is made; if not, it is a `StoreError`.

    Raises:
        UnknownNameError: There is no such scheme; the message lists those that there are.
        StoreError: The store cannot be opened.
    """
    if location is None:
        return open_memory("memory:", create=create)
    scheme = _scheme(location)
    if scheme is None:
        return SqliteStore(location, create=create)
    opener: StoreOpener = STORES.load(scheme)
    return opener(str(location), create=create)


@final
class _SqliteOpener:
    """Opens `sqlite:///PATH`, or `sqlite:PATH`."""

    def __call__(self, location: str, *, create: bool) -> AbstractStore:
        return SqliteStore(self.file_of(location), create=create)

    def file_of(self, location: str) -> Path:
        """Return the file, which no command may write over."""
        rest = location[len(_SQLITE) :]
        path = rest[3:] if rest.startswith("///") else rest
        if not path or path.startswith("//"):
            raise StoreError(
                f"{location!r} names no file: give sqlite:///FILE, or sqlite:////FOLDER/FILE from the root"
            )
        return Path(path)


open_sqlite = _SqliteOpener()


def open_memory(location: str, *, create: bool) -> AbstractStore:
    """Open a new store in memory."""
    del create
    if location.rstrip("/") != "memory:":
        raise StoreError(f"{location!r} has more than memory: in it, and a store in memory has no name")
    return MemoryStore()


def open_postgresql(location: str, *, create: bool) -> AbstractStore:
    """Open a database on a server, which takes the extra `postgresql`."""
    from powertrain.dataset._url import target_of

    target_of(location)  # which says what is missing before anything imports it
    from powertrain.dataset._postgres import PostgresStore

    return PostgresStore(location, create=create)


def store_file(location: Path | str) -> Path | None:
    """Return the file that a location names, or None for a store that is not a file.

    A store that is a file says so by its opener's method `file_of`, so that no command writes over it.
    """
    scheme = _scheme(location)
    if scheme is None:
        return Path(location)
    file_of: Callable[[str], Path] | None = getattr(STORES.load(scheme), "file_of", None)
    return None if file_of is None else file_of(str(location))


def _scheme(location: Path | str) -> str | None:
    """Return the scheme of a location in small letters, or None for that of a file.

    A file whose name looks like a scheme is taken for a file if it exists.
    """
    found = _SCHEME.match(location) if isinstance(location, str) else None
    if found is None:
        return None
    scheme, is_url = found[1].lower(), found[2] is not None
    if not is_url and Path(location).exists():
        return None
    if scheme not in STORES:
        known = ", ".join(f"{name}:" for name in STORES.names())
        own = "" if is_url else f", or ./{location} for a file of that name"
        raise UnknownNameError(f"unknown kind of store {scheme!r}: give a file, or one of {known}{own}")
    return scheme
