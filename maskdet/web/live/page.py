"""Live: the camera's image, analysed while it runs.

The Live page's parts: the stream, the numbers beside it, and the way around it.
"""

from __future__ import annotations

import functools
import logging
from typing import Any, Final

import streamlit as st
from streamlit_webrtc import WebRtcMode, WebRtcStreamerContext, webrtc_streamer
from streamlit_webrtc.component import (
    WebRtcStreamerState,
    generate_frontend_component_key,
)

from maskdet.analyzers.pipelines import resolve_analyzer
from maskdet.web import session
from maskdet.web.events import alerts, service
from maskdet.web.image.cache import ImageCache, render_result_preview
from maskdet.web.image.results import ImageResult
from maskdet.web.live import distance
from maskdet.web.live.connection import (
    ICE_SERVERS_VARIABLE,
    RECONNECT_DELAYS_S,
    StreamConnection,
    can_use_camera,
    get_rtc_configuration,
)
from maskdet.web.live.frames import make_callback
from maskdet.web.live.readouts import live_stats_html
from maskdet.web.live.state import LiveSession, LiveState, get_live_state
from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE as VIEWERS_VARIABLE
from maskdet.web.live.viewers import ViewerSlots, get_max_viewers
from maskdet.web.preferences import Preferences
from maskdet.web.server.uploads import MAX_IMAGE_MB, reject_large_files
from maskdet.web.widgets import escape_markdown, scene_cards_html

logger = logging.getLogger(__name__)

# `webrtc_streamer` keeps its own object under this key; ours must be called otherwise.
_STREAMER_KEY = "camera"
_CONNECTION_KEY = "maskdet.connection"
_BUTTON_KEY = "maskdet.pressed"
_STOPPED: Final = WebRtcStreamerState(playing=False, signalling=False)

# Whether a stream was stopped by its visitor or broke off, only the browser knows: the
# streamer tells the same of both. Nothing here may start a camera after Stop.
_BUTTON_LISTENER_JS: Final = """
const heard = new WeakSet();
let tell = () => {};
const listen = () => {
  const streamers = 'iframe[title="streamlit_webrtc.component.webrtc_streamer"]';
  for (const frame of document.querySelectorAll(streamers)) {
    const inside = frame.contentDocument;
    if (!inside || heard.has(inside)) continue;
    heard.add(inside);
    inside.addEventListener("click", (event) => {
      const name = event.target.closest("button")?.textContent?.trim();
      if (name === "Start" || name === "Stop") tell(name);
    }, true);
  }
};
export default function ({ setStateValue }) {
  tell = (name) => setStateValue("pressed", name);
  listen();
  const timer = setInterval(listen, 250);
  return () => clearInterval(timer);
}
"""
_button_listener = st.components.v2.component("maskdet.presses", js=_BUTTON_LISTENER_JS)


def render_stream(preferences: Preferences) -> WebRtcStreamerState:
    """Show the camera's image with its Start button; return its running state.

    The analyzer is loaded and warmed up first, so that no frame waits for a model.
    """
    # The places above the image are taken in any case: an image that moves down
    # the page is built anew by the browser, and so stops.
    loading_area, warning_area, video_area = st.container(), st.empty(), st.container()
    _button_listener(
        key=_BUTTON_KEY,
        default={"pressed": ""},
        on_pressed_change=lambda: None,
        width="content",
        height="content",
    )
    if _CONNECTION_KEY in st.session_state:
        # Else the visitor comes from another page, with which the last stream ended.
        _update_connection(get_connection(), _get_stream_state())
    stream_connection = get_connection()
    was_visible = stream_connection.streamer_visible
    stream_connection.server_full = not _try_admit(stream_connection)
    if not stream_connection.streamer_visible or not was_visible:
        # A streamer that is gone may still tell its state for a moment.
        st.session_state[_STREAMER_KEY] = WebRtcStreamerContext(None, _STOPPED)
    if stream_connection.server_full:
        stream_connection.cancel()  # Start is offered again, and no camera starts by itself
    if not stream_connection.streamer_visible:
        return _STOPPED
    with loading_area:
        analyzer_name = resolve_analyzer(preferences.analyzer, live=True)
        analyzer = session.get_analyzer(analyzer_name)
    state = get_live_state()
    state.set_preferences(preferences)
    live_session = state.get_or_create_session(
        analyzer_name, analyzer, service.create_stream_monitor(state.clock())
    )
    try:
        configuration = get_rtc_configuration()
    except ValueError as error:
        warning_area.warning(escape_markdown(f"{error}."), icon=":material/warning:")
        configuration = {"iceServers": []}
    try:
        with video_area:
            _render_streamer(preferences, configuration, state, live_session)
    except Exception:
        if not _get_stream_state().signalling:
            raise
        # An overloaded server takes too long to answer an offer, among others. The
        # visitor is told, and the streamer begins anew.
        logger.exception("live video could not be started")
        stream_connection.fail(state.clock())
        st.rerun()
    return _get_stream_state()


