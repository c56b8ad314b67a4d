"""`EventStore`: the events database, an SQLite file or any SQLAlchemy URL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from maskdet.events import database
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.event import Event, parse_label
from maskdet.types import UNTRACKED, Label

_CSV_ROWS = 1000  # rows in memory at a time during an export


class EventStore:
    """Recorded events; thread-safe.

    Every method raises `StoreError` if the database cannot be used. The message is one
    line and never contains the password of the URL.
    """

    def __init__(self, url: str) -> None:
        """Set the database; it is opened on first use.

        Args:
            url: an SQLAlchemy URL.

        Raises:
            StoreError: the URL is invalid, or its driver is not installed.
        """
        self._url = database.parse_database_url(url)
        self._engine = database.create_engine(self._url)
        self._read_only_engine = database.create_read_only_engine(
            self._url, self._engine
        )
        self._is_ready = self._tables_created = False

    @property
    def location(self) -> str:
        """Location of the events, a file or a URL without password."""
        return database.format_database_url(self._url)

    def close(self) -> None:
        """Close all connections; the next use opens them again."""
        self._engine.dispose()

    def exists(self) -> bool:
        """Return whether the events table exists; creates nothing."""
        if not database.database_file_exists(self._url):
            # Open connections would write to the deleted file.
            if self._is_ready:
                self.close()
            self._is_ready = self._tables_created = False
            return False
        if self._is_ready:
            return True
        with self._open_transaction(self._read_only_engine) as connection:
            has_tables = sa.inspect(connection).has_table(database.EVENTS_TABLE.name)
            if has_tables:
                self._check_version(connection)
        self._is_ready = has_tables
        return has_tables

    def is_foreign(self) -> bool:
        """Return whether the database has other tables only; creates nothing."""
        if self.exists() or not database.database_file_exists(self._url):
            return False
        with self._open_transaction(self._read_only_engine) as connection:
            return bool(sa.inspect(connection).get_table_names())

    def create(self) -> None:
        """Create folder, file and tables if they are missing."""
        if self.exists() and self._tables_created:
            return
        database.create_database_file(self._url)
        try:
            self._create_tables()
        except StoreError:
            # Another program may have created them in the meantime.
            if not self.exists():
                raise
        self._is_ready = self._tables_created = True

    def _create_tables(self) -> None:
        with self._open_transaction() as connection:
            database.enable_concurrent_reads(connection)
            database.METADATA.create_all(connection)
            if self._read_schema_version(connection) is None:
                value = str(database.SCHEMA_VERSION)
                row = {"name": "schema_version", "value": value}
                connection.execute(sa.insert(database.INFO_TABLE), row)

    def add(self, events: Sequence[Event]) -> None:
        """Add events in one transaction."""
        if not events:
            return
        self.create()
        with self._open_transaction() as connection:
            rows = [database.to_event_row(event) for event in events]
            connection.execute(sa.insert(database.EVENTS_TABLE), rows)

    def read(self, event_filter: EventFilter, limit: int | None = None) -> list[Event]:
        """Return events, newest first, at most `limit` of them."""
        columns = database.EVENTS_TABLE.c
        query = database.select_events(event_filter).limit(limit)
        query = query.order_by(columns.at_ms.desc(), columns.id.desc())
        return [_event_from_row(row) for row in self._fetch_rows(query)]

    def count_by_kind(self, event_filter: EventFilter) -> Counter[str]:
        """Return the number of events by kind."""
        rows = self._fetch_rows(database.select_kind_counts(event_filter))
        return Counter({database.kind_from_stored(row.kind): row.n for row in rows})

    def count_people(self, event_filter: EventFilter) -> Counter[Label]:
        """Return the number of people by last label, without those who have none."""
        rows = self._fetch_rows(database.select_people(event_filter))
        return Counter({parse_label(row.label): row.n for row in rows})

    def count_unique_people(self, event_filter: EventFilter) -> int:
        """Return the number of people, with or without a label."""
        rows = self._fetch_rows(database.select_unique_people(event_filter))
        return int(rows[0][0]) if rows else 0

    def get_time_range_ms(self, event_filter: EventFilter) -> tuple[int, int] | None:
        """Return the times of the first and the last event, or None without events."""
        rows = self._fetch_rows(database.select_time_range(event_filter))
        if not rows or rows[0].first is None:
            return None
        return int(rows[0].first), int(rows[0].last)

    def count_people_over_time(
        self, event_filter: EventFilter, interval_ms: int, offset_ms: int = 0
    ) -> dict[int, Counter[Label]]:
        """Return the number of people by label for each interval with events.

        Args:
            event_filter: events to use.
            interval_ms: length of an interval, in milliseconds.
            offset_ms: offset of local time from UTC, in milliseconds.

        Returns:
            Counts by start of the interval, in milliseconds since 1970 in UTC.
        """
        counts: dict[int, Counter[Label]] = {}
        query = database.select_people_over_time(event_filter, interval_ms, offset_ms)
        for row in self._fetch_rows(query):
            start_ms = int(row.interval) * interval_ms - offset_ms
            counts.setdefault(start_ms, Counter())[parse_label(row.label)] = row.n
        return counts

    def list_cameras(self) -> list[str]:
        """Return the names of all cameras, in alphabetical order."""
        return [row.camera for row in self._fetch_rows(database.select_cameras())]

    def iterate(self, event_filter: EventFilter) -> Iterator[Event]:
        """Yield events, oldest first, without holding all of them in memory."""
        if not self.exists():
            return
        columns = database.EVENTS_TABLE.c
        query = database.select_events(event_filter)
        query = query.order_by(columns.at_ms, columns.id)
        with self._open_transaction(self._engine_for_reading()) as connection:
            options = {"yield_per": _CSV_ROWS}
            for row in connection.execute(query, execution_options=options):
                yield _event_from_row(row)

    def delete(self, before: datetime | None = None) -> int:
        """Delete events before a time, or all, and return their number."""
        if not self.exists():
            return 0
        before_ms = None if before is None else round(before.timestamp() * 1e3)
        statement = database.delete_events(EventFilter(before_ms=before_ms))
        with self._open_transaction() as connection:
            return int(connection.execute(statement).rowcount)

    def _fetch_rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        if not self.exists():
            return ()
        with self._open_transaction(self._engine_for_reading()) as connection:
            return connection.execute(query).all()

    def _engine_for_reading(self) -> sa.Engine:
        return self._engine if database.can_write(self._url) else self._read_only_engine

    @contextmanager
    def _open_transaction(
        self, engine: sa.Engine | None = None
    ) -> Iterator[sa.Connection]:
        """Open a transaction and translate errors into `StoreError`."""
        engine = self._engine if engine is None else engine
        try:
            with (
                database.translate_database_errors(self._url),
                engine.begin() as connection,
            ):
                database.set_lock_timeout(connection)
                yield connection
        except StoreError:
            # The database may have been replaced.
            self._is_ready = self._tables_created = False
            raise

    def _check_version(self, connection: sa.Connection) -> None:
        version = self._read_schema_version(connection)
        if version != str(database.SCHEMA_VERSION):
            raise StoreError(
                f"{self.location} was written by another version of maskdet: schema "
                f"version {version}, supported is {database.SCHEMA_VERSION}"
            )

    @staticmethod
    def _read_schema_version(connection: sa.Connection) -> str | None:
        info_table = database.INFO_TABLE
        query = sa.select(info_table.c.value).where(
            info_table.c.name == "schema_version"
        )
        value = connection.execute(query).scalar()
        return None if value is None else str(value)


def _event_from_row(row: sa.Row[Any]) -> Event:
    values = row._mapping
    plain_values = {name: values[name] for name in ("camera", "session", "confidence")}
    return Event(
        database.kind_from_stored(values["kind"]),
        **plain_values,
        at=datetime.fromtimestamp(values["at_ms"] / 1e3, UTC),
        person=UNTRACKED if values["person"] is None else values["person"],
        label=parse_label(values["label"]),
        before=None if values["before"] is None else parse_label(values["before"]),
        other=UNTRACKED if values["other"] is None else values["other"],
        distance=values["distance"] or 0.0,
        unit=values["unit"] or "",
        for_s=values["for_s"],
        rule=values["rule"] or "",
        count=values["count"] or 0,
    )
