"""The Live page: WebRTC stream, metrics, connection help and snapshot."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import streamlit as st
from streamlit_webrtc import (
    WebRtcMode,
    WebRtcStreamerContext,
    WebRtcStreamerState,
    webrtc_streamer,
)

from maskdet.analyzers.pipelines import resolve_analyzer
from maskdet.media import encode_jpeg, read_image, resize_image
from maskdet.serving.preferences import Preferences
from maskdet.web import session
from maskdet.web.cameras.feed import CameraFeed
from maskdet.web.cameras.feeds import SharedFeed
from maskdet.web.components import load_component, to_media_url
from maskdet.web.events import alerts, service
from maskdet.web.image.page import choose_sample
from maskdet.web.live import distance
from maskdet.web.live.connection import (
    ICE_SERVERS_VARIABLE,
    RECONNECT_DELAYS_S,
    StreamConnection,
    can_use_camera,
    describe_camera_error,
    get_rtc_configuration,
)
from maskdet.web.live.frames import make_callback
from maskdet.web.live.last_run import render_last_run
from maskdet.web.live.photo import render_photo
from maskdet.web.live.placeholder import (
    PLACE_KEY,
    get_example_url,
    render_placeholder,
)
from maskdet.web.live.readouts import (
    PERFORMANCE,
    PERFORMANCE_DETAILS,
    READOUTS,
    make_parts,
    render_parts,
    render_readouts_css,
)
from maskdet.web.live.sources import (
    BROWSER_STREAMER_KEY,
    FEED_PART,
    LiveSource,
    close_outlet,
    get_outlet,
    play_sample,
    pop_start_request,
    render_feed_status,
    render_source_choice,
    watch_feed,
    watch_video_state,
)
from maskdet.web.live.state import (
    get_live_state,
    get_own_live_state,
    show_live_state,
)
from maskdet.web.live.viewers import MAX_VIEWERS_VARIABLE as VIEWERS_VARIABLE
from maskdet.web.live.viewers import ViewerSlots, get_max_viewers
from maskdet.web.server import streamlit_patches
from maskdet.web.server.updates import PageUpdates, PublishedRun
from maskdet.web.theme import make_page_columns
from maskdet.web.tiles import Tile, render_tiles
from maskdet.web.widgets import (
    IMAGE_SAMPLES,
    VIDEO_SAMPLE,
    escape_markdown,
)

if TYPE_CHECKING:
    from markupsafe import Markup
    from streamlit_webrtc.config import Translations

logger = logging.getLogger(__name__)

_STREAMER_KEY = "maskdet.streamer"
"""Where the session has the key of the streamer that the page shows."""

_CONNECTION_KEY = "maskdet.connection"
_BUTTON_KEY = "maskdet.button"
_UPDATES_KEY = "maskdet.updates"
_OPENED_SAMPLE_KEY = "maskdet.opened_sample"
_THUMBNAIL_WIDTH: Final = 320
_CROPS_KEY = "live.crops"
_STOPPED: Final = WebRtcStreamerState(playing=False, signalling=False)

_TRANSLATIONS: Final[Translations] = {
    "select_device": "Choose camera",
    "media_api_not_available": "This browser offers no camera to this page.",
    "device_ask_permission": "Allow the camera in the browser.",
    "device_not_available": "No camera was found.",
    "device_access_denied": "The browser may not use the camera. Allow it with the "
    "camera symbol in the address bar.",
}


def render_stream(preferences: Preferences, source: LiveSource) -> WebRtcStreamerState:
    """Render the live video with its Start button; return its state.

    The analyzer is loaded and warmed up first, so that no frame waits for a model.

    Args:
        preferences: of this visitor.
        source: what is shown; it must be ready.
    """
    # Nothing jumps at Start: most cameras of browsers are 4:3, others are not.
    shape = "4 / 3" if source.name == "browser" else "16 / 9"
    # Reserve the places above the video: the browser rebuilds a video that moves
    # down the page, which would stop it.
    loading_area, warning_area = st.container(), st.empty()
    video_area = st.container(key=PLACE_KEY)
    load_component("maskdet.web.live", "streamer_listener")(
        key=_get_button_key(),
        data={"example": get_example_url(), "shape": shape},
        default={"pressed": "", "camera_error": ""},
        on_pressed_change=lambda: None,
        on_camera_error_change=lambda: None,
        width="content",
        height="content",
    )
    if _CONNECTION_KEY in st.session_state:
        # Otherwise the visitor comes from another page, and the last stream has ended.
        _update_connection(get_connection(), _get_stream_state())
        streamlit_patches.keep_stream(st.session_state.get(source.streamer_key))
    stream_connection = get_connection()
    if pop_start_request():
        stream_connection.start(get_live_state().clock())
    was_visible = stream_connection.streamer_visible
    stream_connection.server_full = not _try_admit(stream_connection)
    if not stream_connection.streamer_visible or not was_visible:
        # A removed streamer may still report its state for a moment.
        st.session_state[source.streamer_key] = WebRtcStreamerContext(None, _STOPPED)
    if stream_connection.server_full:
        stream_connection.cancel()  # the visitor must press Start again
    if not stream_connection.streamer_visible:
        return _STOPPED
    with video_area:
        is_starting = stream_connection.phase == "starting"
        render_placeholder(shape, is_starting=is_starting)
    with loading_area:
        options = _prepare_source(preferences, source)
    try:
        configuration = get_rtc_configuration()
    except ValueError as error:
        warning_area.warning(escape_markdown(f"{error}."), icon=":material/warning:")
        configuration = {"iceServers": []}
    try:
        with video_area:
            _render_streamer(preferences, configuration, source, options)
    except Exception:
        if not _get_stream_state().signalling:
            raise
        # For example, an overloaded server takes too long to process an offer. Report
        # it on the page and recreate the streamer.
        logger.exception("live video could not be started")
        stream_connection.fail(get_live_state().clock())
        st.rerun()
    return _get_stream_state()


def _switch_source(source: LiveSource) -> None:
    """Show the live state of a source; end the video of the previous one."""
    previous_key = st.session_state.get(_STREAMER_KEY, source.streamer_key)
    st.session_state[_STREAMER_KEY] = source.streamer_key
    show_live_state(source.feed.state if source.feed else get_own_live_state())
    if previous_key == source.streamer_key:
        return
    # The browser notices only after half a minute that nobody shows the video.
    release_viewer_slot()
    st.session_state.pop(distance.STILL_KEY, None)
    previous = st.session_state.get(previous_key)
    input_track = getattr(previous, "input_video_track", None)
    if input_track is not None:
        input_track.stop()


def _prepare_source(preferences: Preferences, source: LiveSource) -> dict[str, Any]:
    """Prepare the analysis of a source; return its options of `webrtc_streamer`."""
    if isinstance(source.feed, SharedFeed):
        if service.is_admin():
            source.feed.apply_preferences(preferences)
        return _get_feed_options(source.feed)
    state = get_live_state()
    state.set_preferences(preferences)
    analyzer_name = resolve_analyzer(preferences.analyzer, live=True)
    analyzer = session.get_analyzer(analyzer_name)
    if source.feed is not None:  # its events are not those of a camera
        state.get_or_create_session(analyzer_name, analyzer)
        return _get_feed_options(source.feed)
    live_session = state.get_or_create_session(
        analyzer_name, analyzer, service.create_stream_monitor(state.clock())
    )
    return {
        "mode": WebRtcMode.SENDRECV,
        "media_stream_constraints": _build_constraints(preferences),
        "queued_video_frames_callback": make_callback(state, live_session),
        "on_video_ended": functools.partial(state.end_session, live_session),
    }


def _get_feed_options(feed: CameraFeed) -> dict[str, Any]:
    return {"mode": WebRtcMode.RECVONLY, "player_factory": get_outlet(feed)}


def _render_streamer(
    preferences: Preferences,
    configuration: dict[str, Any],
    source: LiveSource,
    options: dict[str, Any],
) -> None:
    webrtc_streamer(
        key=source.streamer_key,
        **options,
        rtc_configuration=configuration,
        desired_playing_state=get_connection().desired_playing,
        async_processing=True,
        sendback_audio=False,
        media_toggle_controls=False,
        translations=_TRANSLATIONS,
        video_html_attrs={
            "autoPlay": True,
            "controls": False,
            "muted": True,
            "playsInline": True,
            "style": _build_video_css(preferences),
        },
    )


def release_viewer_slot() -> None:
    """Free this session's viewer slot, if any; call it on every other page.

    The video of a feed ends too; that of the browser's camera ends when the page no
    longer shows it.
    """
    close_outlet()
    st.session_state.pop(_UPDATES_KEY, None)
    if _CONNECTION_KEY in st.session_state:
        del st.session_state[_CONNECTION_KEY]
        _get_viewer_slots().release(session.get_session_id())


def _get_stream_state() -> WebRtcStreamerState:
    """Return the stream state that the browser reported last."""
    context: WebRtcStreamerContext[Any, Any] | None = st.session_state.get(
        st.session_state.get(_STREAMER_KEY, BROWSER_STREAMER_KEY)
    )
    if context is None or not get_connection().streamer_visible:
        return _STOPPED
    return context.state


def _watch_stream(
    stream_state: WebRtcStreamerState,
) -> Callable[[], dict[str, Any]]:
    """Return a function for any thread: what `StreamConnection.update` needs now."""
    state, last_button = get_live_state(), _get_last_button()
    is_own_camera = st.session_state.get(_STREAMER_KEY) == BROWSER_STREAMER_KEY

    def observe() -> dict[str, Any]:
        now_s = state.clock()
        return {
            "playing": stream_state.playing,
            "signalling": stream_state.signalling,
            "last_button": last_button,
            # The server sends the last frame again while it has no connection to a
            # camera.
            "last_frame_s": state.get_last_frame_s() if is_own_camera else now_s,
            "now_s": now_s,
        }

    return observe


def _update_connection(
    stream_connection: StreamConnection, stream_state: WebRtcStreamerState
) -> bool:
    """Update the connection; return whether the page must rerun to show a change."""
    return stream_connection.update(**_watch_stream(stream_state)())


def _get_camera_error() -> str:
    """Return why the browser could not open the camera; empty if it could."""
    name = (st.session_state.get(_get_button_key()) or {}).get("camera_error")
    return describe_camera_error(name) if isinstance(name, str) else ""


def _get_last_button() -> str:
    """Return the streamer's button that was pressed last, or an empty string."""
    button = (st.session_state.get(_get_button_key()) or {}).get("pressed")
    return button if button in ("Start", "Stop") else ""


