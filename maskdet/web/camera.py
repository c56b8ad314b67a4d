"""The Live page's parts: the stream, the numbers beside it, and the way around it."""

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

from maskdet.analyzer import resolved
from maskdet.web import events, events_alerts, session
from maskdet.web.cards import cards_html
from maskdet.web.connection import WAITS_S, Connection, camera_allowed
from maskdet.web.ice import VARIABLE, rtc_configuration
from maskdet.web.live import LiveState
from maskdet.web.live_frames import make_callback
from maskdet.web.live_run import Run
from maskdet.web.markdown import plain
from maskdet.web.pictures import Album, result_preview
from maskdet.web.preferences import Preferences
from maskdet.web.readings import readings_html
from maskdet.web.results import Result
from maskdet.web.uploads import MAX_PICTURE_MB, keep_within
from maskdet.web.viewers import VARIABLE as VIEWERS_VARIABLE
from maskdet.web.viewers import Viewers, max_viewers

logger = logging.getLogger(__name__)

# `webrtc_streamer` keeps its own object under this key; ours must be called otherwise.
_STREAMER = "camera"
_STATE = "maskdet.live"
_CONNECTION = "maskdet.connection"
_PRESSED = "maskdet.pressed"
_NOT_RUNNING: Final = WebRtcStreamerState(playing=False, signalling=False)

# Whether a stream was stopped by its visitor or broke off, only the browser knows: the
# streamer tells the same of both. Nothing here may start a camera after Stop.
_PRESSES: Final = """
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
_presses = st.components.v2.component("maskdet.presses", js=_PRESSES)


def stream(preferences: Preferences) -> WebRtcStreamerState:
    """Show the camera's picture with its Start button; return its running state.

    The analyzer is loaded and warmed up first, so that no frame waits for a model.
    """
    # The places above the picture are taken in any case: a picture that moves down
    # the page is built anew by the browser, and so stops.
    loading, warning, picture = st.container(), st.empty(), st.container()
    _presses(
        key=_PRESSED,
        default={"pressed": ""},
        on_pressed_change=lambda: None,
        width="content",
        height="content",
    )
    if _CONNECTION in st.session_state:
        # Else the visitor comes from another page, with which the last stream ended.
        _take_state(connection(), _stream_state())
    connecting = connection()
    was_shown = connecting.shown
    connecting.full = not _admitted(connecting)
    if not connecting.shown or not was_shown:
        # A streamer that is gone may still tell its state for a moment.
        st.session_state[_STREAMER] = WebRtcStreamerContext(None, _NOT_RUNNING)
    if connecting.full:
        connecting.cancel()  # Start is offered again, and no camera starts by itself
    if not connecting.shown:
        return _NOT_RUNNING
    with loading:
        name = resolved(preferences.analyzer, live=True)
        analyzer = session.analyzer(name)
    state = live_state()
    state.use(preferences)
    run = state.run(name, analyzer, events.witness(state.clock()))
    try:
        configuration = rtc_configuration()
    except ValueError as error:
        warning.warning(plain(f"{error}."), icon=":material/warning:")
        configuration = {"iceServers": []}
    try:
        with picture:
            _streamer(preferences, configuration, state, run)
    except Exception:
        if not _stream_state().signalling:
            raise
        # An overloaded server takes too long to answer an offer, among others. The
        # visitor is told, and the streamer begins anew.
        logger.exception("live video could not be started")
        connecting.fail(state.clock())
        st.rerun()
    return _stream_state()


def _streamer(
    preferences: Preferences, configuration: dict[str, Any], state: LiveState, run: Run
) -> None:
    webrtc_streamer(
        key=_STREAMER,
        mode=WebRtcMode.SENDRECV,
        rtc_configuration=configuration,
        media_stream_constraints=_constraints(preferences),
        desired_playing_state=connection().desired,
        queued_video_frames_callback=make_callback(state, run),
        on_video_ended=functools.partial(state.ended, run),
        async_processing=True,
        sendback_audio=False,
        media_toggle_controls=False,
        video_html_attrs={
            "autoPlay": True,
            "controls": False,
            "muted": True,
            "playsInline": True,
            "style": _style(preferences),
        },
    )


def numbers(stream_state: WebRtcStreamerState) -> None:
    """Show once a second what the stream says of itself, its last error, and alerts."""
    busy = stream_state.playing or stream_state.signalling or connection().busy
    interval_s = 1.0 if busy or connection().full else None
    st.fragment(_numbers, run_every=interval_s)()


def leave() -> None:
    """Free this session's place, as the visitor is on another page; no matter if none.

    A stream ends with its page by itself.
    """
    if _CONNECTION in st.session_state:
        del st.session_state[_CONNECTION]
        _viewers().leave(session.own_id())


def _stream_state() -> WebRtcStreamerState:
    """Return what the browser said last of its stream."""
    context: WebRtcStreamerContext[Any, Any] | None = st.session_state.get(_STREAMER)
    if context is None or not connection().shown:
        return _NOT_RUNNING
    return context.state


def _take_state(connecting: Connection, running: WebRtcStreamerState) -> bool:
    """Return whether something changed that the page shows outside of a fragment."""
    state = live_state()
    return connecting.update(
        playing=running.playing,
        signalling=running.signalling,
        pressed=_pressed(),
        frame_s=state.last_frame_s(),
        now_s=state.clock(),
    )


def _pressed() -> str:
    """Return the streamer's button that the visitor pressed last, if it is known."""
    told = (st.session_state.get(_PRESSED) or {}).get("pressed")
    return told if told in ("Start", "Stop") else ""


