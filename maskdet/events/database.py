"""Engines, tables and SQL statements of the events database (SQLite, PostgreSQL).

Times are integers: milliseconds since 1970 in UTC. They sort, subtract and group the
same way in SQLite and in PostgreSQL. A column that does not apply to an event is null.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)

from maskdet.events.event import Event
from maskdet.extras import describe_missing_library
from maskdet.types import Label

_LOCK_TIMEOUT_S: Final = 5.0  # wait for another program that writes

_IN_MEMORY_NAMES: Final = (None, "", ":memory:")

_SQLITE_MESSAGES: Final = (
    ("locked", "is locked by another program"),
    ("full", "cannot be written: the disk is full"),
    ("readonly", "is read-only: check the permissions of the file and its folder"),
    ("unable to open", "cannot be opened: check the folder and its permissions"),
    ("not a database", "is not a database: move it away to create a new one"),
    ("malformed", "is damaged: move it away to create a new one"),
)
"""Part of a message of SQLite, and the message shown instead."""

_LIBPQ_DRIVERS: Final = ("psycopg", "psycopg2")
"""Drivers of PostgreSQL that accept the options below."""

_LIBPQ_OPTIONS: Final = {
    "connect_timeout": round(_LOCK_TIMEOUT_S),
    # A database without an encoding (SQL_ASCII) would return bytes.
    "client_encoding": "utf8",
    # The default would block for 15 minutes if the network drops all packets.
    "tcp_user_timeout": 30_000,
}

SCHEMA_VERSION: Final = 1

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

METADATA: Final = sa.MetaData()

INFO_TABLE: Final = sa.Table(
    "maskdet_about",
    METADATA,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
"""Metadata of the database: its `schema_version`."""

EVENTS_TABLE: Final = sa.Table(
    "maskdet_events",
    METADATA,
    sa.Column(
        "id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("camera", sa.String(60), nullable=False),
    sa.Column("session", sa.String(40), nullable=False),
    sa.Column("person", sa.BigInteger),
    sa.Column("label", sa.String(16), nullable=False),
    # Column name of databases of version 0.1.
    sa.Column("certainty", sa.Float, key="confidence", nullable=False),
    sa.Column("before", sa.String(16)),
    sa.Column("other", sa.BigInteger),
    sa.Column("distance", sa.Float),
    sa.Column("unit", sa.String(8)),
    sa.Column("for_s", sa.Float, nullable=False),
    sa.Column("rule", sa.String(40)),
    sa.Column("count", sa.Integer),
    sa.Index("maskdet_events_at", "at_ms"),
)
"""One row per event; the columns are those of `Event.to_record`, except the time."""

_STORED_KINDS: Final = {"classified": "verdict"}
"""Event kind to its name in the database, where it differs: that of version 0.1."""

_KINDS_BY_STORED: Final = {stored: kind for kind, stored in _STORED_KINDS.items()}


class StoreError(RuntimeError):
    """The events database cannot be used; the message is one line with the reason.

    Attributes:
        rejected: whether the database works but rejects these values for good.
    """

    def __init__(self, message: str, *, rejected: bool = False) -> None:
        """Store the message, and whether the values were rejected."""
        super().__init__(message)
        self.rejected = rejected


def parse_database_url(url: str) -> sa.URL:
    """Parse and check an SQLAlchemy URL.

    Raises:
        StoreError: the URL is invalid; the message omits it, as it may contain a
            password.
    """
    try:
        parsed_url = sa.make_url(url)
        parsed_url.get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise StoreError(
            "the URL of the events database is not an SQLAlchemy URL; try "
            "sqlite:////folder/events.sqlite3 or postgresql://user:password@host/name"
        ) from None
    if parsed_url.get_backend_name() == "postgres":  # as libpq and many hosts write it
        parsed_url = parsed_url.set(drivername="postgresql")
    if (
        parsed_url.get_backend_name() == "sqlite"
        and parsed_url.database in _IN_MEMORY_NAMES
    ):
        raise StoreError("an in-memory events database is not supported: name a file")
    return parsed_url


def create_engine(url: sa.URL) -> sa.Engine:
    """Return an engine, which opens connections on demand.

    Raises:
        StoreError: this kind of database is not supported, or its driver is missing.
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
        raise StoreError(f"databases of the kind {kind!r} are not supported") from None
    if kind == "sqlite":
        sa.event.listen(created, "connect", _prepare_sqlite)
    return created


