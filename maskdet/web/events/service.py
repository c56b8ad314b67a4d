"""A visitor's events and alerts: what was chosen, and what watches the streams.

The Live page needs three lines of it. In the script, before the stream:

    witness = events.witness(state.clock())

in the frame callback, after each step: `create_stream_monitor.on_scene(scene)`, and
when the stream has ended: `create_stream_monitor.end()`. `events_alerts.announce()`
shows new alerts.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, cast
from zoneinfo import ZoneInfo

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.alerts.monitor import AlertConfig, AlertMonitor, StreamMonitor
from maskdet.events.config import read_events_url, read_retention_days
from maskdet.events.database import StoreError
from maskdet.events.event import StreamInfo
from maskdet.events.store import EventStore
from maskdet.events.writer import EventWriter
from maskdet.web.server import access, guard

_PREFERENCES_KEY: Final = "maskdet.events"
_MONITOR_KEY: Final = "maskdet.watch"

DEFAULT_CAMERA: Final = "Camera"

_DAY_S: Final = 86_400


@dataclass(frozen=True)
class EventPreferences:
    """What a visitor chose on the Events page; a first visit records and sends nothing.

    Attributes:
        record: write events down.
        camera: what this visitor's camera is called in them.
        alert_config: the rules of alerts, and where they are sent.
        toast: show new alerts in the page.
        sound: play a sound for them.
    """

    record: bool = False
    camera: str = DEFAULT_CAMERA
    alert_config: AlertConfig = field(default_factory=AlertConfig)
    toast: bool = True
    sound: bool = False


@dataclass(frozen=True)
class DatabaseStatus:
    """The database of this server, or why there is none.

    Attributes:
        url: its address, which may hold a password; empty if there is none.
        keep_days: for how many days events are kept.
        problem: one line on why it cannot be used; empty if it can be tried.
        is_disabled: whoever runs the server switched events off.
    """

    url: str = ""
    keep_days: int = 0
    problem: str = ""
    is_disabled: bool = False


def get_event_preferences() -> EventPreferences:
    """Return what this visitor chose."""
    return cast(
        EventPreferences, st.session_state.get(_PREFERENCES_KEY, EventPreferences())
    )


def apply_event_preferences(preferences: EventPreferences) -> None:
    """Put choices in force, also for a stream that runs.

    Raises:
        ValueError: an address in the plan cannot be used; nothing changes.
    """
    get_alert_monitor().configure(
        preferences.alert_config, get_event_writer() if preferences.record else None
    )
    st.session_state[_PREFERENCES_KEY] = preferences


def get_alert_monitor() -> AlertMonitor:
    """Return what watches this visitor's streams."""
    if _MONITOR_KEY not in st.session_state:
        st.session_state[_MONITOR_KEY] = AlertMonitor()
    return cast(AlertMonitor, st.session_state[_MONITOR_KEY])


def create_stream_monitor(clock_s: float, camera: str = "") -> StreamMonitor:
    """Return what looks at each scene of a stream that starts now.

    Call it in the script; its `on_scene` is made for a frame callback.

    Args:
        clock_s: what the clock that gives `Scene.time_s` says now, in seconds.
        camera: what the stream is called; the visitor's choice unless it is given.
    """
    return get_alert_monitor().monitor_stream(
        StreamInfo.now(camera or get_event_preferences().camera, clock_s)
    )


def get_database_status() -> DatabaseStatus:
    """Return the database of this server, or why there is none."""
    url = read_events_url(os.environ)
    if not url:
        return DatabaseStatus(is_disabled=True)
    try:
        days = read_retention_days(os.environ)
        _open_store(url)
    except (StoreError, ValueError) as error:
        return DatabaseStatus(problem=str(error))
    return DatabaseStatus(url, days)


def get_event_store() -> EventStore | None:
    """Return the database to read from; it is made when something is recorded."""
    status = get_database_status()
    return _open_store(status.url) if status.url else None


def get_event_writer() -> EventWriter | None:
    """Return the one thread of this server that writes to the database."""
    status = get_database_status()
    return _open_writer(status.url, status.keep_days) if status.url else None


def delete_expired_events() -> str:
    """Delete what is older than this server keeps it, at most once a day.

    The recorder does so too, but only while somebody records.

    Returns:
        One line on why it could not be done; else empty.
    """
    status = get_database_status()
    try:
        if status.url:
            _delete_expired(status.url, status.keep_days)
    except StoreError as error:
        return f"old events were not deleted: {error}"
    return ""


def is_local_admin() -> bool:
    """Return whether the visitor may do what only the server's own machine may.

    A visitor who has just left is not there, so may not.
    """
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return False
    client = runtime.get_instance().get_client(context.session_id)
    client_context = client.client_context if client is not None else None
    try:
        allowed = access.is_local_admin_enabled(
            os.environ, public=guard.is_public_server()
        )
    except ValueError:
        return False
    if client_context is None or not allowed:
        return False
    return access.is_local_request(client_context.remote_ip, client_context.headers)


def get_time_zone() -> tzinfo:
    """Return the visitor's time zone, or UTC where the browser does not tell."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        return UTC


# One for all visitors: connections are given out one by one, and hold no image.
@st.cache_resource(show_spinner=False)
def _open_store(url: str) -> EventStore:
    return EventStore(url)


# Once a day for all visitors: what fails is not kept here, so it is tried again.
@st.cache_resource(ttl=_DAY_S, show_spinner=False)
def _delete_expired(url: str, max_age_days: int) -> int:
    return _open_store(url).delete(datetime.now(UTC) - timedelta(days=max_age_days))


@st.cache_resource(show_spinner=False)
def _open_writer(url: str, max_age_days: int) -> EventWriter:
    writer = EventWriter(_open_store(url), retention_days=max_age_days)
    atexit.register(writer.close)
    return writer