@st.cache_resource(show_spinner=False)
def _viewers() -> Viewers:
    return Viewers(session.is_active)


def _limit() -> int:
    try:
        return max_viewers()
    except ValueError:
        return max_viewers({})  # `help_with_camera` says what is wrong


def _admitted(connecting: Connection) -> bool:
    """Return whether this session may have live video now, and take or free its place.

    A stream that broke off keeps its place while it connects again.
    """
    if connecting.busy:
        return _viewers().admit(session.own_id(), _limit())
    _viewers().leave(session.own_id())
    return _viewers().has_room(_limit())


def frontend_key() -> str:
    """Return the key under which the browser tells the streamer's state."""
    return generate_frontend_component_key(_STREAMER)


def live_state() -> LiveState:
    """Return this session's live picture."""
    if _STATE not in st.session_state:
        st.session_state[_STATE] = LiveState(session.preferences())
    state: LiveState = st.session_state[_STATE]
    return state


def connection() -> Connection:
    """Return how this session's connection does."""
    if _CONNECTION not in st.session_state:
        st.session_state[_CONNECTION] = Connection()
    found: Connection = st.session_state[_CONNECTION]
    return found


def _constraints(preferences: Preferences) -> dict[str, Any]:
    fps = preferences.camera_fps
    video = {
        "width": {"ideal": preferences.camera_width},
        "height": {"ideal": preferences.camera_height},
        "frameRate": {"ideal": fps, "max": fps},
    }
    return {"video": video, "audio": False}


def _style(preferences: Preferences) -> dict[str, str]:
    """Return how the video is laid out.

    Its frame on the page does not grow with a picture that is higher than wide, so
    that is shown inside the shape that the camera has.
    """
    style = {"width": "100%", "borderRadius": "8px"}
    if preferences.rotate % 180:
        shape = f"{preferences.camera_width} / {preferences.camera_height}"
        style |= {"aspectRatio": shape, "objectFit": "contain"}
    return style


def _numbers() -> None:
    state = live_state()
    let_in = connection().full and _viewers().has_room(_limit())
    if _take_state(connection(), _stream_state()) or let_in:
        # What to do about it stands outside of this fragment.
        st.rerun()
    reading = state.reading()
    failed = (
        f"Frames that could not be analysed since Start: {reading.n_failed}. "
        f"The last error: {plain(reading.last_error)}"
    )
    if reading.failing:
        st.error(failed, icon=":material/error:")
    st.html(readings_html(reading, session.preferences().style))
    if reading.n_failed and not reading.failing:
        st.caption(failed)
    events_alerts.announce()