def create_read_only_engine(url: sa.URL, default_engine: sa.Engine) -> sa.Engine:
    """Return an engine that writes nothing, not even files next to an SQLite file.

    Args:
        url: URL of the database.
        default_engine: engine of `create_engine`; returned unchanged for a server.
    """
    if url.get_backend_name() != "sqlite":
        return default_engine
    options = {"timeout": _LOCK_TIMEOUT_S, "uri": True}
    # Do not pool connections: `immutable=1` may no longer hold later.
    created = sa.create_engine(url, connect_args=options, poolclass=sa.NullPool)
    sa.event.listen(created, "do_connect", _connect_read_only)
    return created


def can_write(url: sa.URL) -> bool:
    """Return whether an SQLite file is writable; always true for a server."""
    file = _sqlite_file(url)
    return file is None or all(os.access(path, os.W_OK) for path in (file, file.parent))


def enable_concurrent_reads(connection: sa.Connection) -> None:
    """Switch an SQLite file to WAL mode, which the file keeps."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def set_lock_timeout(connection: sa.Connection) -> None:
    """Set the lock timeout of PostgreSQL to that of SQLite."""
    if connection.dialect.name == "postgresql":
        # Only for this transaction: a pooler may give the connection to others.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")


def format_database_url(url: sa.URL) -> str:
    """Return the location of a database for display, without password and options."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def database_file_exists(url: sa.URL) -> bool:
    """Return whether an SQLite file exists; always true for a server."""
    file = _sqlite_file(url)
    return file is None or file.exists()


def create_database_file(url: sa.URL) -> None:
    """Create an SQLite file and its folder, for this user only.

    Raises:
        StoreError: the file or folder cannot be created.
    """
    file = _sqlite_file(url)
    if file is None:
        return
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Other users of this machine must not read the events.
        file.touch(mode=0o600)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(f"{file} cannot be created: {reason}") from None


