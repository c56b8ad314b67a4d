"""What `maskdet events` says of many events: a line each, and sums by the hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from maskdet.cli.console import columns, padded
from maskdet.events.event import KINDS, Event, sentence
from maskdet.style import DEFAULT_STYLE, Style, mid_sentence, percent
from maskdet.types import CLASSES, Label
from maskdet.wording import counted

if TYPE_CHECKING:
    from maskdet.events.statements import EventFilter
    from maskdet.events.store import EventStore

_KIND_WIDTH: Final = max(map(len, KINDS.values()))


def event_line(
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
    head = f"{when}  {event.session[:4]:4}  {KINDS[event.kind]:{_KIND_WIDTH}}"
    sure = ""
    if event.label is not Label.UNKNOWN:
        sure = f" ({percent(event.confidence)})"
    return f"{head}  {event.camera}: {sentence(replace(event, camera=''), style)}{sure}"


def summary_lines(
    store: EventStore,
    wanted: EventFilter,
    zone: tzinfo | None = None,
    *,
    style: Style = DEFAULT_STYLE,
) -> list[str]:
    """Return how many people there were, what they wore, and that by the hour.

    Args:
        store: where events are.
        wanted: those that count.
        zone: whose hours are counted; by default that of this computer.
        style: names of the classes.

    Raises:
        StoreError: the database cannot be used.
    """
    counts = store.counts(wanted)
    n_people = store.unique_people(wanted)
    events = counted(counts.total(), "event", "events")
    alerts = counted(counts["alert"], "alert", "alerts")
    people = store.people(wanted)
    lines = [
        f"{counted(n_people, 'person', 'people')}: {_worn(people, style)}",
        f"{events}, of these {counts['close']:,} too close and {alerts}",
    ]
    ahead = datetime.now().astimezone(zone).utcoffset() or timedelta()
    hours = store.hourly(wanted, round(ahead.total_seconds() * 1e3))
    if hours:
        titles = [mid_sentence(style.title(label)) for label in CLASSES]
        lines += ["", f"{'hour':16}  people  masked  {'  '.join(titles)}"]
        lines += [
            _hour_line(start_ms, hours[start_ms], titles, zone) for start_ms in hours
        ]
    return lines


def _worn(people: Counter[Label], style: Style) -> str:
    """Return who wore what, of those of whom it is known."""
    known = people.total()
    if not known:
        return "of nobody it is known what they wore"
    parts = [
        f"{people[label]:,} {style.title(label)}" for label in CLASSES if people[label]
    ]
    return f"{', '.join(parts)}; {_share(people)} masked"


def _share(people: Counter[Label]) -> str:
    return percent(people[Label.MASK] / people.total())


def _hour_line(
    start_ms: int, people: Counter[Label], titles: Sequence[str], zone: tzinfo | None
) -> str:
    start = datetime.fromtimestamp(start_ms / 1e3).astimezone(zone)
    numbers = "  ".join(
        padded(f"{people[label]:,}", columns(title), right=True)
        for label, title in zip(CLASSES, titles, strict=True)
    )
    return (
        f"{start:%Y-%m-%d %H:%M}  {people.total():6,}  {_share(people):>6}  {numbers}"
    )
