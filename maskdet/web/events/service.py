"""Events and alerts of a visitor: recorder, monitor, database and admin rights.

The Live page calls `create_stream_monitor` in the script before the stream starts, and
`StreamMonitor.observe` in the frame callback and after the stream has ended.
`alerts.render_new_alerts` shows new alerts.
"""

from __future__ import annotations

import atexit
import io
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, cast
from weakref import WeakSet
from zoneinfo import ZoneInfo

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from maskdet.alerts.monitor import AlertMonitor, AlertRecord, StreamMonitor
from maskdet.events.config import read_events_url, read_retention_days
from maskdet.events.database import StoreError
from maskdet.events.event import (
    Event,
    EventCsvWriter,
    StreamInfo,
    clean_camera_name,
)
from maskdet.events.store import EventStore
from maskdet.events.writer import EventWriter
from maskdet.serving import access
from maskdet.web import account, session
from maskdet.web.events.recorders import EventPreferences, Recorder, RecorderRegistry
from maskdet.web.server import guard, streamlit_patches

_RECORDER_KEY: Final = "maskdet.recorder"
_TAB_KEY: Final = "maskdet.recorder_tab"

_DAY_S: Final = 86_400

_recorders: Final = RecorderRegistry(streamlit_patches.is_session_active)
"""The recorders of visitors, by tab ID."""

_camera_recorder: Final = Recorder()
"""The recorder of the network cameras, which the server reads without a visitor."""

_camera_monitors: Final[WeakSet[StreamMonitor]] = WeakSet()
"""The monitors of the network cameras that are read now; used under the lock."""

_camera_lock: Final = threading.Lock()


@dataclass(frozen=True)
class DatabaseStatus:
    """The event database of this server, or the reason why there is none.

    Attributes:
        url: database URL, which may contain a password; empty if there is none.
        keep_days: number of days for which events are kept.
        problem: one line on why it cannot be used, or empty.
        is_disabled: whether the administrator disabled recording.
    """

    url: str = ""
    keep_days: int = 0
    problem: str = ""
    is_disabled: bool = False


def get_recorder() -> Recorder:
    """Return this visitor's recorder, also after a reload of the page."""
    if _RECORDER_KEY not in st.session_state:
        st.session_state[_RECORDER_KEY] = Recorder()
    recorder = cast(Recorder, st.session_state[_RECORDER_KEY])
    tab_id = session.get_tab_id()
    if tab_id and st.session_state.get(_TAB_KEY) != tab_id:
        recorder = _recorders.attach(tab_id, session.get_session_id(), recorder)
        st.session_state[_RECORDER_KEY], st.session_state[_TAB_KEY] = recorder, tab_id
    return recorder


def get_camera_recorder() -> Recorder | None:
    """Return the recorder of the server's network cameras; `None` if not an admin."""
    return _camera_recorder if is_admin() else None


def get_event_preferences() -> EventPreferences:
    """Return this visitor's event preferences."""
    return get_recorder().preferences


def apply_event_preferences(recorder: Recorder, preferences: EventPreferences) -> None:
    """Apply the preferences, also to a running stream.

    Those of a visitor who may not record anything are not applied.

    Raises:
        ValueError: a receiver in the alert configuration is invalid; nothing changes.
    """
    if not may_record():
        preferences = EventPreferences()
    recorder.monitor.configure(
        preferences.alert_config, get_event_writer() if preferences.record else None
    )
    recorder.preferences = preferences


def list_recorded_cameras() -> list[str]:
    """Return the names of the cameras whose events this visitor records.

    For an administrator, those of the server are among them.
    """
    names = []
    preferences = get_event_preferences()
    if preferences.record:
        names.append(preferences.camera)
    if _camera_recorder.preferences.record and is_admin():
        with _camera_lock:
            running = {monitor.stream_info.camera for monitor in _camera_monitors}
        names += sorted(running) or ["network cameras"]
    return names


def get_alert_monitor() -> AlertMonitor:
    """Return the monitor of this visitor's streams."""
    return get_recorder().monitor


def list_alerts() -> list[AlertRecord]:
    """Return the last alerts of this visitor's streams, newest first.

    For an administrator, those of the server's cameras are among them.
    """
    records = get_alert_monitor().list_alerts()
    cameras = get_camera_recorder()
    if cameras is not None:
        records += cameras.monitor.list_alerts()
    return sorted(records, key=lambda record: record.alert.at, reverse=True)