def _get_button_key() -> str:
    """Return the key of the listener; that of a new source knows no button yet."""
    return f"{_BUTTON_KEY}.{st.session_state.get(_STREAMER_KEY, '')}"


@st.cache_resource(show_spinner=False)
def _get_viewer_slots() -> ViewerSlots:
    return ViewerSlots(streamlit_patches.is_session_active)


def _get_viewer_limit() -> int:
    try:
        return get_max_viewers()
    except ValueError:
        return get_max_viewers({})  # `render_connection_help` reports the error


def _try_admit(stream_connection: StreamConnection) -> bool:
    """Take or free this session's viewer slot; return whether it may have live video.

    An interrupted stream keeps its slot while it reconnects.
    """
    if stream_connection.needs_updates:
        return _get_viewer_slots().acquire(
            session.get_session_id(), _get_viewer_limit()
        )
    _get_viewer_slots().release(session.get_session_id())
    return _get_viewer_slots().has_free_slot(_get_viewer_limit())


def get_frontend_key() -> str:
    """Return the end of the keys under which the browser reports streamers."""
    return streamlit_patches.get_streamer_key(BROWSER_STREAMER_KEY)


def get_connection() -> StreamConnection:
    """Return the connection of this session."""
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
    """Return the CSS of the video element.

    The element does not grow with a portrait video, so a rotated video is fitted into
    the aspect ratio of the camera.
    """
    style = {"width": "100%", "borderRadius": "8px"}
    if preferences.rotate % 180:
        shape = f"{preferences.camera_width} / {preferences.camera_height}"
        style |= {"aspectRatio": shape, "objectFit": "contain"}
    return style


