"""What the Events page shows of recorded events: numbers, a chart, a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import Any, Final

import altair as alt

from maskdet.events.event import KINDS, Event, sentence
from maskdet.events.statements import HOUR_MS, EventFilter
from maskdet.events.store import EventStore
from maskdet.style import DEFAULT_STYLE, Style, line_style, percent, percent_number
from maskdet.types import CLASSES, UNTRACKED, Label
from maskdet.web.cards import tile_html, tiles_html

PERIODS: Final[Mapping[str, tuple[str, float | None]]] = {
    "hour": ("Last hour", 1.0),
    "day": ("24 hours", 24.0),
    "week": ("7 days", 168.0),
    "all": ("All", None),
}
"""Title of a period, and how many hours it goes back."""

MOST_ROWS: Final = 500
"""Events in the table; the CSV file has all."""


@dataclass(frozen=True)
class Found:
    """What the database has of the events that are wanted.

    Attributes:
        events: the newest of them.
        counts: how many there are of each kind.
        people: how many people there were by their last label.
        n_people: how many people there were, with a label or without.
        hours: number of people by label, by the start of the hour in milliseconds.
    """

    events: Sequence[Event]
    counts: Counter[str]
    people: Counter[Label]
    n_people: int
    hours: Mapping[int, Counter[Label]]

    @property
    def n_events(self) -> int:
        """How many events there are."""
        return sum(self.counts.values())


def found(store: EventStore, wanted: EventFilter, zone: tzinfo) -> Found:
    """Return what the database has of the wanted events.

    Raises:
        StoreError: the database cannot be used.
    """
    ahead = datetime.now(zone).utcoffset() or timedelta()
    return Found(
        store.read(wanted, MOST_ROWS),
        store.counts(wanted),
        store.people(wanted),
        store.unique_people(wanted),
        store.hourly(wanted, round(ahead.total_seconds() * 1e3)),
    )


def numbers_html(result: Found, style: Style) -> str:
    """Return the totals as tiles, as HTML."""
    tiles = [tile_html("People", result.n_people)]
    for label in CLASSES:
        edge = f"{line_style(label)} {style.colour_css(label)}"
        name = escape(style.title(label))
        tiles.append(tile_html(name, result.people[label], edge=edge))
    known = sum(result.people.values())
    share = escape(percent(result.people[Label.MASK] / known)) if known else "&ndash;"
    tiles.append(tile_html("Masked, of those", share))
    tiles.append(tile_html("Too close", result.counts["close"]))
    tiles.append(tile_html("Alerts", result.counts["alert"]))
    return tiles_html(tiles)


def hourly_chart(result: Found, style: Style) -> dict[str, Any]:
    """Return what share of the people wore a mask, by hour, as a Vega-Lite chart."""
    bars = (
        alt.Chart(alt.InlineData(values=_bars(result.hours, style)))
        .mark_bar(stroke="white", strokeOpacity=0.25, strokeWidth=0.5)
        .encode(
            x=alt.X(
                "start:T", title=None, axis=alt.Axis(grid=False, labelOverlap=True)
            ),
            x2="end:T",
            y=alt.Y(
                "low:Q",
                title="Share of the people",
                axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1]),
                scale=alt.Scale(domain=[0, 1]),
            ),
            y2="high:Q",
            color=_colour(style),
            tooltip=[
                alt.Tooltip("start:T", title="Hour", format="%Y-%m-%d %H:%M"),
                alt.Tooltip("class:N", title="Label"),
                alt.Tooltip("share:Q", title="Share", format=".0%"),
                alt.Tooltip("people:Q", title="People"),
                alt.Tooltip("all:Q", title="Of"),
            ],
        )
    )
    spec: dict[str, Any] = bars.to_dict()
    spec["height"] = 300
    spec["config"] = {"legend": {"orient": "bottom", "columns": 3}}
    return spec


def _colour(style: Style) -> alt.Color:
    """Return the encoding that colours bars by label, as everywhere else."""
    scale = alt.Scale(
        domain=[style.title(label) for label in CLASSES],
        range=[style.colour_css(label) for label in CLASSES],
    )
    return alt.Color("class:N", title=None, scale=scale)


def _bars(
    hours: Mapping[int, Counter[Label]], style: Style
) -> list[dict[str, int | float | str]]:
    """Return the parts of each hour's bar, masked people at the bottom."""
    rows: list[dict[str, int | float | str]] = []
    for start_ms, people in hours.items():
        n_all, below = sum(people.values()), 0
        for label in CLASSES:
            n = people[label]
            if n:
                rows.append(
                    {
                        "start": start_ms,
                        "end": start_ms + HOUR_MS,
                        "class": style.title(label),
                        "low": below / n_all,
                        "high": (below + n) / n_all,
                        "share": n / n_all,
                        "people": n,
                        "all": n_all,
                    }
                )
            below += n
    return rows


def table(
    events: Sequence[Event], zone: tzinfo, style: Style = DEFAULT_STYLE
) -> list[dict[str, Any]]:
    """Return events as people read them, in the visitor's own time."""
    return [
        {
            "Time": event.at.astimezone(zone).replace(tzinfo=None),
            "What happened": sentence(event, style),
            "Event": KINDS[event.kind],
            "Label": style.title(event.label),
            "Confidence": percent_number(event.confidence)
            if event.confidence
            else None,
            "Person": None if event.person == UNTRACKED else event.person,
            "Camera": event.camera,
            "Stream": event.session[:4],
        }
        for event in events
    ]
