"""Where live video comes from: this browser, a network camera, or the sample video."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import streamlit as st

from maskdet.html_templates import render_html
from maskdet.media import open_video
from maskdet.serving.preferences import LiveSourceName
from maskdet.web import session
from maskdet.web.cameras.config import (
    OTHER_CAMERA,
    Camera,
    make_entered_camera,
    may_enter_url,
    read_cameras,
)
from maskdet.web.cameras.feed import CameraFeed
from maskdet.web.cameras.feeds import (
    SharedFeed,
    get_camera_feeds,
    play_in_real_time,
)
from maskdet.web.cameras.track import FeedOutlet
from maskdet.web.events import service
from maskdet.web.live.state import LiveState, get_live_state
from maskdet.web.metrics import SAMPLE, CameraMetrics
from maskdet.web.widgets import VIDEO_SAMPLE, escape_markdown

if TYPE_CHECKING:
    from markupsafe import Markup

FEED_PART: Final = "feed"
"""Name of the part of the page with the line on a network camera."""

_FEED_TEMPLATE: Final = '<p class="maskdet-note">{{ name }}: {{ facts }}.</p>'

BROWSER_STREAMER_KEY: Final = "camera"
"""Key of the streamer of the browser's camera; the other keys end like it."""

_TITLES: Final[dict[LiveSourceName, str]] = {
    "browser": "This browser's camera",
    "network": "Network camera",
    "sample": "Sample video",
}

_INTRODUCTIONS: Final[dict[LiveSourceName, str]] = {
    "browser": "Press **Start** and allow the camera; no image is recorded.",
    "network": "The server reads the camera, once for all who watch it.",
    "sample": "A video of twelve seconds, again and again; press **Start**.",
}

_SOURCE_KEY: Final = "live.source"
_CAMERA_KEY: Final = "live.network"
_URL_KEY: Final = "live.url"
_ENTERED_KEY: Final = "maskdet.entered_feed"
_PROBLEM_KEY: Final = "maskdet.camera_problem"
_SAMPLE_KEY: Final = "maskdet.sample_feed"
_OUTLET_KEY: Final = "maskdet.outlet"
_START_KEY: Final = "maskdet.start"

# Nobody else watches the sample, and its summary is shown when it has ended.
_SAMPLE_LINGER_S: Final = 0.0


@dataclass(frozen=True)
class LiveSource:
    """A source that the visitor has chosen.

    Attributes:
        name: the kind of source.
        feed: what the server reads; `None` for the browser's camera, or if there is no
            camera yet.
    """

    name: LiveSourceName
    feed: CameraFeed | None = None

    @property
    def is_ready(self) -> bool:
        """Whether there is something to start."""
        return self.name == "browser" or self.feed is not None

    @property
    def introduction(self) -> str:
        """What the page says about the source, as Markdown."""
        return _INTRODUCTIONS[self.name]

    @property
    def streamer_key(self) -> str:
        """Key of the streamer; each source has its own, as it is another connection."""
        if self.name == "browser":
            return BROWSER_STREAMER_KEY
        number = self.feed.number if isinstance(self.feed, SharedFeed) else ""
        return f"{self.name}{number}.{BROWSER_STREAMER_KEY}"


def play_sample() -> None:
    """Choose the sample video and start it; a callback."""
    _choose("sample")
    request_start()


def open_network_camera(name: str) -> None:
    """Choose a named camera and start it; call it before the Live page runs."""
    _choose("network", name)
    request_start()


def request_start() -> None:
    """Start the chosen source without a further click."""
    st.session_state[_START_KEY] = True


def pop_start_request() -> bool:
    """Return whether the chosen source must start now, once."""
    return bool(st.session_state.pop(_START_KEY, False))


def render_source_choice() -> LiveSource:
    """Render the choice of the source; return it."""
    st.session_state[_SOURCE_KEY] = session.get_preferences().source
    name = st.segmented_control(
        "Source of the video",
        list(_TITLES),
        format_func=_format_source,
        required=True,
        label_visibility="collapsed",
        key=_SOURCE_KEY,
        on_change=lambda: _choose(st.session_state[_SOURCE_KEY]),
        wrap=True,
    )
    if name == "network":
        return LiveSource(name, _render_camera_choice())
    if name == "sample":
        return LiveSource(name, _get_sample_feed())
    return LiveSource("browser")


def _format_source(name: LiveSourceName) -> str:
    return _TITLES[name]


def get_outlet(feed: CameraFeed) -> FeedOutlet:
    """Return what sends a feed to this visitor; that of another feed is closed."""
    outlet: FeedOutlet | None = st.session_state.get(_OUTLET_KEY)
    if outlet is None or outlet.feed is not feed:
        close_outlet()
        outlet = st.session_state[_OUTLET_KEY] = FeedOutlet(feed)
    return outlet


def close_outlet() -> None:
    """End the video of a feed to this visitor, if there is one."""
    outlet: FeedOutlet | None = st.session_state.pop(_OUTLET_KEY, None)
    if outlet is not None:
        outlet.close()


def render_feed_status(feed: SharedFeed) -> None:
    """Render why a network camera is not live, if so."""
    status, name = feed.status, escape_markdown(feed.name)
    if status.phase == "reconnecting":
        st.warning(
            f"**{name} is not available.** {escape_markdown(status.reason)}",
            icon=":material/sync:",
        )
    elif status.phase == "refused":
        _render_refusal(feed)
    elif status.phase == "connecting":
        st.info(f"Connecting to **{name}** …", icon=":material/sync:")


