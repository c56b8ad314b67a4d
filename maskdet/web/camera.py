"""The Live page's parts: the stream, the numbers beside it, and the way around it."""

from __future__ import annotations

import functools
from typing import Any

import streamlit as st
from streamlit_webrtc import WebRtcMode, webrtc_streamer
from streamlit_webrtc.component import generate_frontend_component_key

from maskdet.analyzer import resolved
from maskdet.web import events, events_alerts, session
from maskdet.web.cards import cards_html
from maskdet.web.connection import Connection, camera_allowed
from maskdet.web.ice import VARIABLE, rtc_configuration
from maskdet.web.live import LiveState
from maskdet.web.live_frames import make_callback
from maskdet.web.markdown import plain
from maskdet.web.pictures import Album, result_preview
from maskdet.web.preferences import Preferences
from maskdet.web.readings import readings_html
from maskdet.web.results import Result
from maskdet.web.uploads import MAX_PICTURE_MB, keep_within

# `webrtc_streamer` keeps its own object under this key; ours must be called otherwise.
_STREAMER = "camera"
_STATE = "maskdet.live"
_CONNECTION = "maskdet.connection"


def stream(preferences: Preferences) -> Any:
    """Show the camera's picture with its Start button; return its running state.

    The analyzer is loaded and warmed up first, so that no frame waits for a model.
    """
    # The places above the picture are taken in any case: a picture that moves down
    # the page is built anew by the browser, and so stops.
    loading, warning = st.container(), st.empty()
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
    context = webrtc_streamer(
        key=_STREAMER,
        mode=WebRtcMode.SENDRECV,
        rtc_configuration=configuration,
        media_stream_constraints=_constraints(preferences),
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
    return context.state


def numbers(stream_state: Any) -> None:
    """Show once a second what the stream says of itself, its last error, and alerts."""
    interval_s = 1.0 if stream_state.playing or stream_state.signalling else None
    st.fragment(_numbers, run_every=interval_s)()


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
    state, context = live_state(), st.session_state[_STREAMER].state
    connecting = connection()
    was_late = connecting.late
    late = connecting.update(
        playing=context.playing,
        signalling=context.signalling,
        now_s=state.clock(),
    )
    if late != was_late:
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
