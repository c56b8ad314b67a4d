"""What `maskdet events` says of many events: a line each, and sums by the hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from maskdet.cli.console import display_width, pad_text
from maskdet.events.event import EVENT_KINDS, Event, describe_event
from maskdet.style import DEFAULT_STYLE, Style, format_percent, uncapitalize
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.events.statements import EventFilter
    from maskdet.events.store import EventStore

_KIND_WIDTH: Final = max(map(len, EVENT_KINDS.values()))


def format_event_line(
    event: Event, zone: tzinfo | None = None, *, style: Style = DEFAULT_STYLE
) -> str:
    """Return an event in one line.

    Args:
        event: what happened.
        zone: in which its time is told; by default that of this computer.
        style: names of the classes.
    """
    when = event.at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    # Person numbers start anew in each run of a stream.
    prefix = f"{when}  {event.session[:4]:4}  {EVENT_KINDS[event.kind]:{_KIND_WIDTH}}"
    confidence_text = ""
    if event.label is not Label.UNKNOWN:
        confidence_text = f" ({format_percent(event.confidence)})"
    return f"{prefix}  {event.camera}: {describe_event(replace(event, camera=''), style)}{confidence_text}"


def summarize_events(
    store: EventStore,
    event_filter: EventFilter,
    zone: tzinfo | None = None,
    *,
    style: Style = DEFAULT_STYLE,
) -> list[str]:
    """Return how many people there were, what they wore, and that by the hour.

    Args:
        store: where events are.
        event_filter: those that count.
        zone: whose hours are counted; by default that of this computer.
        style: names of the classes.

    Raises:
        StoreError: the database cannot be used.
    """
    counts = store.count_by_kind(event_filter)
    n_people = store.count_unique_people(event_filter)
    events = format_count(counts.total(), "event", "events")
    alerts = format_count(counts["alert"], "alert", "alerts")
    people = store.count_people(event_filter)
    lines = [
        f"{format_count(n_people, 'person', 'people')}: "
        f"{_format_labels(people, style)}",
        f"{events}, of these {counts['close']:,} too close and {alerts}",
    ]
    utc_offset = datetime.now().astimezone(zone).utcoffset() or timedelta()
    hours = store.count_people_by_hour(
        event_filter, round(utc_offset.total_seconds() * 1e3)
    )
    if hours:
        titles = [uncapitalize(style.title(label)) for label in CLASSES]
        lines += ["", f"{'hour':16}  people  masked  {'  '.join(titles)}"]
        lines += [
            _format_hour(start_ms, hours[start_ms], titles, zone) for start_ms in hours
        ]
    return lines


def _format_labels(people: Counter[Label], style: Style) -> str:
    """Return who wore what, of those of whom it is known."""
    n_labelled = people.total()
    if not n_labelled:
        return "of nobody it is known what they wore"
    parts = [
        f"{people[label]:,} {style.title(label)}" for label in CLASSES if people[label]
    ]
    return f"{', '.join(parts)}; {_format_mask_rate(people)} masked"


def _format_mask_rate(people: Counter[Label]) -> str:
    return format_percent(people[Label.MASK] / people.total())


def _format_hour(
    start_ms: int, people: Counter[Label], titles: Sequence[str], zone: tzinfo | None
) -> str:
    start = datetime.fromtimestamp(start_ms / 1e3).astimezone(zone)
    counts_text = "  ".join(
        pad_text(f"{people[label]:,}", display_width(title), align_right=True)
        for label, title in zip(CLASSES, titles, strict=True)
    )
    return f"{start:%Y-%m-%d %H:%M}  {people.total():6,}  {_format_mask_rate(people):>6}  {counts_text}"