def _render_streamer(
    preferences: Preferences,
    configuration: dict[str, Any],
    state: LiveState,
    live_session: LiveSession,
) -> None:
    webrtc_streamer(
        key=_STREAMER_KEY,
        mode=WebRtcMode.SENDRECV,
        rtc_configuration=configuration,
        media_stream_constraints=_build_constraints(preferences),
        desired_playing_state=get_connection().desired_playing,
        queued_video_frames_callback=make_callback(state, live_session),
        on_video_ended=functools.partial(state.end_session, live_session),
        async_processing=True,
        sendback_audio=False,
        media_toggle_controls=False,
        video_html_attrs={
            "autoPlay": True,
            "controls": False,
            "muted": True,
            "playsInline": True,
            "style": _build_video_css(preferences),
        },
    )


def render_live_stats(stream_state: WebRtcStreamerState) -> None:
    """Show once a second what the stream says of itself, its last error, and alerts."""
    busy = (
        stream_state.playing
        or stream_state.signalling
        or get_connection().needs_updates
    )
    interval_s = 1.0 if busy or get_connection().server_full else None
    st.fragment(_render_stats, run_every=interval_s)()


def release_viewer_slot() -> None:
    """Free this session's place, as the visitor is on another page; no matter if none.

    A stream ends with its page by itself.
    """
    if _CONNECTION_KEY in st.session_state:
        del st.session_state[_CONNECTION_KEY]
        _get_viewer_slots().release(session.get_session_id())


def _get_stream_state() -> WebRtcStreamerState:
    """Return what the browser said last of its stream."""
    context: WebRtcStreamerContext[Any, Any] | None = st.session_state.get(
        _STREAMER_KEY
    )
    if context is None or not get_connection().streamer_visible:
        return _STOPPED
    return context.state


def _update_connection(
    stream_connection: StreamConnection, stream_state: WebRtcStreamerState
) -> bool:
    """Return whether something changed that the page shows outside of a fragment."""
    state = get_live_state()
    return stream_connection.update(
        playing=stream_state.playing,
        signalling=stream_state.signalling,
        last_button=_get_last_button(),
        last_frame_s=state.get_last_frame_s(),
        now_s=state.clock(),
    )


def _get_last_button() -> str:
    """Return the streamer's button that the visitor pressed last, if it is known."""
    button = (st.session_state.get(_BUTTON_KEY) or {}).get("pressed")
    return button if button in ("Start", "Stop") else ""


@st.cache_resource(show_spinner=False)
def _get_viewer_slots() -> ViewerSlots:
    return ViewerSlots(session.is_session_active)


def _get_viewer_limit() -> int:
    try:
        return get_max_viewers()
    except ValueError:
        return get_max_viewers({})  # `render_connection_help` says what is wrong


def _try_admit(stream_connection: StreamConnection) -> bool:
    """Return whether this session may have live video now, and take or free its place.

    A stream that broke off keeps its place while it connects again.
    """
    if stream_connection.needs_updates:
        return _get_viewer_slots().acquire(
            session.get_session_id(), _get_viewer_limit()
        )
    _get_viewer_slots().release(session.get_session_id())
    return _get_viewer_slots().has_free_slot(_get_viewer_limit())


def get_frontend_key() -> str:
    """Return the key under which the browser tells the streamer's state."""
    return generate_frontend_component_key(_STREAMER_KEY)


def get_connection() -> StreamConnection:
    """Return how this session's connection does."""
    if _CONNECTION_KEY not in st.session_state:
        st.session_state[_CONNECTION_KEY] = StreamConnection()
    current: StreamConnection = st.session_state[_CONNECTION_KEY]
    return current


def _build_constraints(preferences: Preferences) -> dict[str, Any]:
    fps = preferences.camera_fps
    video = {
        "width": {"ideal": preferences.camera_width},
        "height": {"ideal": preferences.camera_height},
        "frameRate": {"ideal": fps, "max": fps},
    }
    return {"video": video, "audio": False}


def _build_video_css(preferences: Preferences) -> dict[str, str]:
    """Return how the video is laid out.

    Its frame on the page does not grow with an image that is higher than wide, so
    that is shown inside the shape that the camera has.
    """
    style = {"width": "100%", "borderRadius": "8px"}
    if preferences.rotate % 180:
        shape = f"{preferences.camera_width} / {preferences.camera_height}"
        style |= {"aspectRatio": shape, "objectFit": "contain"}
    return style


def _render_stats() -> None:
    state = get_live_state()
    has_free_slot = get_connection().server_full and _get_viewer_slots().has_free_slot(
        _get_viewer_limit()
    )
    if _update_connection(get_connection(), _get_stream_state()) or has_free_slot:
        # What to do about it stands outside of this fragment.
        st.rerun()
    stats = state.get_stats()
    error_text = (
        f"Frames that could not be analysed since Start: {stats.n_failed}. "
        f"The last error: {escape_markdown(stats.last_error)}"
    )
    if stats.is_failing:
        st.error(error_text, icon=":material/error:")
    st.html(live_stats_html(stats, session.get_preferences().style))
    if stats.n_failed and not stats.is_failing:
        st.caption(error_text)
    alerts.render_new_alerts()


