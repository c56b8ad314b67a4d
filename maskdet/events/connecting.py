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

from maskdet.extras import describe_missing_library

_LOCK_TIMEOUT_S: Final = 5.0  # for another program that is just writing

_IN_MEMORY_NAMES: Final = (None, "", ":memory:")

_SQLITE_MESSAGES: Final = (
    ("locked", "is locked by another program"),
    ("full", "cannot take more: the disk is full"),
    ("readonly", "may only be read: check the rights of the file and its folder"),
    ("unable to open", "cannot be opened: check the folder and its rights"),
    ("not a database", "is not a database: move it away, and a new one is made"),
    ("malformed", "is damaged: move it away, and a new one is made"),
)
"""What SQLite says, and what we say."""

_LIBPQ_DRIVERS: Final = ("psycopg", "psycopg2")
"""Drivers of PostgreSQL that know the options below; others do without."""

_LIBPQ_OPTIONS: Final = {
    "connect_timeout": round(_LOCK_TIMEOUT_S),
    # In a database without an encoding, text would come back as bytes.
    "client_encoding": "utf8",
    # A network that swallows everything would hold us for a quarter of an hour.
    "tcp_user_timeout": 30_000,
}


class StoreError(RuntimeError):
    """The database of events cannot be used; the message is one line on why.

    Attributes:
        rejected: it could be used, but will never take these values.
    """

    def __init__(self, message: str, *, rejected: bool = False) -> None:
        """Say why, and whether it lies in what was to be written."""
        super().__init__(message)
        self.rejected = rejected


def parse_database_url(url: str) -> sa.URL:
    """Return the parts of an SQLAlchemy URL.

    Raises:
        StoreError: it is none; the line does not repeat it, it may hold a password.
    """
    try:
        parsed_url = sa.make_url(url)
        parsed_url.get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise StoreError(
            "the address of the events database is no SQLAlchemy URL; try "
            "sqlite:////folder/events.sqlite3 or postgresql://user:password@host/name"
        ) from None
    if parsed_url.get_backend_name() == "postgres":  # as libpq and many hosts write it
        parsed_url = parsed_url.set(drivername="postgresql")
    if (
        parsed_url.get_backend_name() == "sqlite"
        and parsed_url.database in _IN_MEMORY_NAMES
    ):
        raise StoreError("an events database in memory keeps nothing: name a file")
    return parsed_url


def create_engine(url: sa.URL) -> sa.Engine:
    """Return the engine that opens connections when they are needed.

    Raises:
        StoreError: no such kind of database is known, or its driver is missing.
    """
    kind = url.get_backend_name()
    options: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "sqlite":
        options["connect_args"] = {"timeout": _LOCK_TIMEOUT_S}
    try:
        if kind == "postgresql" and url.get_dialect().driver in _LIBPQ_DRIVERS:
            options["connect_args"] = {
                name: value
                for name, value in _LIBPQ_OPTIONS.items()
                if name not in url.query
            }
        created = sa.create_engine(url, **options)
    except ImportError as error:
        message = ""
        if error.name == "psycopg":
            message = describe_missing_library("a PostgreSQL database", "psycopg")
        raise StoreError(
            message or f"the driver of {kind} databases is missing: {error.name}"
        ) from None
    except (SQLAlchemyError, ValueError, TypeError):
        raise StoreError(f"databases of the kind {kind!r} are not known") from None
    if kind == "sqlite":
        sa.event.listen(created, "connect", _prepare_sqlite)
    return created


def create_read_only_engine(url: sa.URL, default_engine: sa.Engine) -> sa.Engine:
    """Return an engine that changes nothing, not even beside an SQLite file.

    Args:
        url: a database.
        default_engine: its `create_engine`; for a server, that is returned.
    """
    if url.get_backend_name() != "sqlite":
        return default_engine
    options = {"timeout": _LOCK_TIMEOUT_S, "uri": True}
    # No connection waits for later: what it takes for granted may not be so then.
    created = sa.create_engine(url, connect_args=options, poolclass=sa.NullPool)
    sa.event.listen(created, "do_connect", _connect_read_only)
    return created


def can_write(url: sa.URL) -> bool:
    """Return whether an SQLite file may be written to; a server tells when asked."""
    file = _sqlite_file(url)
    return file is None or all(os.access(path, os.W_OK) for path in (file, file.parent))


def enable_concurrent_reads(connection: sa.Connection) -> None:
    """Let others read an SQLite file while one writes; the file keeps that."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def set_lock_timeout(connection: sa.Connection) -> None:
    """Wait for a locked table as long as SQLite does for a file, not for ever."""
    if connection.dialect.name == "postgresql":
        # Only in this transaction: others may get the connection from a pooler.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")


def format_database_url(url: sa.URL) -> str:
    """Return where a database is, for people: without password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def database_file_exists(url: sa.URL) -> bool:
    """Return whether an SQLite file is there; of a server that cannot be told."""
    file = _sqlite_file(url)
    return file is None or file.exists()


def create_database_file(url: sa.URL) -> None:
    """Make the folder of an SQLite file, for this user only.

    Raises:
        StoreError: it cannot be made.
    """
    file = _sqlite_file(url)
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
def translate_database_errors(url: sa.URL) -> Iterator[None]:
    """Turn every error of a database into one line without a password."""
    try:
        yield
    except SQLAlchemyError as error:
        # A plain StatementError comes from a value, before the database is asked.
        rejected = (
            isinstance(error, DataError | IntegrityError)
            or type(error) is StatementError
        )
        raise StoreError(
            _format_database_error(url, error), rejected=rejected
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Write fast, and wipe what is deleted; the file does not change by that."""
    cursor = connection.cursor()
    try:
        for pragma in ("synchronous=NORMAL", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _connect_read_only(
    _dialect: object, _record: object, connect_args: Any, _options: object
) -> None:
    """Open an SQLite file as one that nobody may change.

    While somebody writes, there is a log beside it, and SQLite must be told of changes;
    without one it must be told that there are none, else it wants to make files.
    """
    file = Path(connect_args[0]).absolute()
    log = file.with_name(f"{file.name}-wal")
    is_static = not log.exists() or not log.stat().st_size
    connect_args[0] = f"{file.as_uri()}?mode=ro{'&immutable=1' if is_static else ''}"


def _format_database_error(url: sa.URL, error: SQLAlchemyError) -> str:
    text = str(getattr(error, "orig", None) or type(error).__name__)
    for pattern, message in _SQLITE_MESSAGES:
        if url.get_backend_name() == "sqlite" and pattern in text:
            return f"{format_database_url(url)} {message}"
    if "lock timeout" in text:
        return f"the events database {format_database_url(url)} is locked by another program"
    first_line = next(iter(text.strip().splitlines()), type(error).__name__)
    if url.password:
        first_line = first_line.replace(str(url.password), "***")
    return (
        f"the events database {format_database_url(url)} cannot be used: {first_line}"
    )


def _sqlite_file(url: sa.URL) -> Path | None:
    is_file = url.get_backend_name() == "sqlite"
    return Path(str(url.database)) if is_file else None
