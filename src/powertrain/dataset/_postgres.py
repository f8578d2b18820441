"""A store that many share: PostgreSQL, and a file of this machine for the time when the server is away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar, final

from psycopg import errors
from typing_extensions import override

from powertrain.dataset import _schema
from powertrain.dataset._postgres_link import POSTGRES, AwayError, Link, Session, marked
from powertrain.dataset._rows import NUMBERS
from powertrain.dataset._source import BLOCK_ROWS
from powertrain.dataset._sql import COLUMNS, AbstractSqlStore, Batch, Row
from powertrain.dataset._url import target_of
from powertrain.dataset._waiting import Waiting
from powertrain.errors import StoreError
from powertrain.files import state_folder
from powertrain.records import Profile
from powertrain.wording import counted

__all__ = ["PostgresStore"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

_ALL = (*COLUMNS, "key", "added_at")
_NOW = POSTGRES.words["now"]
# NaN is "not measured" in Python and NULL in a database; what is there already, by its key, is left.
_VALUES = ", ".join("nullif(?::float8, 'NaN')" if name in NUMBERS else "?" for name in COLUMNS)
_ROW = f"({_VALUES}, ?, coalesce(?, {_NOW}))"
_STAGED = ", ".join(f"{name} {'float8' if name in NUMBERS else 'text'}" for name in _ALL)
_FROM_STAGE = (
    f"INSERT INTO profile ({', '.join(_ALL)}) SELECT "
    + ", ".join(f"nullif({name}, 'NaN')" if name in NUMBERS else name for name in COLUMNS)
    + f", key, coalesce(added_at, {_NOW}) FROM incoming ORDER BY n ON CONFLICT DO NOTHING"
)
_FEW = 200
"""Up to so many rows, one statement is faster than a table to copy into."""
_SLOWEST_PER_S = 500
"""Rows that a server keeps in a second, if it is not hanging."""
_FORWARDED = 5000
"""Rows that are sent in one transaction when the server is back."""


@final
class PostgresStore(AbstractSqlStore):
    """Keeps profiles in the schema `powertrain` of a PostgreSQL database.

    Threads may share a store, and any number of processes and machines a database. While the server is away,
    `add` keeps profiles in an SQLite file of this machine (`waiting`). They follow as soon as a store of this
    database is used here again, each exactly once. `close` says so in one line. The table for people is the
    view `powertrain.profiles`.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        patience_s: float = 5.0,
        retry_s: float = 15.0,
        answer_s: float = 20.0,
    ) -> None:
        """Connect to the database at `url`.

        Args:
            url: `postgresql://USER@HOST:PORT/DATABASE`, and whatever else libpq takes.
            create: Make the tables if they are missing; else that is a `StoreError`.
            patience_s: For how long to try before a server counts as away.
            answer_s: How long the server may take to keep a few profiles.
            retry_s: For how long `add` then leaves it alone, so that a training waits no more.

        Raises:
            StoreError: There is no such server or database, or it lets nobody in.
            NewerStoreError: A later version of PowerTrain made the tables.
            MissingExtraError: psycopg is not installed.
        """
        self._target = target_of(url)
        self._patience_s, self._retry_s, self._answer_s = patience_s, retry_s, answer_s
        self._lock = threading.RLock()
        self._closed = self._unreadable = False
        self._known: set[tuple[str, str]] = set()
        self._followed = 0
        self._reason, self._away_until_s = "", 0.0
        self._link = Link(self._target, create=create)
        self._waiting = Waiting(_folder() / f"{self._target.file_name}.db")
        try:
            self._run(lambda _: None)
        except BaseException:
            self._link.close()
            raise
        self._forward()

    @property
    @override
    def location(self) -> str:
        return self._target.location

    @property
    @override
    def name(self) -> str:
        return self._target.name

    @property
    def waiting(self) -> Path:
        """The file in which profiles wait; there is none as long as none had to."""
        return self._waiting.path

    @property
    def read_only(self) -> bool:
        """Whether this user may only read."""
        return self._link.read_only

    @override
    def refuse_read_only(self) -> None:
        with self._lock:
            self._check_writable()

    @override
    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                self._away_until_s = 0.0  # one more try, however short ago the last was
                self._forward()
                if n := self._waits():
                    one = n == 1
                    logger.warning(
                        "%s of %s %s in %s (%s), and %s when this database is next used here",
                        *(counted(n, "profile"), self.location, "waits" if one else "wait", self.waiting),
                        *(self._reason or "the server was away", "follows" if one else "follow"),
                    )
                elif self._followed:
                    n = self._followed
                    logger.warning(
                        "%s had to wait in %s while %s was away, and %s now there",
                        *(counted(n, "profile"), self.waiting, self.location, "is" if n == 1 else "are"),
                    )
            finally:
                self._closed = True
                self._waiting.close()
                self._link.close()

    @property
    @override
    def _place(self) -> str:
        return self.location

    @override
    def _batch(self, profiles: Iterable[Profile]) -> Batch:
        return Batch.of(profiles, keyed=True)

    @override
    def _keep(self, batch: Batch) -> None:
        with self._lock:
            self._check_writable()
            if not batch.size:
                return
            try:
                # What waits goes first, so that profiles stay in the order in which they were measured.
                if self._forward():
                    self._send(batch, self._patience_s)
                    return
            except AwayError as error:
                self._note(error)
            except KeyboardInterrupt:
                self._wait(batch)  # the server may have it already: its key tells
                raise
            self._wait(batch)

    @override
    def _read(self, sql: str, values: Sequence[str], take: Callable[[Iterator[list[Row]]], T]) -> T:
        def work(session: Session) -> T:
            with (
                session.transaction("READ ONLY"),
                session.raw.cursor("powertrain_rows", binary=True) as cursor,
            ):
                cursor.execute(marked(sql), values or None)
                return take(iter(lambda: cursor.fetchmany(BLOCK_ROWS), []))

        with self._lock:
            self._check_open()
            self._forward()
            return self._run(work)

    @override
    def _change(self, sql: str, values: Sequence[str]) -> int:
        def work(session: Session) -> int:
            with session.transaction():
                return session.execute(sql, values).rowcount

        with self._lock:
            self._check_writable()
            self._forward()
            return self._run(work)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store of {self.location} is closed: open it again")

    def _check_writable(self) -> None:
        self._check_open()
        if self.read_only:
            raise StoreError(f"this user may not write to {self.location}: profiles can only be read here")

    def _run(self, work: Callable[[Session], T]) -> T:
        """Do something that has to be done now or not at all."""
        try:
            return self._link.run(work, patience_s=self._patience_s)
        except AwayError as error:
            self._note(error)
            n = self._waits()
            waits = f"; {counted(n, 'profile')} for it wait in {self.waiting}" if n else ""
            hint = f": {error.hint}" if error.hint else ""
            raise StoreError(f"cannot use {self.location} ({error.reason}){hint}{waits}") from error

    def _note(self, error: AwayError) -> None:
        self._reason, self._away_until_s = error.reason, time.monotonic() + self._retry_s

    def _wait(self, batch: Batch) -> None:
        try:
            self._waiting.keep(batch)
        except StoreError as error:
            raise StoreError(
                f"cannot use {self.location} ({self._reason}), and profiles cannot wait either: {error}"
            ) from error

    def _forward(self) -> bool:
        """Send what waits; return whether nothing does any more. An absent server is left alone at first."""
        due = time.monotonic() >= self._away_until_s
        if self.read_only or not due or not self._waits():
            return due
        try:
            while self._waits():
                upto, batch = self._waiting.first(_FORWARDED)
                self._send(batch, 0.0)
                self._followed += self._waiting.forget(upto)
        except AwayError as error:
            self._note(error)
        except StoreError as error:
            self._note(AwayError(str(error)))
        return not self._waits()

    def _waits(self) -> int:
        """Return how many profiles wait, 0 where their file cannot be read."""
        try:
            return self._waiting.count()
        except StoreError as error:
            if not self._unreadable:
                logger.warning("profiles that may wait for %s cannot be sent: %s", self.location, error)
            self._unreadable = True
            return 0

    def _send(self, batch: Batch, patience_s: float) -> None:
        limit_s = self._answer_s + batch.size / _SLOWEST_PER_S
        self._link.run(partial(self._insert, batch=batch), patience_s=patience_s, limit_s=limit_s)

    def _insert(self, session: Session, batch: Batch) -> None:
        if not batch.size:
            return
        self._register(session, batch)
        rows = ((*row, *stamp) for row, stamp in zip(batch.rows(), batch.stamps(), strict=True))
        with session.transaction():
            if batch.size <= _FEW:
                into = f"INSERT INTO profile ({', '.join(_ALL)}) VALUES {', '.join([_ROW] * batch.size)}"
                session.execute(f"{into} ON CONFLICT DO NOTHING", [cell for row in rows for cell in row])
                return
            session.execute(f"CREATE TEMPORARY TABLE incoming (n BIGINT, {_STAGED}) ON COMMIT DROP")
            with (
                session.raw.cursor() as cursor,
                cursor.copy(f"COPY incoming (n, {', '.join(_ALL)}) FROM STDIN".encode()) as copy,
            ):
                for n, row in enumerate(rows):
                    copy.write_row((n, *row))
            session.execute(_FROM_STAGE)

    def _register(self, session: Session, batch: Batch) -> None:
        """Give new knobs a column in the view, apart from the rows, since others wait for that lock."""
        names = {("knob", name) for name in batch.knobs} | {("quantity", name) for name in batch.quantities}
        if names <= self._known:
            return
        try:
            with session.transaction(locked=True):
                _schema.register(POSTGRES, session, knobs=batch.knobs, quantities=batch.quantities)
        except errors.InsufficientPrivilege:
            # Only the owner can change the view. The rows have everything without it.
            logger.debug("the view of %s is left as it is", self.location)
        self._known |= names


def _folder() -> Path:
    """Return where profiles of this machine wait."""
    try:
        return state_folder() / "waiting"
    except OSError as error:
        raise StoreError(f"profiles could not wait for a server: {error.strerror}") from error