def _watch_page(is_outdated: Callable[[], bool]) -> Callable[[], bool]:
    """Return a function for any thread: whether the page must run to show a change.

    Args:
        is_outdated: from `watch_video_state`, before this run of the page.
    """
    stream_connection = get_connection()
    observe = _watch_stream(_get_stream_state())
    slots, limit = _get_viewer_slots(), _get_viewer_limit()
    has_new_alerts = alerts.watch_new_alerts()

    def must_run() -> bool:
        return (
            stream_connection.is_due(**observe())
            or (stream_connection.server_full and slots.has_free_slot(limit))
            or is_outdated()
            or has_new_alerts()
        )

    return must_run


def _watch_parts(
    feed: CameraFeed | None, *, has_distances: bool
) -> Callable[[], dict[str, Markup]]:
    """Return a function for any thread: the current HTML of all parts."""
    state, style = get_live_state(), session.get_preferences().style
    zone, slots = service.get_time_zone(), _get_viewer_slots()
    more: dict[str, Callable[[], Markup]] = {}
    if has_distances:
        more[distance.PART] = distance.watch_distances()
    if isinstance(feed, SharedFeed):
        more[FEED_PART] = watch_feed(feed)

    def render_all() -> dict[str, Markup]:
        parts = make_parts(
            state.get_stats(),
            style,
            zone,
            n_viewers=slots.count(),
            show_crops=state.keeps_crops,
        )
        return parts | {name: render() for name, render in more.items()}

    return render_all


