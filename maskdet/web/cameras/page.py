"""The Cameras page: the named cameras of this server, side by side."""

from __future__ import annotations

from typing import Final

import streamlit as st

from maskdet.events import describe_event
from maskdet.html_templates import encode_data_url
from maskdet.style import Style
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.cameras.config import list_cameras
from maskdet.web.cameras.feeds import SharedFeed, get_camera_feeds
from maskdet.web.events import service
from maskdet.web.image.overlay import describe_class
from maskdet.web.live.sources import open_network_camera
from maskdet.web.live.state import PeopleCount
from maskdet.web.tiles import Tile, render_tiles

_OPENED_KEY: Final = "maskdet.opened_camera"
_UPDATE_S: Final = 1.0


def render_cameras_page() -> None:
    """Render the page."""
    if name := st.session_state.pop(_OPENED_KEY, ""):
        open_network_camera(name)
        st.switch_page("pages/live.py")
    st.title("Cameras")
    st.write("The cameras of this server. Choose one to watch it on the Live page.")
    st.fragment(_render_tiles, run_every=_UPDATE_S)()


def _render_tiles() -> None:
    if _OPENED_KEY in st.session_state:
        st.rerun()  # a fragment cannot change the page
    feeds = [get_camera_feeds().get(camera) for camera in list_cameras()]
    for feed in feeds:
        feed.request()
    style = session.get_preferences().style
    render_tiles(
        [build_camera_tile(feed, style) for feed in feeds],
        label="Cameras",
        key="cameras.tiles",
        on_open=_open_camera,
    )


def _open_camera(name: str) -> None:
    st.session_state[_OPENED_KEY] = name


def build_camera_tile(feed: SharedFeed, style: Style) -> Tile:
    """Return the tile of a camera: status, people in view and the last alert.

    Args:
        feed: the camera.
        style: names and colours of the classes.
    """
    frame, status, snapshot = feed.frame, feed.status, feed.state.get_snapshot()
    people, age = PeopleCount(), feed.describe_old_frame()
    if snapshot is not None and status.phase == "live" and not age:
        people = snapshot.people
    facts = (str(status), age.capitalize(), _describe_last_alert(feed.name, style))
    return Tile(
        title=feed.name,
        # Each still is shown once, so there is nothing that the browser could keep.
        image="" if frame is None else encode_data_url(frame.still),
        facts=tuple(filter(None, facts)),
        counts=[
            {**describe_class(label, style), "n": people.current[label]}
            for label in Label
            if people.current[label]
        ],
        phase=status.phase,
    )


def _describe_last_alert(name: str, style: Style) -> str:
    alert = service.get_last_camera_alert(name)
    if alert is None:
        return "No alert"
    time = alert.at.astimezone(service.get_time_zone()).strftime("%H:%M:%S")
    return f"Last alert {time}: {describe_event(alert, style)}"