def watch_feed(feed: SharedFeed) -> Callable[[], Markup]:
    """Return a function for any thread: a line on a network camera, as HTML.

    It tells whether the camera is live, how many watch it, and whose settings it has.
    """
    settings = (
        "your settings in the sidebar act for everyone who watches"
        if service.is_admin()
        else "its settings are those of this server; yours do not act on it"
    )

    def render_line() -> Markup:
        live = "live" if feed.status.phase == "live" else ""
        viewers = f"{feed.n_viewers} watching" if feed.n_viewers > 1 else ""
        facts = filter(None, (feed.describe_old_frame() or live, viewers, settings))
        return render_html(_FEED_TEMPLATE, name=feed.name, facts=", ".join(facts))

    return render_line


def watch_video_state(
    feed: CameraFeed | None, *, has_distances: bool
) -> Callable[[], bool]:
    """Return a function for any thread: whether the video has another state than now.

    The page then has to show another summary, message or section.

    Args:
        feed: what the server reads, if anything.
        has_distances: whether distances are measured, which depends on the frame size.
    """
    state = get_live_state()

    def read() -> tuple[object, ...]:
        snapshot = state.get_snapshot() if has_distances else None
        return (
            state.is_private and state.is_running(),
            None if snapshot is None else snapshot.size_wh,
            feed.status if isinstance(feed, SharedFeed) else None,
        )

    shown = read()
    return lambda: read() != shown


def _render_refusal(feed: SharedFeed) -> None:
    """Say why a camera is not tried again; those who may set it can retry."""
    reason = escape_markdown(feed.status.reason)
    may_retry = service.is_admin() or not feed.camera.is_named
    hint = ", or press **Retry**." if may_retry else ". The administrator can do so."
    st.error(
        f"**{escape_markdown(feed.name)} is not available.** {reason}{hint}",
        icon=":material/lock:",
    )
    if may_retry:
        st.button("Retry", on_click=feed.retry, key="live.retry")


def _choose(source: LiveSourceName, camera: str = "") -> None:
    preferences = session.get_preferences()
    camera = camera or preferences.camera
    session.store_preferences(
        dataclasses.replace(preferences, source=source, camera=camera)
    )


def _get_sample_feed() -> CameraFeed:
    """Return this visitor's own feed of the sample video."""
    if _SAMPLE_KEY not in st.session_state:
        state = LiveState(session.get_preferences(), metrics=CameraMetrics(SAMPLE))
        st.session_state[_SAMPLE_KEY] = CameraFeed(
            _TITLES["sample"],
            lambda: play_in_real_time(lambda: open_video(VIDEO_SAMPLE.path)),
            state,
            lambda: state.active_session,
            linger_s=_SAMPLE_LINGER_S,
        )
    feed: CameraFeed = st.session_state[_SAMPLE_KEY]
    return feed


def _render_camera_choice() -> SharedFeed | None:
    """Render the choice of a network camera; return its feed."""
    try:
        cameras = read_cameras()
    except ValueError as error:
        st.error(escape_markdown(f"{error}."), icon=":material/error:")
        cameras = ()
    may_enter = may_enter_url(is_admin=service.is_admin())
    names = [camera.name for camera in cameras] + [OTHER_CAMERA] * may_enter
    if not names:
        st.info(
            "This server has no network cameras. Its administrator can add some with "
            "`maskdet app --camera NAME=rtsp://...`.",
            icon=":material/videocam_off:",
        )
        return None
    name = _select_camera(names) if cameras else OTHER_CAMERA
    if name != OTHER_CAMERA:
        camera = next(camera for camera in cameras if camera.name == name)
        return get_camera_feeds().get(camera)
    _render_url_form(cameras)
    entered: SharedFeed | None = st.session_state.get(_ENTERED_KEY)
    return entered


def _select_camera(names: Sequence[str]) -> str:
    wanted = session.get_preferences().camera
    if wanted and wanted not in names:
        st.warning(
            escape_markdown(f"This server has no camera named {wanted!r}."),
            icon=":material/warning:",
        )
    st.session_state[_CAMERA_KEY] = wanted if wanted in names else names[0]
    name: str = st.selectbox(
        "Network camera",
        names,
        format_func=_format_camera,
        key=_CAMERA_KEY,
        on_change=lambda: _choose("network", st.session_state[_CAMERA_KEY]),
        label_visibility="collapsed",
        width=360,
    )
    return name


def _format_camera(name: str) -> str:
    return "Other camera …" if name == OTHER_CAMERA else name


def _render_url_form(cameras: Sequence[Camera]) -> None:
    # The page never shows a URL again, as it may contain a password.
    form = st.form("live.url_form", clear_on_submit=True, border=False)
    with form.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Camera URL",
            placeholder="rtsp://user:password@192.168.1.20/stream",
            key=_URL_KEY,
            autocomplete="off",
            help="The server connects to the camera; RTSP or HTTP (MJPEG, "
            "snapshots). The server forgets the URL some minutes after you close "
            "the page.",
        )
        st.form_submit_button(
            "Connect", type="primary", on_click=_enter_url, args=(cameras,)
        )
    if problem := st.session_state.get(_PROBLEM_KEY):
        st.error(escape_markdown(problem), icon=":material/error:")


def _enter_url(cameras: Sequence[Camera]) -> None:
    try:
        camera = make_entered_camera(st.session_state[_URL_KEY], cameras)
    except ValueError as error:
        st.session_state[_PROBLEM_KEY] = f"Not connected: {error}."
        return
    st.session_state[_PROBLEM_KEY] = ""
    feed = st.session_state[_ENTERED_KEY] = get_camera_feeds().get(camera)
    feed.retry()  # the same URL again is an attempt
    request_start()