def _render_stats(
    source: LiveSource, is_outdated: Callable[[], bool], *, has_distances: bool
) -> PublishedRun:
    """Render the readouts, new alerts, and what renews them while video runs.

    Args:
        source: what the page shows.
        is_outdated: from `watch_video_state`, before this run of the page.
        has_distances: whether the page has a part for distances.

    Returns:
        What this run of the page has published.
    """
    state, stream_connection = get_live_state(), get_connection()
    stream_state = _get_stream_state()
    is_free = _get_viewer_slots().has_free_slot(_get_viewer_limit())
    if _update_connection(stream_connection, stream_state) or (
        stream_connection.server_full and is_free
    ):
        st.rerun()  # the related messages are above
    style = session.get_preferences().style
    state.keeps_crops = st.session_state.get(_CROPS_KEY, False) and not style.blur
    readouts_area = st.container()
    alerts.render_new_alerts()
    if _UPDATES_KEY not in st.session_state:
        st.session_state[_UPDATES_KEY] = PageUpdates(session.get_session_id())
    updates: PageUpdates = st.session_state[_UPDATES_KEY]
    run = updates.publish(
        _watch_parts(source.feed, has_distances=has_distances), _watch_page(is_outdated)
    )
    is_changing = (
        *(stream_state.playing, stream_state.signalling),
        *(stream_connection.needs_updates, stream_connection.server_full),
        # The thread of the frames ends a run a moment after the browser has stopped it.
        state.is_private and state.is_running(),
        is_outdated(),
    )
    poll = {
        "url": updates.url if any(is_changing) else "",
        # Elsewhere the server reads the video, whether or not somebody looks.
        "while_hidden": source.name == "browser",
    }
    with readouts_area:
        _render_parts(run, poll)
    return run


def _render_parts(run: PublishedRun, poll: dict[str, object]) -> None:
    state, style = get_live_state(), session.get_preferences().style
    render_readouts_css()
    render_parts(run, READOUTS, poll)
    st.toggle(
        "Show faces beside events",
        key=_CROPS_KEY,
        persist_state="session",
        disabled=style.blur or not state.is_private,
        help="Keeps the faces of the last events in memory until **Stop**, or until "
        "you turn it off. Not available while faces are blurred, and for cameras that "
        "others can see too.",
    )
    render_parts(run, PERFORMANCE)
    with st.expander("Performance details"):
        render_parts(run, PERFORMANCE_DETAILS)


def render_width_toggle(preferences: Preferences) -> None:
    """Offer to show the video in the full width of the page, above the readouts.

    Only styles change: in another place on the page the video would stop.
    """
    is_wide = st.toggle(
        "Full-width video", key="live.wide", persist_state="session", width="content"
    )
    width, height = preferences.camera_width, preferences.camera_height
    if preferences.rotate % 180:
        width, height = height, width
    # The whole video is visible without scrolling.
    width_css = f"min(100%, {80 * width / height:.0f}vh)"
    wide_css = f"""
.st-key-page_columns > * > [data-testid=stHorizontalBlock] {{flex-wrap: wrap;}}
.st-key-page_columns > * > * > [data-testid=stColumn] {{min-width: 100%;}}
.st-key-page_columns > * > * > [data-testid=stColumn]:first-child {{
  min-width: {width_css}; max-width: {width_css}; margin-inline: auto;}}"""
    # On narrow pages the video has the full width anyway.
    narrow_css = "@media (max-width: 1100px) {.st-key-live-wide {display: none;}}"
    st.html(f"<style>{narrow_css}{wide_css if is_wide else ''}</style>")


def render_connection_help() -> None:
    """Render the reasons why live video is late or not possible."""
    is_own_camera = session.get_preferences().source == "browser"
    if is_own_camera and not can_use_camera(st.context.url or ""):
        st.warning(
            "Browsers allow camera access only over HTTPS or on localhost, which does "
            "not apply to this page. Play the sample video, or open the Image page.",
            icon=":material/lock_open:",
        )
    try:
        max_sessions = get_max_viewers()
    except ValueError as error:
        max_sessions = _get_viewer_limit()
        st.warning(
            escape_markdown(f"{error}. Using the default, {max_sessions}."),
            icon=":material/warning:",
        )
    photo_hint = "\n\nThe photo below needs no live video." if is_own_camera else ""
    if get_connection().server_full:
        visitors = "one visitor" if max_sessions == 1 else f"{max_sessions} visitors"
        st.warning(
            f"""**All slots for live video are taken.** This server supports \
{visitors} at a time. You can start here as soon as a slot is free. \
The administrator can change the limit with `{VIEWERS_VARIABLE}`.{photo_hint}""",
            icon=":material/group:",
        )
    if camera_error := _get_camera_error():
        st.error(camera_error, icon=":material/videocam_off:")
    _render_connection_status(get_connection())
    if get_connection().timed_out:
        st.warning(
            f"""**No connection after 10 seconds.** Your browser and this server could \
not connect for live video. Common reasons:

- A firewall or router blocks the connection. Ask the administrator to configure a
  TURN server (`{ICE_SERVERS_VARIABLE}`, see "Deployment" in the docs).
- The page was opened without HTTPS from another machine.{photo_hint}""",
            icon=":material/wifi_off:",
        )


