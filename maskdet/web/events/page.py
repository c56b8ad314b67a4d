"""The Events page: recording and alert settings, and the recorded events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final

import streamlit as st

from maskdet.charts.spec import (
    UNIT_SCALE,
    VegaSpec,
    encode_colour,
    label_colours,
    layer_charts,
    nominal_field,
    quantitative_field,
)
from maskdet.events.database import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    EventFilter,
    StoreError,
)
from maskdet.events.event import (
    EVENT_KINDS,
    MAX_CAMERA_NAME_LENGTH,
    Event,
    clean_camera_name,
    describe_event,
)
from maskdet.events.store import EventStore
from maskdet.style import (
    DEFAULT_STYLE,
    Style,
    format_percent,
    to_display_percent,
)
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.events import alerts, service
from maskdet.web.events.form import EventForm
from maskdet.web.events.recorders import DEFAULT_CAMERA, EventPreferences
from maskdet.web.events.table import get_local_time, get_person, render_event_table
from maskdet.web.widgets import (
    MetricTile,
    escape_markdown,
    label_tile,
    metrics_html,
    select_segment,
)
from maskdet.wording import format_count, pluralize

PERIODS: Final[Mapping[str, tuple[str, float | None]]] = {
    "hour": ("Last hour", 1.0),
    "day": ("24 hours", 24.0),
    "week": ("7 days", 168.0),
    "all": ("All", None),
}
"""Title and length in hours of each period."""

MAX_TABLE_EVENTS: Final = 500
"""Maximum number of events in the table; the CSV file has all."""

_INTERVALS: Final[Sequence[tuple[int, int, str]]] = (
    (2 * HOUR_MS, MINUTE_MS, "minute"),
    (4 * DAY_MS, HOUR_MS, "hour"),
)
"""Length and name of the intervals of the chart, for events over less than the first
number of milliseconds; over more, an interval is a day."""

_MIN_CHART_INTERVALS: Final = 12
"""So that the bar of a short run does not fill the chart."""

_DELETED_KEY = "maskdet.events_deleted"


@dataclass(frozen=True)
class EventQueryResult:
    """The events that match a filter, with their counts.

    Attributes:
        events: the newest events.
        kind_counts: number of events by kind.
        label_counts: number of people by their last label.
        n_people: number of people, with or without a label.
        interval_ms: length of the intervals, in milliseconds.
        interval_label_counts: number of people by label, by the start of the interval
            in milliseconds.
    """

    events: Sequence[Event]
    kind_counts: Counter[str]
    label_counts: Counter[Label]
    n_people: int
    interval_ms: int
    interval_label_counts: Mapping[int, Counter[Label]]

    @property
    def n_events(self) -> int:
        """Number of events."""
        return sum(self.kind_counts.values())

    @property
    def interval(self) -> str:
        """Name of the intervals: minute, hour or day."""
        names = {interval_ms: name for _, interval_ms, name in _INTERVALS}
        return names.get(self.interval_ms, "day")


def query_events(
    store: EventStore, event_filter: EventFilter, zone: tzinfo
) -> EventQueryResult:
    """Query the events that match a filter.

    Raises:
        StoreError: the database cannot be used.
    """
    utc_offset = datetime.now(zone).utcoffset() or timedelta()
    first_ms, last_ms = store.get_time_range_ms(event_filter) or (0, 0)
    interval_ms = choose_interval_ms(last_ms - first_ms)
    return EventQueryResult(
        store.read(event_filter, MAX_TABLE_EVENTS),
        store.count_by_kind(event_filter),
        store.count_people(event_filter),
        store.count_unique_people(event_filter),
        interval_ms,
        store.count_people_over_time(
            event_filter, interval_ms, round(utc_offset.total_seconds() * 1e3)
        ),
    )


def choose_interval_ms(duration_ms: int) -> int:
    """Return the length of the chart's intervals for events over this time."""
    lengths_ms = (
        interval_ms for limit_ms, interval_ms, _ in _INTERVALS if duration_ms < limit_ms
    )
    return next(lengths_ms, DAY_MS)


