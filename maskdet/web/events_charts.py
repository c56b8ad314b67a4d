"""What the Events page shows of recorded events: numbers, a chart, a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import Any, Final

import altair as alt

from maskdet.events.event import EVENT_KINDS, Event, describe_event
from maskdet.events.statements import HOUR_MS, EventFilter
from maskdet.events.store import EventStore
from maskdet.style import (
    DEFAULT_STYLE,
    Style,
    format_percent,
    line_style,
    to_display_percent,
)
from maskdet.types import CLASSES, UNTRACKED, Label
from maskdet.web.cards import metric_html, metrics_html

PERIODS: Final[Mapping[str, tuple[str, float | None]]] = {
    "hour": ("Last hour", 1.0),
    "day": ("24 hours", 24.0),
    "week": ("7 days", 168.0),
    "all": ("All", None),
}
"""Title of a period, and how many hours it goes back."""

MAX_TABLE_EVENTS: Final = 500
"""Events in the table; the CSV file has all."""


@dataclass(frozen=True)
class EventQueryResult:
    """What the database has of the events that are wanted.

    Attributes:
        events: the newest of them.
        kind_counts: how many there are of each kind.
        label_counts: how many people there were by their last label.
        n_people: how many people there were, with a label or without.
        hourly_label_counts: number of people by label, by the start of the hour in
            milliseconds.
    """

    events: Sequence[Event]
    kind_counts: Counter[str]
    label_counts: Counter[Label]
    n_people: int
    hourly_label_counts: Mapping[int, Counter[Label]]

    @property
    def n_events(self) -> int:
        """How many events there are."""
        return sum(self.kind_counts.values())


def query_events(
    store: EventStore, event_filter: EventFilter, zone: tzinfo
) -> EventQueryResult:
    """Return what the database has of the wanted events.

    Raises:
        StoreError: the database cannot be used.
    """
    utc_offset = datetime.now(zone).utcoffset() or timedelta()
    return EventQueryResult(
        store.read(event_filter, MAX_TABLE_EVENTS),
        store.count_by_kind(event_filter),
        store.count_people(event_filter),
        store.count_unique_people(event_filter),
        store.count_people_by_hour(
            event_filter, round(utc_offset.total_seconds() * 1e3)
        ),
    )


def event_totals_html(result: EventQueryResult, style: Style) -> str:
    """Return the totals as tiles, as HTML."""
    metrics = [metric_html("People", result.n_people)]
    for label in CLASSES:
        edge = f"{line_style(label)} {style.colour_css(label)}"
        name = escape(style.title(label))
        metrics.append(metric_html(name, result.label_counts[label], edge=edge))
    n_labelled = sum(result.label_counts.values())
    mask_rate_text = (
        escape(format_percent(result.label_counts[Label.MASK] / n_labelled))
        if n_labelled
        else "&ndash;"
    )
    metrics.append(metric_html("Masked, of those", mask_rate_text))
    metrics.append(metric_html("Too close", result.kind_counts["close"]))
    metrics.append(metric_html("Alerts", result.kind_counts["alert"]))
    return metrics_html(metrics)


def hourly_label_chart(result: EventQueryResult, style: Style) -> dict[str, Any]:
    """Return what share of the people wore a mask, by hour, as a Vega-Lite chart."""
    bars = (
        alt.Chart(alt.InlineData(values=_build_bars(result.hourly_label_counts, style)))
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
            color=_encode_label_colour(style),
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


def _encode_label_colour(style: Style) -> alt.Color:
    """Return the encoding that colours bars by label, as everywhere else."""
    scale = alt.Scale(
        domain=[style.title(label) for label in CLASSES],
        range=[style.colour_css(label) for label in CLASSES],
    )
    return alt.Color("class:N", title=None, scale=scale)


def _build_bars(
    hourly_label_counts: Mapping[int, Counter[Label]], style: Style
) -> list[dict[str, int | float | str]]:
    """Return the parts of each hour's bar, masked people at the bottom."""
    rows: list[dict[str, int | float | str]] = []
    for start_ms, label_counts in hourly_label_counts.items():
        n_all, n_below = sum(label_counts.values()), 0
        for label in CLASSES:
            n_people = label_counts[label]
            if n_people:
                rows.append(
                    {
                        "start": start_ms,
                        "end": start_ms + HOUR_MS,
                        "class": style.title(label),
                        "low": n_below / n_all,
                        "high": (n_below + n_people) / n_all,
                        "share": n_people / n_all,
                        "people": n_people,
                        "all": n_all,
                    }
                )
            n_below += n_people
    return rows


def event_table(
    events: Sequence[Event], zone: tzinfo, style: Style = DEFAULT_STYLE
) -> list[dict[str, Any]]:
    """Return events as people read them, in the visitor's own time."""
    return [
        {
            "Time": event.at.astimezone(zone).replace(tzinfo=None),
            "What happened": describe_event(event, style),
            "Event": EVENT_KINDS[event.kind],
            "Label": style.title(event.label),
            "Confidence": to_display_percent(event.confidence)
            if event.confidence
            else None,
            "Person": None if event.person == UNTRACKED else event.person,
            "Camera": event.camera,
            "Stream": event.session[:4],
        }
        for event in events
    ]