def _render_connection_status(stream_connection: StreamConnection) -> None:
    """Render the state of an interrupted stream and its reconnects."""
    reasons = "The network was interrupted, or this server is overloaded."
    if stream_connection.reconnecting:
        st.warning(
            f"**Live video interrupted.** {reasons} Reconnecting: attempt "
            f"{stream_connection.attempt} of {len(RECONNECT_DELAYS_S)}.",
            icon=":material/sync:",
        )
        if stream_connection.phase == "waiting":
            st.button("Do not reconnect", on_click=_cancel_reconnect, key="live.cancel")
    elif stream_connection.phase == "failed":
        st.error(
            f"**Live video interrupted**; {len(RECONNECT_DELAYS_S)} attempts to "
            f"reconnect failed. {reasons} Press **Start** to try again.",
            icon=":material/sync_problem:",
        )
    elif stream_connection.phase == "ended":
        st.info(
            "The live video has ended. Press **Start** to restart it.",
            icon=":material/info:",
        )


def _cancel_reconnect() -> None:
    get_connection().cancel()


def _render_alternatives(source: LiveSource) -> None:
    """Offer what needs no camera, and credit the example."""
    if st.session_state.pop(_OPENED_SAMPLE_KEY, False):
        st.switch_page("pages/image.py")
    with st.container(horizontal=True, vertical_alignment="center"):
        if source.name != "sample":
            st.button(
                "No camera? Play the sample video",
                icon=":material/play_circle:",
                on_click=play_sample,
            )
        st.page_link("pages/image.py", label="Drop an image")
    render_tiles(
        [
            Tile(sample.title, to_media_url(_read_thumbnail(sample.path)))
            for sample in IMAGE_SAMPLES[1:]
        ],
        label="Sample images",
        key="live.samples",
        on_open=_open_sample,
    )
    credit = VIDEO_SAMPLE.credit if source.name == "sample" else IMAGE_SAMPLES[0].credit
    st.caption(f"Examples: {credit}.")


def _open_sample(title: str) -> None:
    choose_sample(title)
    st.session_state[_OPENED_SAMPLE_KEY] = True  # a callback cannot change the page


@st.cache_data(show_spinner=False)
def _read_thumbnail(path: Path) -> bytes:
    image = read_image(path)
    return encode_jpeg(resize_image(image, _THUMBNAIL_WIDTH / image.shape[1]))


def render_live_page() -> None:
    """Render the page."""
    st.title("Live")
    introduction = st.empty()
    preferences = session.get_preferences()
    video_column, stats_column = make_page_columns([7, 3])
    with video_column:
        source = render_source_choice()
        introduction.write(f"See live who is wearing a mask. {source.introduction}")
        _switch_source(source)
        # Others neither set what a shared camera measures nor see its unblurred frames.
        may_measure = not isinstance(source.feed, SharedFeed) or service.is_admin()
        has_distances = may_measure and preferences.settings.distance != "off"
        is_outdated = watch_video_state(source.feed, has_distances=has_distances)
        stream_state, feed_area = _STOPPED, None
        if source.is_ready:
            stream_state = render_stream(preferences, source)
        is_running = stream_state.playing or stream_state.signalling
        if isinstance(source.feed, SharedFeed) and is_running:
            render_feed_status(source.feed)
            feed_area = st.container()
        render_connection_help()
        if not is_running:
            _render_alternatives(source)
            if not isinstance(source.feed, SharedFeed):
                render_last_run()
        if source.name == "browser":
            render_photo(preferences, timed_out=get_connection().timed_out)
    with stats_column:
        render_width_toggle(preferences)
        run = _render_stats(source, is_outdated, has_distances=has_distances)
    if feed_area is not None:
        with feed_area:
            render_parts(run, [FEED_PART])
    if may_measure:
        distance.render_distance_section(run)