def event_totals_html(result: EventQueryResult, style: Style) -> str:
    """Return the totals as HTML tiles; the classes add up to the people."""
    counts = result.label_counts.copy()
    n_labelled = counts.total()
    counts[Label.UNKNOWN] = result.n_people - n_labelled
    mask_rate_text = (
        format_percent(counts[Label.MASK] / n_labelled) if n_labelled else "\N{EN DASH}"
    )
    return metrics_html(
        [
            MetricTile("People", result.n_people),
            *(label_tile(label, counts[label], style) for label in Label),
            MetricTile("Mask rate", mask_rate_text),
            MetricTile("Too close", result.kind_counts["close"]),
            MetricTile("Alerts", result.kind_counts["alert"]),
        ]
    )


def label_chart(result: EventQueryResult, style: Style) -> VegaSpec:
    """Return a Vega-Lite chart of the fraction of people by label over time."""
    starts_ms, interval_ms = result.interval_label_counts, result.interval_ms
    end_ms = max(starts_ms) + interval_ms
    shown_ms = max(end_ms - min(starts_ms), _MIN_CHART_INTERVALS * interval_ms)
    bars = {
        "data": {"name": "bars"},
        "mark": {
            "type": "bar",
            "stroke": "white",
            "strokeOpacity": 0.25,
            "strokeWidth": 0.5,
        },
        "encoding": {
            "x": {
                "field": "start",
                "type": "temporal",
                "title": None,
                "axis": {"grid": False, "labelOverlap": True},
            },
            "x2": {"field": "end"},
            "y": quantitative_field(
                "low",
                "Fraction of people",
                axis={"format": "%", "values": [0, 0.25, 0.5, 0.75, 1]},
                scale=UNIT_SCALE,
            ),
            "y2": {"field": "high"},
            "color": encode_colour("label", label_colours(style)),
            "tooltip": [
                {
                    "field": "start",
                    "type": "temporal",
                    "title": f"{result.interval.capitalize()} from",
                    "format": "%Y-%m-%d %H:%M",
                },
                nominal_field("label", "Label"),
                quantitative_field("fraction", "Fraction", format=".0%"),
                quantitative_field("people", "People"),
                quantitative_field("total", "Of"),
            ],
        },
    }
    rows = _build_bars(result, style)
    # An empty bar extends the time axis.
    origin_ms = end_ms - shown_ms
    if origin_ms < min(starts_ms):
        empty = {**rows[0], "high": 0.0, "fraction": 0.0, "people": 0, "total": 0}
        rows.append({**empty, "start": origin_ms, "end": origin_ms, "low": 0.0})
    return layer_charts([bars], {"bars": rows}, height=300)


def _build_bars(
    result: EventQueryResult, style: Style
) -> list[dict[str, int | float | str]]:
    """Return the segments of each interval's bar, with masked people at the bottom."""
    rows: list[dict[str, int | float | str]] = []
    for start_ms, label_counts in result.interval_label_counts.items():
        n_all, n_below = sum(label_counts.values()), 0
        for label in CLASSES:
            n_people = label_counts[label]
            if n_people:
                rows.append(
                    {
                        "start": start_ms,
                        "end": start_ms + result.interval_ms,
                        "label": style.title(label),
                        "low": n_below / n_all,
                        "high": (n_below + n_people) / n_all,
                        "fraction": n_people / n_all,
                        "people": n_people,
                        "total": n_all,
                    }
                )
            n_below += n_people
    return rows


def event_table(
    events: Sequence[Event], zone: tzinfo, style: Style = DEFAULT_STYLE
) -> list[dict[str, Any]]:
    """Return the rows of the table of events, with times in the visitor's time zone."""
    return [
        {
            "Time": get_local_time(event, zone),
            "Description": describe_event(event, style),
            "Event": EVENT_KINDS[event.kind],
            "Label": style.title(event.label),
            "Confidence": to_display_percent(event.confidence)
            if event.confidence
            else None,
            "Person": get_person(event),
            "Camera": event.camera,
            "Stream": event.session[:4],
        }
        for event in events
    ]


def render_events_page() -> None:
    """Render the page."""
    st.title("Events")
    st.markdown(
        "Log of arrivals, departures, mask status and close contacts, with optional "
        "alerts."
    )
    st.header("Recording", divider="gray")
    if session.is_tab_pending():
        # Whether recording is on is known in a moment.
        st.caption("Loading your settings …")
    else:
        _render_settings()
    alerts.render_new_alerts()
    st.header("Alerts", divider="gray")
    alerts.render_alert_list()
    store = service.get_event_store()
    if store is not None:
        _render_recorded_events(store)


