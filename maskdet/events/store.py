"""The database of events: an SQLite file, or whatever an SQLAlchemy URL names."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from maskdet.events import connecting, statements
from maskdet.events.connecting import StoreError
from maskdet.events.event import COLUMNS, Event, label_of
from maskdet.events.statements import EventFilter
from maskdet.records import harmless
from maskdet.types import UNTRACKED, Label

__all__ = ["EventFilter", "EventStore", "StoreError"]

_CSV_ROWS = 1000  # so many rows of a large export are in memory at a time


class TextSink(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> object:
        """Take some text."""


class EventStore:
    """The events that were written down; safe to use from threads.

    Every method raises `StoreError` with one clear line if the database cannot be
    used, and no line ever holds the password of its address.
    """

    def __init__(self, url: str) -> None:
        """Name a database; nothing is opened, let alone made, before it is used.

        Args:
            url: an SQLAlchemy URL.

        Raises:
            StoreError: it is no such URL, or its driver is not installed.
        """
        self._url = connecting.parsed(url)
        self._engine = connecting.engine(self._url)
        self._looking = connecting.looking_engine(self._url, self._engine)
        self._ready = self._made = False

    @property
    def place(self) -> str:
        """Where the events are, without a password: a file, or an address."""
        return connecting.shown(self._url)

    def close(self) -> None:
        """Close every connection; the next use opens them again."""
        self._engine.dispose()

    def exists(self) -> bool:
        """Return whether anything was ever recorded there; makes nothing."""
        if not connecting.file_exists(self._url):
            # What still writes to a deleted file writes to nowhere.
            if self._ready:
                self.close()
            self._ready = self._made = False
            return False
        if self._ready:
            return True
        with self._connected(self._looking) as connection:
            found = sa.inspect(connection).has_table(statements.EVENTS.name)
            if found:
                self._check_version(connection)
        self._ready = found
        return found

    def is_foreign(self) -> bool:
        """Return whether there are tables, but none of ours; makes nothing."""
        if self.exists() or not connecting.file_exists(self._url):
            return False
        with self._connected(self._looking) as connection:
            return bool(sa.inspect(connection).get_table_names())

    def create(self) -> None:
        """Make folder, file and tables as far as they are missing."""
        if self.exists() and self._made:
            return
        connecting.make_folder(self._url)
        try:
            self._make_tables()
        except StoreError:
            # Another program may have made them between our look and our attempt.
            if not self.exists():
                raise
        self._ready = self._made = True

    def _make_tables(self) -> None:
        with self._connected() as connection:
            connecting.let_others_read(connection)
            statements.tables().create_all(connection)
            if self._version(connection) is None:
                value = str(statements.SCHEMA_VERSION)
                row = {"name": "schema_version", "value": value}
                connection.execute(sa.insert(statements.ABOUT), row)

    def add(self, events: Sequence[Event]) -> None:
        """Write events down, all or none."""
        if not events:
            return
        self.create()
        with self._connected() as connection:
            rows = [statements.row(event) for event in events]
            connection.execute(statements.insert(), rows)

    def read(self, wanted: EventFilter, limit: int | None = None) -> list[Event]:
        """Return events, newest first, at most `limit` of them."""
        return [_event(row) for row in self._rows(statements.newest(wanted, limit))]

    def counts(self, wanted: EventFilter) -> Counter[str]:
        """Return how many events there are of each kind."""
        rows = self._rows(statements.counted(wanted))
        return Counter({row.kind: row.n for row in rows})

    def people(self, wanted: EventFilter) -> Counter[Label]:
        """Return how many people there were by their last label, where they had one."""
        rows = self._rows(statements.people(wanted))
        return Counter({label_of(row.label): row.n for row in rows})

    def unique_people(self, wanted: EventFilter) -> int:
        """Return how many people there were, with a label or without."""
        rows = self._rows(statements.unique_people(wanted))
        return int(rows[0][0]) if rows else 0

    def hourly(
        self, wanted: EventFilter, offset_ms: int = 0
    ) -> dict[int, Counter[Label]]:
        """Return the number of people by label in every hour that has some.

        Args:
            wanted: which events are looked at.
            offset_ms: what local time is ahead of UTC, in milliseconds.

        Returns:
            By the start of the hour in milliseconds since 1970, in UTC.
        """
        found: dict[int, Counter[Label]] = {}
        for row in self._rows(statements.hourly(wanted, offset_ms)):
            start_ms = int(row.hour) * statements.HOUR_MS - offset_ms
            found.setdefault(start_ms, Counter())[label_of(row.label)] = row.n
        return found

    def cameras(self) -> list[str]:
        """Return the names of all cameras, in order."""
        return [row.camera for row in self._rows(statements.cameras())]

    def write_csv(self, wanted: EventFilter, file: TextSink) -> int:
        """Write events as CSV, oldest first; return how many.

        They pass through memory a thousand at a time, however many there are.
        """
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        n_rows = 0
        for row in self._streamed(statements.oldest(wanted)):
            values = _event(row).record().values()
            writer.writerow(
                harmless(value) if isinstance(value, str) else value for value in values
            )
            n_rows += 1
        return n_rows

    def delete(self, before: datetime | None = None) -> int:
        """Delete events older than a time, or all of them; return how many."""
        if not self.exists():
            return 0
        before_ms = None if before is None else round(before.timestamp() * 1e3)
        with self._connected() as connection:
            return int(connection.execute(statements.delete(before_ms)).rowcount)

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        if not self.exists():
            return ()
        with self._connected(self._reading()) as connection:
            return connection.execute(query).all()

    def _streamed(self, query: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
        if not self.exists():
            return
        with self._connected(self._reading()) as connection:
            options = {"yield_per": _CSV_ROWS}
            yield from connection.execute(query, execution_options=options)

    def _reading(self) -> sa.Engine:
        return self._engine if connecting.may_write(self._url) else self._looking

    @contextmanager
    def _connected(self, engine: sa.Engine | None = None) -> Iterator[sa.Connection]:
        """Give a connection in a transaction; tell in one line what goes wrong."""
        engine = self._engine if engine is None else engine
        try:
            with connecting.told(self._url), engine.begin() as connection:
                connecting.be_impatient(connection)
                yield connection
        except StoreError:
            # Somebody may have put another database there.
            self._ready = self._made = False
            raise

    def _check_version(self, connection: sa.Connection) -> None:
        version = self._version(connection)
        if version != str(statements.SCHEMA_VERSION):
            raise StoreError(
                f"{self.place} was written by another version of maskdet: its schema "
                f"is {version}, known is {statements.SCHEMA_VERSION}"
            )

    @staticmethod
    def _version(connection: sa.Connection) -> str | None:
        about = statements.ABOUT
        wanted = sa.select(about.c.value).where(about.c.name == "schema_version")
        found = connection.execute(wanted).scalar()
        return None if found is None else str(found)


def _event(row: sa.Row[Any]) -> Event:
    values = row._mapping
    known = {name: values[name] for name in ("kind", "camera", "session", "confidence")}
    return Event(
        **known,
        at=datetime.fromtimestamp(values["at_ms"] / 1e3, UTC),
        person=UNTRACKED if values["person"] is None else values["person"],
        label=label_of(values["label"]),
        before=None if values["before"] is None else label_of(values["before"]),
        other=UNTRACKED if values["other"] is None else values["other"],
        distance=values["distance"] or 0.0,
        unit=values["unit"] or "",
        for_s=values["for_s"],
        rule=values["rule"] or "",
        count=values["count"] or 0,
    )
