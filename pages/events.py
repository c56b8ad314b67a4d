"""Events: what happened to whom, if it is recorded, and who is told of it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from functools import partial

import pandas as pd
import streamlit as st

from maskdet.events.event import KINDS
from maskdet.events.origin import LONGEST_NAME, camera_name
from maskdet.events.statements import EventFilter
from maskdet.events.store import EventStore, StoreError
from maskdet.types import Label
from maskdet.web import events, events_alerts, session
from maskdet.web.entry import through_app
from maskdet.web.events_charts import (
    MOST_ROWS,
    PERIODS,
    Found,
    found,
    hourly_chart,
    numbers_html,
    table,
)
from maskdet.web.markdown import plain
from maskdet.wording import counted, noun

_DELETED = "maskdet.events_deleted"


def page() -> None:
    """Show the page."""
    st.title("Events")
    st.markdown(
        "Who came in, what is known of each mask, who stood too close and who left: "
        "written down if you want it, and told to you if you ask for it."
    )
    database = events.database()
    record, camera = _recording(database)
    with st.expander("Alerts", icon=":material/notifications:"):
        plan, toast, sound = events_alerts.settings()
        events.remember(events.Choices(record, camera, plan, toast, sound))
        events_alerts.rehearsal()
    events_alerts.announce()
    _state_of_recording(record)
    store = events.store()
    if store is not None:
        _recorded(store)


def _recording(database: events.Database) -> tuple[bool, str]:
    """Ask whether to record, and under which name."""
    st.subheader("Recording", divider="gray")
    if database.off:
        st.info(
            "Whoever runs this server switched recording off.",
            icon=":material/block:",
        )
    if database.problem:
        st.error(plain(f"{database.problem}."), icon=":material/database_off:")
    switch, name = st.columns([2, 1], vertical_alignment="bottom")
    record = switch.toggle(
        "Record events",
        key="events.record",
        persist_state="session",
        disabled=not database.url,
    )
    camera = name.text_input(
        "Name of the camera",
        events.DEFAULT_CAMERA,
        max_chars=LONGEST_NAME,
        key="events.camera",
        persist_state="session",
        help="Tells apart what several cameras recorded.",
    )
    store = events.store()
    if store is not None:
        st.caption(
            "No picture is ever stored, only lines: the time, a number for the person "
            "that says nothing outside of this stream, the label and its confidence, "
            f"the distance to others, and the camera's name. They go to "
            f"{_code(store.place)} and are deleted after **{database.days} days**."
        )
    return record and bool(database.url), camera_name(camera) or events.DEFAULT_CAMERA


def _code(text: str) -> str:
    """Return Markdown that shows a path or address as it is."""
    return f"`{text.replace('`', '')}`"


def _state_of_recording(record: bool) -> None:
    """Say what the writer has to say of itself."""
    recorder = events.recorder() if record else None
    if recorder is None:
        return
    status = recorder.status()
    if status.problem:
        st.error(
            plain(f"{status.problem}.")
            + f" {counted(status.n_waiting, 'event waits', 'events wait')}.",
            icon=":material/database_off:",
        )
    if status.n_dropped:
        st.warning(
            f"{counted(status.n_dropped, 'event was', 'events were')} lost: too many "
            "waited, or the database refused them.",
            icon=":material/warning:",
        )


def _recorded(store: EventStore) -> None:
    """Show what was recorded, or say in one line why it cannot be shown."""
    st.subheader("What was recorded", divider="gray")
    deleted: str = st.session_state.pop(_DELETED, "")
    if deleted:
        st.toast(deleted, icon=":material/delete:")
    trouble = events.delete_old()
    try:
        everything = store.counts(EventFilter())
        if everything.total():
            _history(store, everything.total())
        else:
            _nothing_yet()
    except StoreError as error:
        st.error(plain(f"{error}."), icon=":material/database_off:")
        return
    if trouble:
        st.warning(plain(f"{trouble}."), icon=":material/auto_delete:")


def _nothing_yet() -> None:
    st.info(
        "**Nothing is recorded yet.** Switch on “Record events” above, then open "
        "the Live page and press Start: events appear here as people come, are "
        "labelled and leave. The Video page can add those of a film.",
        icon=":material/event_note:",
    )


def _history(store: EventStore, n_all: int) -> None:
    wanted = _filter(store)
    zone = events.zone()
    result = found(store, wanted, zone)
    st.html(numbers_html(result, session.preferences().style))
    if not result.n_events:
        st.info("No event is like that. Choose a longer time, or fewer filters.")
    if result.hours:
        st.caption(
            "Each person counts once an hour, with the last label, in every hour in "
            "which something happened to them."
        )
        st.vega_lite_chart(
            hourly_chart(result, session.preferences().style),
            alt="Share of people with a mask, incorrectly worn and without, by hour",
        )
    _table(result)
    _files(store, wanted, result, n_all)


def _filter(store: EventStore) -> EventFilter:
    """Ask which events are wanted."""
    period = st.segmented_control(
        "Time",
        list(PERIODS),
        default="day",
        required=True,
        format_func=lambda name: PERIODS[name][0],
        key="events.period",
        persist_state="session",
    )
    kinds_place, labels_place, cameras_place, again = st.columns(
        [4, 4, 4, 2], vertical_alignment="bottom"
    )
    kinds = kinds_place.multiselect(
        "Events",
        list(KINDS),
        format_func=KINDS.__getitem__,
        placeholder="All",
        key="events.kinds",
        persist_state="session",
    )
    style = session.preferences().style
    titles = {label.key: style.title(label) for label in Label}
    labels = labels_place.multiselect(
        "Labels",
        list(titles),
        format_func=titles.__getitem__,
        placeholder="All",
        key="events.labels",
        persist_state="session",
    )
    cameras = cameras_place.multiselect(
        "Cameras", store.cameras(), placeholder="All", key="events.cameras"
    )
    again.button("Refresh", icon=":material/refresh:", key="events.again")
    hours = PERIODS[period][1]
    since = None if hours is None else datetime.now(UTC) - timedelta(hours=hours)
    since_ms = None if since is None else round(since.timestamp() * 1e3)
    return EventFilter(since_ms, None, tuple(kinds), tuple(labels), tuple(cameras))


def _table(result: Found) -> None:
    if not result.n_events:
        return
    st.dataframe(
        pd.DataFrame(table(result.events, events.zone(), session.preferences().style)),
        hide_index=True,
        column_config={
            "Time": st.column_config.DatetimeColumn(
                format="YYYY-MM-DD HH:mm:ss", width=150, pinned=True
            ),
            "What happened": st.column_config.TextColumn(width="large"),
            "Confidence": st.column_config.NumberColumn(format="%.0f %%", width=80),
            "Person": st.column_config.NumberColumn(format="%d", width=70),
            "Stream": st.column_config.TextColumn(
                width=70, help="Person numbers start anew in each run of a stream."
            ),
        },
        placeholder="\N{EN DASH}",
        alt="Table of the events, newest first",
    )
    if result.n_events > MOST_ROWS:
        st.caption(
            f"The newest {MOST_ROWS} of {result.n_events:,}; the file has them all."
        )


def _files(store: EventStore, wanted: EventFilter, result: Found, n_all: int) -> None:
    """Offer the events as a file, and to delete them to whoever runs the server."""
    with st.container(horizontal=True):
        st.download_button(
            "Events (CSV)",
            partial(_csv, store, wanted),
            file_name="maskdet-events.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            disabled=not result.n_events,
        )
        if events.is_local():
            _deleting(store, n_all)
    if not events.is_local():
        st.caption("Events can be deleted from the server's own machine only.")


def _deleting(store: EventStore, n_all: int) -> None:
    with st.popover("Delete all", icon=":material/delete:"):
        st.markdown(
            f"This deletes all **{n_all:,}** {noun(n_all, 'event')} of every camera, "
            "whatever the filters show. It cannot be undone."
        )
        st.button(
            f"Yes, delete {counted(n_all, 'event')}",
            type="primary",
            on_click=_delete,
            args=(store,),
            key="events.delete",
        )


def _csv(store: EventStore, wanted: EventFilter) -> io.StringIO:
    """Return the file; it is made when somebody asks for it."""
    file = io.StringIO()
    store.write_csv(wanted, file)
    return file


def _delete(store: EventStore) -> None:
    if not events.is_local():
        return
    try:
        n_deleted = store.delete()
    except StoreError as error:
        st.session_state[_DELETED] = plain(f"Not deleted: {error}.")
        return
    were = counted(n_deleted, "event was", "events were")
    st.session_state[_DELETED] = f"{were} deleted."


through_app()
page()