def _render_settings() -> None:
    """Render the settings of a recorder, and apply them."""
    form, is_visitor = _select_form()
    recorded = service.list_recorded_cameras()
    form.load()
    record, camera = _render_recording_settings(form, is_visitor=is_visitor)
    with st.expander("Alert rules", icon=":material/notifications:"):
        alert_config = alerts.render_alert_settings(form, on_page=is_visitor)
        alerts_area = st.container()
    form.store()
    toast, sound = (form.recorder.form[name] is True for name in ("toast", "sound"))
    service.apply_event_preferences(
        form.recorder,
        EventPreferences(record, camera, alert_config, toast, sound),
    )
    with alerts_area:
        alerts.render_test_alert(form)
    _render_writer_status(record)
    if service.list_recorded_cameras() != recorded:
        st.rerun()  # every page shows what is recorded, above its content


def _select_form() -> tuple[EventForm, bool]:
    """Return the settings to render, and whether they are those of the visitor.

    An administrator can choose those of the server's network cameras.
    """
    camera_recorder = service.get_camera_recorder()
    if camera_recorder is not None:
        titles = {"visitor": "This browser's camera", "server": "Network cameras"}
        chosen = select_segment("Settings for", titles, key="events.recorder")
        if chosen == "server":
            return EventForm("cameras", camera_recorder), False
    return EventForm("events", service.get_recorder()), True


def _render_recording_settings(
    form: EventForm, *, is_visitor: bool
) -> tuple[bool, str]:
    """Render the recording options; return whether to record, and the camera name."""
    database = service.get_database_status()
    if database.is_disabled:
        st.info(
            "Recording is disabled on this server.",
            icon=":material/block:",
        )
    if database.problem:
        st.error(
            escape_markdown(f"{database.problem}."), icon=":material/database_off:"
        )
    may_record = service.may_record()
    if not may_record:
        st.info(
            "Only an administrator may record events and set alerts on this server.",
            icon=":material/lock:",
        )
    toggle_column, name_column = st.columns([2, 1], vertical_alignment="bottom")
    record = toggle_column.toggle(
        "Record events",
        key=form.key("record"),
        disabled=not (database.url and may_record),
    )
    camera = ""
    if is_visitor:
        camera = name_column.text_input(
            "Camera name",
            max_chars=MAX_CAMERA_NAME_LENGTH,
            key=form.key("camera"),
            help="Distinguishes the events of several cameras.",
        )
    store = service.get_event_store()
    if store is not None:
        location = store.location.replace("`", "")
        scope = (
            "Recording stays on when you reload the page"
            if is_visitor
            else "For all named cameras of this server, until it stops"
        )
        st.caption(
            f"{scope}. Images are never stored. An event has the time, an anonymous ID "
            "that is valid for this stream only, label and confidence, the distance to "
            f"others, and the camera name. Events are stored in `{location}` "
            f"and deleted after **{database.keep_days} days**."
        )
    is_recorded = record and may_record and bool(database.url)
    return is_recorded, clean_camera_name(camera) or DEFAULT_CAMERA


def _render_writer_status(record: bool) -> None:
    """Render problems of the event writer, if any."""
    writer = service.get_event_writer() if record else None
    if writer is None:
        return
    status = writer.status()
    if status.problem:
        st.error(
            escape_markdown(f"{status.problem}.")
            + f" {format_count(status.n_waiting, 'event waits', 'events wait')}.",
            icon=":material/database_off:",
        )
    if status.n_dropped:
        st.warning(
            f"{format_count(status.n_dropped, 'event was', 'events were')} dropped: "
            "the queue was full, or the database rejected them.",
            icon=":material/warning:",
        )


def _render_recorded_events(store: EventStore) -> None:
    """Render the event log, or one line on why it cannot be read."""
    st.header("Event log", divider="gray")
    deleted: str = st.session_state.pop(_DELETED_KEY, "")
    if deleted:
        st.toast(deleted, icon=":material/delete:")
    problem = service.delete_expired_events()
    try:
        event_counts = store.count_by_kind(EventFilter())
        if event_counts.total():
            _render_history(store, event_counts.total())
        else:
            _render_no_events()
    except StoreError as error:
        st.error(escape_markdown(f"{error}."), icon=":material/database_off:")
        return
    if problem:
        st.warning(escape_markdown(f"{problem}."), icon=":material/auto_delete:")


def _render_no_events() -> None:
    st.info(
        "**No events yet.** Switch on “Record events” above, then open the Live page "
        "and press Start. Events of people who enter, are labelled and leave appear "
        "here. The Video page can add the events of a video.",
        icon=":material/event_note:",
    )


