"""A visitor's events and alerts: what was chosen, and what watches the streams.

The Live page needs three lines of it. In the script, before the stream:

    witness = events.witness(state.clock())

in the frame callback, after each step: `witness.on_scene(scene)`, and when
the stream has ended: `witness.end()`. `events_alerts.announce()` shows new alerts.
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

from maskdet.alerts.watch import Plan, Watch, Witness
from maskdet.events.origin import Origin
from maskdet.events.place import events_url, keep_days
from maskdet.events.store import EventStore, StoreError
from maskdet.events.writer import EventWriter
from maskdet.web import access, guard

_CHOICES: Final = "maskdet.events"
_WATCH: Final = "maskdet.watch"

DEFAULT_CAMERA: Final = "Camera"

_DAY_S: Final = 86_400


@dataclass(frozen=True)
class Choices:
    """What a visitor chose on the Events page; a first visit records and sends nothing.

    Attributes:
        record: write events down.
        camera: what this visitor's camera is called in them.
        plan: the rules of alerts, and where they are sent.
        toast: show new alerts in the page.
        sound: play a sound for them.
    """

    record: bool = False
    camera: str = DEFAULT_CAMERA
    plan: Plan = field(default_factory=Plan)
    toast: bool = True
    sound: bool = False


@dataclass(frozen=True)
class Database:
    """The database of this server, or why there is none.

    Attributes:
        url: its address, which may hold a password; empty if there is none.
        days: for how many days events are kept.
        problem: one line on why it cannot be used; empty if it can be tried.
        off: whoever runs the server switched events off.
    """

    url: str = ""
    days: int = 0
    problem: str = ""
    off: bool = False


def choices() -> Choices:
    """Return what this visitor chose."""
    return cast(Choices, st.session_state.get(_CHOICES, Choices()))


def remember(chosen: Choices) -> None:
    """Put choices in force, also for a stream that runs.

    Raises:
        ValueError: an address in the plan cannot be used; nothing changes.
    """
    watch().use(chosen.plan, recorder() if chosen.record else None)
    st.session_state[_CHOICES] = chosen


def watch() -> Watch:
    """Return what watches this visitor's streams."""
    if _WATCH not in st.session_state:
        st.session_state[_WATCH] = Watch()
    return cast(Watch, st.session_state[_WATCH])


def witness(clock_s: float, camera: str = "") -> Witness:
    """Return what looks at each scene of a stream that starts now.

    Call it in the script; its `on_scene` is made for a frame callback.

    Args:
        clock_s: what the clock that gives `Scene.time_s` says now, in seconds.
        camera: what the stream is called; the visitor's choice unless it is given.
    """
    return watch().witness(Origin.now(camera or choices().camera, clock_s))


def database() -> Database:
    """Return the database of this server, or why there is none."""
    url = events_url(os.environ)
    if not url:
        return Database(off=True)
    try:
        days = keep_days(os.environ)
        _store(url)
    except (StoreError, ValueError) as error:
        return Database(problem=str(error))
    return Database(url, days)


def store() -> EventStore | None:
    """Return the database to read from; it is made when something is recorded."""
    found = database()
    return _store(found.url) if found.url else None


def recorder() -> EventWriter | None:
    """Return the one thread of this server that writes to the database."""
    found = database()
    return _writer(found.url, found.days) if found.url else None


def delete_old() -> str:
    """Delete what is older than this server keeps it, at most once a day.

    The recorder does so too, but only while somebody records.

    Returns:
        One line on why it could not be done; else empty.
    """
    found = database()
    try:
        if found.url:
            _delete_old(found.url, found.days)
    except StoreError as error:
        return f"old events were not deleted: {error}"
    return ""


def is_local() -> bool:
    """Return whether the visitor may do what only the server's own machine may.

    A visitor who has just left is not there, so may not.
    """
    context = get_script_run_ctx()
    if context is None or not runtime.exists():
        return False
    client = runtime.get_instance().get_client(context.session_id)
    visitor = client.client_context if client is not None else None
    try:
        allowed = access.gives_local_admin(os.environ, public=guard.is_public())
    except ValueError:
        return False
    if visitor is None or not allowed:
        return False
    return access.is_local(visitor.remote_ip, visitor.headers)


def zone() -> tzinfo:
    """Return the visitor's time zone, or UTC where the browser does not tell."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (KeyError, ValueError, OSError):
        return UTC


# One for all visitors: connections are given out one by one, and hold no picture.
@st.cache_resource(show_spinner=False)
def _store(url: str) -> EventStore:
    return EventStore(url)


# Once a day for all visitors: what fails is not kept here, so it is tried again.
@st.cache_resource(ttl=_DAY_S, show_spinner=False)
def _delete_old(url: str, days: int) -> int:
    return _store(url).delete(datetime.now(UTC) - timedelta(days=days))


@st.cache_resource(show_spinner=False)
def _writer(url: str, days: int) -> EventWriter:
    writer = EventWriter(_store(url), keep_days=days)
    atexit.register(writer.close)
    return writer
