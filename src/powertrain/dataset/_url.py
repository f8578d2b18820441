"""Locations of databases on a server: read, and shown without their passwords."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final
from urllib.parse import quote, urlencode

from powertrain.errors import MissingExtraError, StoreError

__all__ = ["Target", "target_of", "without_password"]

_FORM = "postgresql://USER@HOST:PORT/DATABASE, with the password in ~/.pgpass or PGPASSWORD"
_SECRET = ("password", "sslpassword", "oauth_client_secret")
_USER_INFO = re.compile(r"(?<=://)([^\s:/@]*):\S*@")
_PARAMETER = re.compile(rf"\b({'|'.join(_SECRET)})=[^&\s]*")
_ADDRESS = re.compile(r"[A-Za-z0-9_.\-]*")


def without_password(text: str) -> str:
    """Return a text, such as a command line, with the passwords taken out of the URLs in it.

    ```pycon
    >>> without_password("postgresql://me:secret@host/db?sslmode=require&password=secret")
    'postgresql://me@host/db?sslmode=require&password='

    ```
    """
    return _PARAMETER.sub(r"\1=", _USER_INFO.sub(r"\1@", text))


@final
@dataclass(frozen=True, kw_only=True)
class Target:
    """A database on a server."""

    parameters: Mapping[str, str]
    """What libpq connects with, the password included. It is not part of the `repr` of a store."""
    location: str
    """The URL without the password."""
    name: str
    """The database's own name, as far as the URL tells it."""

    @property
    def file_name(self) -> str:
        """A name for files about this database; whoever connects to it, it is the same."""
        where = {key: self.parameters.get(key, "") for key in ("host", "hostaddr", "port", "dbname")}
        digest = hashlib.sha256(repr(sorted(where.items())).encode()).hexdigest()[:12]
        return f"{re.sub('[^A-Za-z0-9]+', '-', self.name)[:40].strip('-') or 'database'}-{digest}"


def target_of(url: str) -> Target:
    """Read the URL of a PostgreSQL database.

    Raises:
        StoreError: It has no such form. The message never repeats the URL, which may hold a password.
        MissingExtraError: psycopg is not installed.
    """
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        raise MissingExtraError.of("psycopg", extra="postgresql", purpose="A store in PostgreSQL") from error
    rest = url.partition("://")[2]
    start = re.split("[@/]", rest, maxsplit=1)
    before_query = start[-1].partition("?")[0]
    if "://" not in url or (len(start) > 1 and "@" in before_query):
        raise StoreError(
            f"the URL of the database cannot be read: give {_FORM}; in a password write @ as %40 and / as %2F"
        )
    try:
        given = conninfo_to_dict("postgresql://" + rest)
    except ProgrammingError as error:
        reason = str(error).strip()
        # The words of libpq may repeat the URL, or its parts.
        known = re.match(r'invalid URI query parameter: "\w+"$', reason)
        why = f" ({known[0]})" if known else ""
        raise StoreError(f"the URL of the database cannot be read{why}: give {_FORM}") from None
    parameters = {key: str(value) for key, value in given.items() if value is not None}
    if not re.fullmatch("[0-9,]*", parameters.get("port", "")):
        # Without a host, what was meant as the password is taken for a port.
        raise StoreError(f"the port in the URL of the database is no number: give {_FORM}")
    return Target(
        parameters=parameters,
        location=_location(parameters),
        name=parameters.get("dbname") or parameters.get("user") or "postgresql",
    )


def _location(parameters: Mapping[str, str]) -> str:
    shown = {key: value for key, value in parameters.items() if key not in _SECRET}
    user, database = shown.pop("user", ""), shown.pop("dbname", "")
    address = ""
    if _ADDRESS.fullmatch(shown.get("host", "")) and "," not in shown.get("port", ""):
        address = shown.pop("host", "")
        port = shown.pop("port", "")
        address += f":{port}" if port else ""
    shown = {key: value for key, value in shown.items() if value.strip(",")}
    return (
        "postgresql://"
        + (f"{quote(user, safe='')}@" if user else "")
        + address
        + (f"/{quote(database, safe='')}" if database else "")
        + (f"?{urlencode(shown)}" if shown else "")
    )
