"""The way to a database, and one clear line for all that can go wrong on it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from maskdet.extras import missing

_WAIT_S: Final = 5.0  # for another program that is just writing

_NO_FILES: Final = (None, "", ":memory:")

_TROUBLES: Final = (
    ("locked", "is locked by another program"),
    ("full", "cannot take more: the disk is full"),
    ("readonly", "may only be read: check the rights of the file and its folder"),
    ("unable to open", "cannot be opened: check the folder and its rights"),
    ("not a database", "is not a database: move it away, and a new one is made"),
    ("malformed", "is damaged: move it away, and a new one is made"),
)
"""What SQLite says, and what we say."""

_LIBPQ: Final = ("psycopg", "psycopg2")
"""Drivers of PostgreSQL that know the options below; others do without."""

_LIBPQ_OPTIONS: Final = {
    "connect_timeout": round(_WAIT_S),
    # In a database without an encoding, text would come back as bytes.
    "client_encoding": "utf8",
    # A network that swallows everything would hold us for a quarter of an hour.
    "tcp_user_timeout": 30_000,
}


class StoreError(RuntimeError):
    """The database of events cannot be used; the message is one line on why.

    Attributes:
        refused: it could be used, but will never take these values.
    """

    def __init__(self, line: str, *, refused: bool = False) -> None:
        """Say why, and whether it lies in what was to be written."""
        super().__init__(line)
        self.refused = refused


def parsed(url: str) -> sa.URL:
    """Return the parts of an SQLAlchemy URL.

    Raises:
        StoreError: it is none; the line does not repeat it, it may hold a password.
    """
    try:
        found = sa.make_url(url)
        found.get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise StoreError(
            "the address of the events database is no SQLAlchemy URL; try "
            "sqlite:////folder/events.sqlite3 or postgresql://user:password@host/name"
        ) from None
    if found.get_backend_name() == "postgres":  # as libpq and many hosts write it
        found = found.set(drivername="postgresql")
    if found.get_backend_name() == "sqlite" and found.database in _NO_FILES:
        raise StoreError("an events database in memory keeps nothing: name a file")
    return found


def engine(url: sa.URL) -> sa.Engine:
    """Return the engine that opens connections when they are needed.

    Raises:
        StoreError: no such kind of database is known, or its driver is missing.
    """
    kind = url.get_backend_name()
    options: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "sqlite":
        options["connect_args"] = {"timeout": _WAIT_S}
    try:
        if kind == "postgresql" and url.get_dialect().driver in _LIBPQ:
            options["connect_args"] = {
                name: value
                for name, value in _LIBPQ_OPTIONS.items()
                if name not in url.query
            }
        made = sa.create_engine(url, **options)
    except ImportError as error:
        line = ""
        if error.name == "psycopg":
            line = missing("a PostgreSQL database", "psycopg")
        raise StoreError(
            line or f"the driver of {kind} databases is missing: {error.name}"
        ) from None
    except (SQLAlchemyError, ValueError, TypeError):
        raise StoreError(f"databases of the kind {kind!r} are not known") from None
    if kind == "sqlite":
        sa.event.listen(made, "connect", _prepare_sqlite)
    return made


def looking_engine(url: sa.URL, usual: sa.Engine) -> sa.Engine:
    """Return an engine that changes nothing, not even beside an SQLite file.

    Args:
        url: a database.
        usual: its `engine`; for a server, that is returned.
    """
    if url.get_backend_name() != "sqlite":
        return usual
    options = {"timeout": _WAIT_S, "uri": True}
    # No connection waits for later: what it takes for granted may not be so then.
    made = sa.create_engine(url, connect_args=options, poolclass=sa.NullPool)
    sa.event.listen(made, "do_connect", _only_look)
    return made


def may_write(url: sa.URL) -> bool:
    """Return whether an SQLite file may be written to; a server tells when asked."""
    file = _file(url)
    return file is None or all(
        os.access(place, os.W_OK) for place in (file, file.parent)
    )


def let_others_read(connection: sa.Connection) -> None:
    """Let others read an SQLite file while one writes; the file keeps that."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def be_impatient(connection: sa.Connection) -> None:
    """Wait for a locked table as long as SQLite does for a file, not for ever."""
    if connection.dialect.name == "postgresql":
        # Only in this transaction: others may get the connection from a pooler.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_WAIT_S}s'")


def shown(url: sa.URL) -> str:
    """Return where a database is, for people: without password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def file_exists(url: sa.URL) -> bool:
    """Return whether an SQLite file is there; of a server that cannot be told."""
    file = _file(url)
    return file is None or file.exists()


def make_folder(url: sa.URL) -> None:
    """Make the folder of an SQLite file, for this user only.

    Raises:
        StoreError: it cannot be made.
    """
    file = _file(url)
    if file is None:
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Who was where and when is not for other users of this machine.
        file.touch(mode=0o600)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(f"{file} cannot be made: {reason}") from None


@contextmanager
def told(url: sa.URL) -> Iterator[None]:
    """Turn every error of a database into one line without a password."""
    try:
        yield
    except SQLAlchemyError as error:
        # A plain StatementError comes from a value, before the database is asked.
        refused = (
            isinstance(error, DataError | IntegrityError)
            or type(error) is StatementError
        )
        raise StoreError(_line(url, error), refused=refused) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Write fast, and wipe what is deleted; the file does not change by that."""
    cursor = connection.cursor()
    try:
        for line in ("synchronous=NORMAL", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {line}")
    finally:
        cursor.close()


def _only_look(_dialect: object, _record: object, names: Any, _options: object) -> None:
    """Open an SQLite file as one that nobody may change.

    While somebody writes, there is a log beside it, and SQLite must be told of changes;
    without one it must be told that there are none, else it wants to make files.
    """
    file = Path(names[0]).absolute()
    log = file.with_name(f"{file.name}-wal")
    still = not log.exists() or not log.stat().st_size
    names[0] = f"{file.as_uri()}?mode=ro{'&immutable=1' if still else ''}"


def _line(url: sa.URL, error: SQLAlchemyError) -> str:
    text = str(getattr(error, "orig", None) or type(error).__name__)
    for sign, trouble in _TROUBLES:
        if url.get_backend_name() == "sqlite" and sign in text:
            return f"{shown(url)} {trouble}"
    if "lock timeout" in text:
        return f"the events database {shown(url)} is locked by another program"
    first = next(iter(text.strip().splitlines()), type(error).__name__)
    if url.password:
        first = first.replace(str(url.password), "***")
    return f"the events database {shown(url)} cannot be used: {first}"


def _file(url: sa.URL) -> Path | None:
    is_file = url.get_backend_name() == "sqlite"
    return Path(str(url.database)) if is_file else None
