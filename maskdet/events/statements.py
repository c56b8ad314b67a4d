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