@contextmanager
def translate_database_errors(url: sa.URL) -> Iterator[None]:
    """Turn database errors into `StoreError` with one line and without a password."""
    try:
        yield
    except SQLAlchemyError as error:
        # A plain StatementError is raised for a value, before the database is used.
        rejected = (
            isinstance(error, DataError | IntegrityError)
            or type(error) is StatementError
        )
        raise StoreError(
            _format_database_error(url, error), rejected=rejected
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Set pragmas of the connection: fast writes, and overwrite deleted content."""
    cursor = connection.cursor()
    try:
        for pragma in ("synchronous=NORMAL", "secure_delete=ON"):
            cursor.execute(f"PRAGMA {pragma}")
    finally:
        cursor.close()


def _connect_read_only(
    _dialect: object, _record: object, connect_args: Any, _options: object
) -> None:
    """Open an SQLite file read-only.

    While another program writes, there is a WAL file, and the database can change.
    Without one, `immutable=1` keeps SQLite from creating files next to the database.
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
        return (
            f"the events database {format_database_url(url)} is locked by another "
            "program"
        )
    first_line = next(iter(text.strip().splitlines()), type(error).__name__)
    if url.password:
        first_line = first_line.replace(str(url.password), "***")
    return (
        f"the events database {format_database_url(url)} cannot be used: {first_line}"
    )


def _sqlite_file(url: sa.URL) -> Path | None:
    is_file = url.get_backend_name() == "sqlite"
    return Path(str(url.database)) if is_file else None


@dataclass(frozen=True)
class EventFilter:
    """Filter of events; an empty tuple selects all.

    Attributes:
        since_ms: first time, in milliseconds since 1970; None for no limit.
        before_ms: end of the time range, exclusive; None for no limit.
        kinds: names in `EVENT_KINDS`.
        labels: keys of `Label`.
        cameras: names of cameras.
    """

    since_ms: int | None = None
    before_ms: int | None = None
    kinds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()


def to_event_row(event: Event) -> dict[str, str | int | float | None]:
    """Return an event as a row of `EVENTS_TABLE`."""
    values = event.to_record()
    del values["at"]
    values["kind"] = _STORED_KINDS.get(event.kind, event.kind)
    return {"at_ms": event.at_ms, **values}


def kind_from_stored(stored_kind: str) -> str:
    """Return the event kind of a value of the column `kind`."""
    return _KINDS_BY_STORED.get(stored_kind, stored_kind)


def build_conditions(event_filter: EventFilter) -> list[sa.ColumnElement[bool]]:
    """Return the SQL conditions of a filter."""
    conditions: list[sa.ColumnElement[bool]] = []
    if event_filter.since_ms is not None:
        conditions.append(EVENTS_TABLE.c.at_ms >= event_filter.since_ms)
    if event_filter.before_ms is not None:
        conditions.append(EVENTS_TABLE.c.at_ms < event_filter.before_ms)
    stored_kinds = tuple(_STORED_KINDS.get(kind, kind) for kind in event_filter.kinds)
    allowed_values: Sequence[tuple[sa.Column[Any], tuple[str, ...]]] = (
        (EVENTS_TABLE.c.kind, stored_kinds),
        (EVENTS_TABLE.c.label, event_filter.labels),
        (EVENTS_TABLE.c.camera, event_filter.cameras),
    )
    conditions += [column.in_(names) for column, names in allowed_values if names]
    return conditions


def select_events(event_filter: EventFilter) -> sa.Select[Any]:
    """Select events, in any order."""
    return sa.select(EVENTS_TABLE).where(*build_conditions(event_filter))


def select_kind_counts(event_filter: EventFilter) -> sa.Select[Any]:
    """Select each stored kind and its number of events."""
    count = sa.func.count().label("n")
    kind = EVENTS_TABLE.c.kind
    return sa.select(kind, count).where(*build_conditions(event_filter)).group_by(kind)


def select_cameras() -> sa.Select[Any]:
    """Select the names of all cameras, in alphabetical order."""
    return sa.select(EVENTS_TABLE.c.camera).distinct().order_by(EVENTS_TABLE.c.camera)


def select_time_range(event_filter: EventFilter) -> sa.Select[Any]:
    """Select the times of the first and the last event; null if there is none."""
    at_ms = EVENTS_TABLE.c.at_ms
    first, last = sa.func.min(at_ms).label("first"), sa.func.max(at_ms).label("last")
    return sa.select(first, last).where(*build_conditions(event_filter))


def select_people_over_time(
    event_filter: EventFilter, interval_ms: int, offset_ms: int
) -> sa.Select[Any]:
    """Select interval, label and number of people; each counts once per interval.

    The last label of the interval counts; people without a label are not counted. An
    interval is its number since 1970 in the time zone of `offset_ms`.

    Args:
        event_filter: events to use.
        interval_ms: length of an interval, in milliseconds.
        offset_ms: offset of local time from UTC, in milliseconds.
    """
    interval = (EVENTS_TABLE.c.at_ms + offset_ms) // interval_ms
    return select_people(event_filter, interval.label("interval"))


def select_people(
    event_filter: EventFilter, *group_columns: sa.Label[Any]
) -> sa.Select[Any]:
    """Select label and number of people in each group; the last label counts."""
    has_label = EVENTS_TABLE.c.label != Label.UNKNOWN.key
    has_person = EVENTS_TABLE.c.person.is_not(None)
    rank = sa.func.row_number().over(
        partition_by=(*group_columns, EVENTS_TABLE.c.session, EVENTS_TABLE.c.person),
        order_by=(EVENTS_TABLE.c.at_ms.desc(), EVENTS_TABLE.c.id.desc()),
    )
    last = (
        sa.select(*group_columns, EVENTS_TABLE.c.label, rank.label("place"))
        .where(*build_conditions(event_filter), has_label, has_person)
        .subquery()
    )
    columns = [last.c[column.name] for column in group_columns]
    count = sa.func.count().label("n")
    return (
        sa.select(*columns, last.c.label, count)
        .where(last.c.place == 1)
        .group_by(*columns, last.c.label)
        .order_by(*columns, last.c.label)
    )


def select_unique_people(event_filter: EventFilter) -> sa.Select[Any]:
    """Select the number of people, with or without a label."""
    has_person = EVENTS_TABLE.c.person.is_not(None)
    distinct_people = (
        sa.select(EVENTS_TABLE.c.session, EVENTS_TABLE.c.person)
        .where(*build_conditions(event_filter), has_person)
        .distinct()
        .subquery()
    )
    return sa.select(sa.func.count()).select_from(distinct_people)


def delete_events(event_filter: EventFilter) -> sa.Delete:
    """Return the statement that deletes events."""
    return sa.delete(EVENTS_TABLE).where(*build_conditions(event_filter))