def render_connection_help() -> None:
    """Say why there is no image, once it is late or where none can be."""
    if not can_use_camera(st.context.url or ""):
        st.warning(
            "Browsers give a page the camera only over HTTPS or on localhost, and "
            "this page has neither. The Image page still takes files.",
            icon=":material/lock_open:",
        )
    try:
        max_sessions = get_max_viewers()
    except ValueError as error:
        max_sessions = _get_viewer_limit()
        st.warning(
            escape_markdown(f"{error}. Here it is {max_sessions}."),
            icon=":material/warning:",
        )
    if get_connection().server_full:
        visitors = "one visitor" if max_sessions == 1 else f"{max_sessions} visitors"
        st.warning(
            f"""**All places for live video are taken.** This server shows it to \
{visitors} at a time. This page lets you start as soon as a place is free. \
Whoever runs this server can set another number in `{VIEWERS_VARIABLE}`.

The snapshot below needs no place.""",
            icon=":material/group:",
        )
    _render_connection_status(get_connection())
    if get_connection().timed_out:
        st.warning(
            f"""**No connection after 10 seconds.** Your browser and this server do not
reach each other for live video. The usual reasons:

- a firewall or router stands between them. Whoever runs this server can set up a
  TURN server and name it in `{ICE_SERVERS_VARIABLE}`, as "Deployment" in the docs
  describes;
- the page was opened without HTTPS on another machine than the server's.

The snapshot below needs no live video and works in the meantime.""",
            icon=":material/wifi_off:",
        )


def _render_connection_status(stream_connection: StreamConnection) -> None:
    """Say that the stream broke off and what is done about it, if it did."""
    reasons = "The network was interrupted, or this server has too much to do."
    if stream_connection.reconnecting:
        st.warning(
            f"**The live video broke off.** {reasons} Connecting again: attempt "
            f"{stream_connection.attempt} of {len(RECONNECT_DELAYS_S)}.",
            icon=":material/sync:",
        )
        if stream_connection.phase == "lost":
            st.button(
                "Do not connect again", on_click=_cancel_reconnect, key="live.cancel"
            )
    elif stream_connection.phase == "given up":
        st.error(
            f"**The live video broke off**, and {len(RECONNECT_DELAYS_S)} attempts to "
            "connect "
            f"again failed. {reasons} Press **Start** to try it again.",
            icon=":material/sync_problem:",
        )
    elif stream_connection.phase == "ended":
        st.info(
            "The live video has ended. Press **Start** to see it again.",
            icon=":material/info:",
        )


def _cancel_reconnect() -> None:
    get_connection().cancel()


def render_snapshot(preferences: Preferences) -> None:
    """Offer one still image of the camera, which needs no WebRTC."""
    timed_out = get_connection().timed_out
    expander = st.expander(
        "No live video? Take a snapshot",
        # A key of its own opens it when it is needed, whatever it was before.
        expanded=timed_out,
        key="snapshot.late" if timed_out else "snapshot.early",
        icon=":material/photo_camera:",
        on_change="rerun",
    )
    # Only an open one asks for the camera: it may be in use by the live image.
    if expander.open:
        with expander:
            _analyze_snapshot(preferences)


def _analyze_snapshot(preferences: Preferences) -> None:
    photo = st.camera_input(
        "Take a snapshot",
        resolution="720p",
        key="snapshot.photo",
        label_visibility="collapsed",
    )
    if photo is None or not reject_large_files([photo], MAX_IMAGE_MB):
        return
    cache: ImageCache = st.session_state.setdefault("maskdet.album", ImageCache())
    source = cache.add_file(photo.name, photo.getvalue(), file_id=photo.file_id)
    # A still image has the time for the thorough one, and shares the Image page's.
    name = resolve_analyzer(preferences.analyzer, live=False)
    analyzer, settings = session.get_analyzer(name), preferences.settings
    analyzed = cache.get_or_analyze(
        source, analyzer, analyzer_name=name, settings=settings
    )
    if analyzed.error:
        st.error(escape_markdown(f"{analyzed.error}."), icon=":material/error:")
        return
    result, style = ImageResult(source, analyzed, settings), preferences.style
    st.image(render_result_preview(analyzed, settings, style))
    crops = result.crops(style)
    if crops:
        st.html(scene_cards_html(result.scene, crops, style))
    else:
        st.info("No face found. Come closer, with light on your face.")


def render_live_page() -> None:
    """Show the page."""
    st.title("Live")
    st.write(
        "Press **Start** and let the browser use the camera: everybody gets a number "
        "and a label, which they keep while they turn away."
    )
    preferences = session.get_preferences()
    video_column, stats_column = st.columns([7, 3], gap="medium")
    with video_column:
        stream_state = render_stream(preferences)
        render_connection_help()
        render_snapshot(preferences)
    with stats_column:
        render_live_stats(stream_state)
    distance.render_distance_section(stream_state)
