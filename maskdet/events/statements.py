"""The tables of events, and every statement on them: SQL that any database takes.

Times are whole milliseconds since 1970 in UTC: they sort, subtract and group the same
way in SQLite and in PostgreSQL. What does not apply to an event is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from maskdet.events.event import Event
from maskdet.types import Label

SCHEMA_VERSION: Final = 1
HOUR_MS: Final = 3_600_000

_TABLES = sa.MetaData()

ABOUT: Final = sa.Table(
    "maskdet_about",
    _TABLES,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
"""What the file says of itself: its `schema_version`."""

EVENTS: Final = sa.Table(
    "maskdet_events",
    _TABLES,
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


def tables() -> sa.MetaData:
    """Return all tables, to create them."""
    return _TABLES


def row(event: Event) -> dict[str, str | int | float | None]:
    """Return an event as a row of `EVENTS`."""
    values = event.record()
    del values["at"]
    return {"at_ms": event.at_ms, **values}


def chosen(wanted: EventFilter) -> list[sa.ColumnElement[bool]]:
    """Return the conditions that the wanted events fulfil."""
    found: list[sa.ColumnElement[bool]] = []
    if wanted.since_ms is not None:
        found.append(EVENTS.c.at_ms >= wanted.since_ms)
    if wanted.before_ms is not None:
        found.append(EVENTS.c.at_ms < wanted.before_ms)
    lists: Sequence[tuple[sa.Column[Any], tuple[str, ...]]] = (
        (EVENTS.c.kind, wanted.kinds),
        (EVENTS.c.label, wanted.labels),
        (EVENTS.c.camera, wanted.cameras),
    )
    found += [column.in_(names) for column, names in lists if names]
    return found


def newest(wanted: EventFilter, limit: int | None = None) -> sa.Select[Any]:
    """Return the events, newest first, at most `limit` of them."""
    order = (EVENTS.c.at_ms.desc(), EVENTS.c.id.desc())
    return sa.select(EVENTS).where(*chosen(wanted)).order_by(*order).limit(limit)


def oldest(wanted: EventFilter) -> sa.Select[Any]:
    """Return the events, oldest first, as a file has them."""
    return (
        sa.select(EVENTS).where(*chosen(wanted)).order_by(EVENTS.c.at_ms, EVENTS.c.id)
    )


def counted(wanted: EventFilter) -> sa.Select[Any]:
    """Return kind and number of events of each kind."""
    number = sa.func.count().label("n")
    kind = EVENTS.c.kind
    return sa.select(kind, number).where(*chosen(wanted)).group_by(kind)


def cameras() -> sa.Select[Any]:
    """Return the names of all cameras, in order."""
    return sa.select(EVENTS.c.camera).distinct().order_by(EVENTS.c.camera)


def hourly(wanted: EventFilter, offset_ms: int = 0) -> sa.Select[Any]:
    """Return hour, label and number of people: each counts once an hour.

    Who has several labels within an hour has the last one; who has none yet is not
    counted. An hour is the number of whole hours since 1970 in the zone of `offset_ms`.

    Args:
        wanted: which events are looked at.
        offset_ms: what local time is ahead of UTC, in milliseconds.
    """
    hour = ((EVENTS.c.at_ms + offset_ms) // HOUR_MS).label("hour")
    return _people(wanted, hour)


def people(wanted: EventFilter) -> sa.Select[Any]:
    """Return label and number of people: each counts once, with the last label."""
    return _people(wanted)


def _people(wanted: EventFilter, *parts: sa.Label[Any]) -> sa.Select[Any]:
    """Return the number of people by label in each of the parts of time."""
    surely = EVENTS.c.label != Label.UNKNOWN.key
    someone = EVENTS.c.person.is_not(None)
    place = sa.func.row_number().over(
        partition_by=(*parts, EVENTS.c.session, EVENTS.c.person),
        order_by=(EVENTS.c.at_ms.desc(), EVENTS.c.id.desc()),
    )
    last = (
        sa.select(*parts, EVENTS.c.label, place.label("place"))
        .where(*chosen(wanted), surely, someone)
        .subquery()
    )
    columns = [last.c[part.name] for part in parts]
    number = sa.func.count().label("n")
    return (
        sa.select(*columns, last.c.label, number)
        .where(last.c.place == 1)
        .group_by(*columns, last.c.label)
        .order_by(*columns, last.c.label)
    )


def unique_people(wanted: EventFilter) -> sa.Select[Any]:
    """Return how many people there were, with a label or without."""
    someone = EVENTS.c.person.is_not(None)
    each = (
        sa.select(EVENTS.c.session, EVENTS.c.person)
        .where(*chosen(wanted), someone)
        .distinct()
        .subquery()
    )
    return sa.select(sa.func.count()).select_from(each)


def insert() -> sa.Insert:
    """Return the statement that adds rows as `row` makes them."""
    return sa.insert(EVENTS)


def delete(before_ms: int | None = None) -> sa.Delete:
    """Return the statement that deletes events older than a time, or all."""
    gone = sa.delete(EVENTS)
    return gone if before_ms is None else gone.where(EVENTS.c.at_ms < before_ms)