def create_stream_monitor(clock_s: float) -> StreamMonitor:
    """Return a monitor for the scenes of a stream that starts now.

    Call it in the script; its `observe` may be called in a frame callback.

    Args:
        clock_s: current time of the clock of `Scene.time_s`, in seconds.
    """
    return get_alert_monitor().monitor_stream(
        StreamInfo.now(get_event_preferences().camera, clock_s)
    )


def create_camera_monitor(camera: str, clock_s: float) -> StreamMonitor:
    """Return a monitor for a network camera that the server reads itself.

    It follows the event settings of the server's cameras, which only administrators can
    change on the Events page; by default nothing is recorded or sent. Safe to call
    outside of a script run.

    Args:
        camera: name of the camera in events.
        clock_s: current time of the clock of `Scene.time_s`, in seconds.
    """
    monitor = _camera_recorder.monitor.monitor_stream(StreamInfo.now(camera, clock_s))
    with _camera_lock:
        _camera_monitors.add(monitor)
    return monitor


def are_cameras_recorded() -> bool:
    """Return whether events or alerts of the server's cameras are wanted."""
    preferences = _camera_recorder.preferences
    return preferences.record or bool(preferences.alert_config.rules)


def get_last_camera_alert(camera: str) -> Event | None:
    """Return the last alert of a camera that the server reads; safe in any thread."""
    name = clean_camera_name(camera)
    alerts = (record.alert for record in _camera_recorder.monitor.list_alerts())
    return next((alert for alert in alerts if alert.camera == name), None)


def get_database_status() -> DatabaseStatus:
    """Return the event database of this server, or the reason why there is none."""
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
    """Return the database to read from, or `None`; the first event creates it."""
    status = get_database_status()
    return _open_store(status.url) if status.url else None


def get_event_writer() -> EventWriter | None:
    """Return this server's only writer to the database, or `None`."""
    status = get_database_status()
    return _open_writer(status.url, status.keep_days) if status.url else None


def events_csv(events: Iterable[Event]) -> str:
    """Return events as a CSV file."""
    text = io.StringIO()
    EventCsvWriter(text).add(events)
    return text.getvalue()


def delete_expired_events() -> str:
    """Delete events older than the retention period, at most once a day.

    The writer does so too, but only during a recording.

    Returns:
        One line on why it failed, or an empty string.
    """
    status = get_database_status()
    try:
        if status.url:
            _delete_expired(status.url, status.keep_days)
    except StoreError as error:
        return f"old events were not deleted: {error}"
    return ""


def may_record() -> bool:
    """Return whether the visitor may record events and set alerts."""
    try:
        switch = access.parse_switch(os.environ, access.RECORDING_VARIABLE)
    except ValueError:  # the launcher reports it
        switch = False
    return switch is not False or is_admin()


def is_admin() -> bool:
    """Return whether the visitor has the rights of an administrator.

    These are visitors who have logged in as one, and by default those on the server's
    own machine. It is false for a visitor who has just disconnected.
    """
    context = get_script_run_ctx()
    if context is None:
        return False
    if account.get_role() == "admin":
        return True
    peer = streamlit_patches.get_peer(context.session_id)
    try:
        allowed = access.is_local_admin_enabled(
            os.environ, public=guard.is_public_server()
        )
    except ValueError:
        return False
    return allowed and peer is not None and access.is_local_request(*peer)


def get_time_zone() -> tzinfo:
    """Return the visitor's time zone, or UTC if the browser does not report it."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        return UTC


# One store for all visitors: it has a connection pool and contains no images.
@st.cache_resource(show_spinner=False)
def _open_store(url: str) -> EventStore:
    return EventStore(url)


# Once a day for all visitors; a failure is not cached, so it is retried.
@st.cache_resource(ttl=_DAY_S, show_spinner=False)
def _delete_expired(url: str, max_age_days: int) -> int:
    return _open_store(url).delete(datetime.now(UTC) - timedelta(days=max_age_days))


@st.cache_resource(show_spinner=False)
def _open_writer(url: str, max_age_days: int) -> EventWriter:
    writer = EventWriter(_open_store(url), retention_days=max_age_days)
    atexit.register(writer.close)
    return writer