def _render_history(store: EventStore, n_all: int) -> None:
    event_filter = _select_filter(store)
    zone = service.get_time_zone()
    result = query_events(store, event_filter, zone)
    st.html(event_totals_html(result, session.get_preferences().style))
    if not result.n_events:
        st.info("No matching events. Choose a longer period or fewer filters.")
    if result.interval_label_counts:
        st.caption(
            f"Unique people per {result.interval}, by their last class; unsure "
            "excluded, as in the mask rate."
        )
        st.vega_lite_chart(
            label_chart(result, session.get_preferences().style),
            alt="Fraction of people with a mask, incorrectly worn and without, by "
            + result.interval,
        )
    _render_table(result)
    _render_files(store, event_filter, result, n_all)


def _select_filter(store: EventStore) -> EventFilter:
    """Render the filter options; return the filter."""
    titles = {name: title for name, (title, _) in PERIODS.items()}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        period = select_segment("Time", titles, key="events.period", default="day")
        st.button("Refresh", icon=":material/refresh:", key="events.refresh")
    kinds_column, labels_column, cameras_column = st.columns(3)
    kinds = kinds_column.multiselect(
        "Events",
        list(EVENT_KINDS),
        format_func=EVENT_KINDS.__getitem__,
        placeholder="All",
        key="events.kinds",
        persist_state="session",
    )
    style = session.get_preferences().style
    label_titles = {label.key: style.title(label) for label in Label}
    labels = labels_column.multiselect(
        "Classes",
        list(label_titles),
        format_func=label_titles.__getitem__,
        placeholder="All",
        key="events.labels",
        persist_state="session",
    )
    cameras = cameras_column.multiselect(
        "Cameras",
        store.list_cameras(),
        placeholder="All",
        key="events.cameras",
        persist_state="session",
    )
    hours = PERIODS[period][1]
    since = None if hours is None else datetime.now(UTC) - timedelta(hours=hours)
    since_ms = None if since is None else round(since.timestamp() * 1e3)
    return EventFilter(since_ms, None, tuple(kinds), tuple(labels), tuple(cameras))


def _render_table(result: EventQueryResult) -> None:
    if not result.n_events:
        return
    style = session.get_preferences().style
    render_event_table(
        event_table(result.events, service.get_time_zone(), style),
        title="Table of the events, newest first",
        columns={
            "Description": st.column_config.TextColumn(width="large"),
            "Confidence": st.column_config.NumberColumn(format="%.0f %%", width=80),
            "Stream": st.column_config.TextColumn(
                width=70, help="Person IDs are only unique within a stream."
            ),
        },
    )
    if result.n_events > MAX_TABLE_EVENTS:
        st.caption(
            f"The newest {MAX_TABLE_EVENTS} of {result.n_events:,}; the CSV file has "
            "all."
        )


def _render_files(
    store: EventStore, event_filter: EventFilter, result: EventQueryResult, n_all: int
) -> None:
    """Render the CSV download, and the delete button for administrators."""
    is_admin = service.is_admin()
    with st.container(horizontal=True):
        st.download_button(
            "Events (CSV)",
            lambda: service.events_csv(store.iterate(event_filter)),
            file_name="maskdet-events.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            disabled=not result.n_events,
        )
        if is_admin:
            _render_delete_button(store, n_all)
    if not is_admin:
        st.caption(
            "Events can only be deleted from the server's own machine, or by an "
            "administrator."
        )


def _render_delete_button(store: EventStore, n_all: int) -> None:
    with st.popover("Delete all", icon=":material/delete:"):
        st.markdown(
            f"This deletes all **{n_all:,}** {pluralize(n_all, 'event')} of every "
            "camera, regardless of the filters. It cannot be undone."
        )
        st.button(
            f"Yes, delete {format_count(n_all, 'event')}",
            type="primary",
            on_click=_delete_all_events,
            args=(store,),
            key="events.delete",
        )


def _delete_all_events(store: EventStore) -> None:
    if not service.is_admin():
        return
    try:
        n_deleted = store.delete()
    except StoreError as error:
        st.session_state[_DELETED_KEY] = escape_markdown(f"Not deleted: {error}.")
        return
    deleted_text = format_count(n_deleted, "event was", "events were")
    st.session_state[_DELETED_KEY] = f"{deleted_text} deleted."