def help_with_camera() -> None:
    """Say why there is no picture, once it is late or where none can be."""
    if not camera_allowed(st.context.url or ""):
        st.warning(
            "Browsers give a page the camera only over HTTPS or on localhost, and "
            "this page has neither. The Image page still takes files.",
            icon=":material/lock_open:",
        )
    try:
        limit = max_viewers()
    except ValueError as error:
        limit = _limit()
        st.warning(plain(f"{error}. Here it is {limit}."), icon=":material/warning:")
    if connection().full:
        visitors = "one visitor" if limit == 1 else f"{limit} visitors"
        st.warning(
            f"""**All places for live video are taken.** This server shows it to \
{visitors} at a time. This page lets you start as soon as a place is free. \
Whoever runs this server can set another number in `{VIEWERS_VARIABLE}`.

The snapshot below needs no place.""",
            icon=":material/group:",
        )
    _what_happened(connection())
    if connection().late:
        st.warning(
            f"""**No connection after 10 seconds.** Your browser and this server do not
reach each other for live video. The usual reasons:

- a firewall or router stands between them. Whoever runs this server can set up a
  TURN server and name it in `{VARIABLE}`, as "Deployment" in the docs describes;
- the page was opened without HTTPS on another machine than the server's.

The snapshot below needs no live video and works in the meantime.""",
            icon=":material/wifi_off:",
        )


def _what_happened(connecting: Connection) -> None:
    """Say that the stream broke off and what is done about it, if it did."""
    reasons = "The network was interrupted, or this server has too much to do."
    if connecting.reconnecting:
        st.warning(
            f"**The live video broke off.** {reasons} Connecting again: attempt "
            f"{connecting.attempt} of {len(WAITS_S)}.",
            icon=":material/sync:",
        )
        if connecting.phase == "lost":
            st.button("Do not connect again", on_click=_cancel, key="live.cancel")
    elif connecting.phase == "given up":
        st.error(
            f"**The live video broke off**, and {len(WAITS_S)} attempts to connect "
            f"again failed. {reasons} Press **Start** to try it again.",
            icon=":material/sync_problem:",
        )
    elif connecting.phase == "ended":
        st.info(
            "The live video has ended. Press **Start** to see it again.",
            icon=":material/info:",
        )


def _cancel() -> None:
    connection().cancel()


def snapshot(preferences: Preferences) -> None:
    """Offer one still picture of the camera, which needs no WebRTC."""
    late = connection().late
    offered = st.expander(
        "No live video? Take a snapshot",
        # A key of its own opens it when it is needed, whatever it was before.
        expanded=late,
        key="snapshot.late" if late else "snapshot.early",
        icon=":material/photo_camera:",
        on_change="rerun",
    )
    # Only an open one asks for the camera: it may be in use by the live picture.
    if offered.open:
        with offered:
            _snapshot(preferences)


def _snapshot(preferences: Preferences) -> None:
    photo = st.camera_input(
        "Take a snapshot",
        resolution="720p",
        key="snapshot.photo",
        label_visibility="collapsed",
    )
    if photo is None or not keep_within([photo], MAX_PICTURE_MB):
        return
    album: Album = st.session_state.setdefault("maskdet.album", Album())
    source = album.source(photo.name, photo.getvalue(), file_id=photo.file_id)
    # A still picture has the time for the thorough one, and shares the Image page's.
    name = resolved(preferences.analyzer, live=False)
    analyzer, settings = session.analyzer(name), preferences.settings
    picture = album.picture(source, analyzer, name=name, settings=settings)
    if picture.error:
        st.error(plain(f"{picture.error}."), icon=":material/error:")
        return
    found, style = Result(source, picture, settings), preferences.style
    st.image(result_preview(picture, settings, style))
    crops = found.crops(style)
    if crops:
        st.html(cards_html(found.scene, crops, style))
    else:
        st.info("No face found. Come closer, with light on your face.")
