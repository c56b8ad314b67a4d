"""The way to a database, and one clear line for all that can go wrong on it.

The tables of events, and every statement on them: SQL that any database takes.

Times are whole milliseconds since 1970 in UTC: they sort, subtract and group the same
way in SQLite and in PostgreSQL. What does not apply to an event is null.
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


SCHEMA_VERSION: Final = 1
HOUR_MS: Final = 3_600_000

_METADATA = sa.MetaData()

INFO_TABLE: Final = sa.Table(
    "maskdet_about",
    _METADATA,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
"""What the file says of itself: its `schema_version`."""

EVENTS_TABLE: Final = sa.Table(
    "maskdet_events",
    _METADATA,
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
    # The name that databases of version 0.1 have.
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
"""One row an event; the columns are those of `Event.record`, but for the time."""


@dataclass(frozen=True)
class EventFilter:
    """Which events are wanted; an empty tuple wants all.

    Attributes:
        since_ms: not older, in milliseconds since 1970; or no limit.
        before_ms: older than that; or no limit.
        kinds: names in `KINDS`.
        labels: keys of `Label`.
        cameras: names of cameras.
    """

    since_ms: int | None = None
    before_ms: int | None = None
    kinds: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()


def get_metadata() -> sa.MetaData:
    """Return all tables, to create them."""
    return _METADATA


def to_event_row(event: Event) -> dict[str, str | int | float | None]:
    """Return an event as a row of `EVENTS_TABLE`."""
    values = event.to_record()
    del values["at"]
    return {"at_ms": event.at_ms, **values}


def build_conditions(event_filter: EventFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that the wanted events fulfil."""
    conditions: list[sa.ColumnElement[bool]] = []
    if event_filter.since_ms is not None:
        conditions.append(EVENTS_TABLE.c.at_ms >= event_filter.since_ms)
    if event_filter.before_ms is not None:
        conditions.append(EVENTS_TABLE.c.at_ms < event_filter.before_ms)
    allowed_values: Sequence[tuple[sa.Column[Any], tuple[str, ...]]] = (
        (EVENTS_TABLE.c.kind, event_filter.kinds),
        (EVENTS_TABLE.c.label, event_filter.labels),
        (EVENTS_TABLE.c.camera, event_filter.cameras),
    )
    conditions += [column.in_(names) for column, names in allowed_values if names]
    return conditions


def select_newest_events(
    event_filter: EventFilter, limit: int | None = None
) -> sa.Select[Any]:
    """Return the events, newest first, at most `limit` of them."""
    order = (EVENTS_TABLE.c.at_ms.desc(), EVENTS_TABLE.c.id.desc())
    return (
        sa.select(EVENTS_TABLE)
        .where(*build_conditions(event_filter))
        .order_by(*order)
        .limit(limit)
    )


def select_oldest_events(event_filter: EventFilter) -> sa.Select[Any]:
    """Return the events, oldest first, as a file has them."""
    return (
        sa.select(EVENTS_TABLE)
        .where(*build_conditions(event_filter))
        .order_by(EVENTS_TABLE.c.at_ms, EVENTS_TABLE.c.id)
    )


def select_kind_counts(event_filter: EventFilter) -> sa.Select[Any]:
    """Return kind and number of events of each kind."""
    count = sa.func.count().label("n")
    kind = EVENTS_TABLE.c.kind
    return sa.select(kind, count).where(*build_conditions(event_filter)).group_by(kind)


def select_cameras() -> sa.Select[Any]:
    """Return the names of all cameras, in order."""
    return sa.select(EVENTS_TABLE.c.camera).distinct().order_by(EVENTS_TABLE.c.camera)


def select_hourly_people(
    event_filter: EventFilter, offset_ms: int = 0
) -> sa.Select[Any]:
    """Return hour, label and number of people: each counts once an hour.

    Who has several labels within an hour has the last one; who has none yet is not
    counted. An hour is the number of whole hours since 1970 in the zone of `offset_ms`.

    Args:
        event_filter: which events are looked at.
        offset_ms: what local time is ahead of UTC, in milliseconds.
    """
    hour = ((EVENTS_TABLE.c.at_ms + offset_ms) // HOUR_MS).label("hour")
    return _select_people_by(event_filter, hour)


def select_people(event_filter: EventFilter) -> sa.Select[Any]:
    """Return label and number of people: each counts once, with the last label."""
    return _select_people_by(event_filter)


def _select_people_by(
    event_filter: EventFilter, *group_columns: sa.Label[Any]
) -> sa.Select[Any]:
    """Return the number of people by label in each of the parts of time."""
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
    """Return how many people there were, with a label or without."""
    has_person = EVENTS_TABLE.c.person.is_not(None)
    distinct_people = (
        sa.select(EVENTS_TABLE.c.session, EVENTS_TABLE.c.person)
        .where(*build_conditions(event_filter), has_person)
        .distinct()
        .subquery()
    )
    return sa.select(sa.func.count()).select_from(distinct_people)


def insert_events() -> sa.Insert:
    """Return the statement that adds rows as `to_event_row` makes them."""
    return sa.insert(EVENTS_TABLE)


def delete_events(before_ms: int | None = None) -> sa.Delete:
    """Return the statement that deletes events older than a time, or all."""
    statement = sa.delete(EVENTS_TABLE)
    return (
        statement
        if before_ms is None
        else statement.where(EVENTS_TABLE.c.at_ms < before_ms)
    )
