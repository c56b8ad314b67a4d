"""Frame callback of the live video: analyze and annotate, on the video thread."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import av
import cv2
import numpy as np

from maskdet.drawing import draw, pixelate_image
from maskdet.drawing.text import draw_text, measure_text
from maskdet.log_filter import RepeatedFailureFilter
from maskdet.media import rotate_image
from maskdet.style import WHITE
from maskdet.types import Image
from maskdet.web.live.relay import count_dropped_frames
from maskdet.web.live.state import LiveSession, LiveState

logger = logging.getLogger(__name__)
logger.addFilter(RepeatedFailureFilter())

FrameCallback = Callable[[list[av.VideoFrame]], Awaitable[list[av.VideoFrame]]]


def make_callback(state: LiveState, live_session: LiveSession) -> FrameCallback:
    """Return the callback for streamlit-webrtc's own thread; it never raises.

    An exception there would freeze the video without a message on the page
    (streamlit-webrtc issue 2103). The callback for queued frames receives every frame
    that arrived during the previous call, so that dropped frames are counted exactly,
    including those that the relay dropped.
    """

    async def callback(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        frame = frames[-1]
        n_arrived = sum(
            1 + count_dropped_frames(queued_frame) for queued_frame in frames
        )
        try:
            return [_annotate_frame(frame, n_arrived, state, live_session)]
        except Exception as error:
            state.record_failure(live_session, n_arrived, error)
            _log_failure(live_session, error)
            # Drawing the error failed too: return the unmarked frame, or a black one
            # if faces must be blurred.
            return [_make_black_frame(frame) if state.preferences.style.blur else frame]

    return callback


def _annotate_frame(
    frame: av.VideoFrame, n_arrived: int, state: LiveState, live_session: LiveSession
) -> av.VideoFrame:
    """Return the frame with its faces drawn, or with an error banner."""
    preferences = state.preferences
    started_s = time.perf_counter()
    image = _to_image(frame, mirror=preferences.mirror, rotate=preferences.rotate)
    read_s = time.perf_counter() - started_s
    annotated = annotate_image(image, state, live_session, n_arrived, read_s)
    return _to_frame(frame, annotated)


def annotate_image(
    image: Image,
    state: LiveState,
    live_session: LiveSession,
    n_arrived: int = 1,
    read_s: float | None = None,
) -> Image:
    """Return the next image of a run with its faces drawn, or with an error banner.

    Args:
        image: `(h, w, 3)` uint8 BGR, mirrored and rotated as it is shown.
        state: has the preferences, and gets the numbers.
        live_session: the run.
        n_arrived: number of images that arrived since the last call.
        read_s: how long it took to decode the image, in seconds, if it is known.
    """
    preferences = state.preferences
    try:
        snapshot = live_session.step(image, state.clock(), preferences.settings)
        analyzed_s = time.perf_counter()
        annotated = draw(image, snapshot.scene, preferences.style)
    except Exception as error:
        n_failed = state.record_failure(live_session, n_arrived, error)
        _log_failure(live_session, error)
        # The positions of the faces are not known, so pixelate the whole image.
        background = pixelate_image(image) if preferences.style.blur else image
        return _draw_error_banner(background, n_failed)
    stage_ms = {
        **({} if read_s is None else {"read": read_s * 1e3}),
        **snapshot.scene.stage_ms,
        "draw": (time.perf_counter() - analyzed_s) * 1e3,
    }
    state.record_frame(live_session, n_arrived, stage_ms, snapshot)
    return annotated


def _to_image(frame: av.VideoFrame, *, mirror: bool, rotate: int) -> Image:
    image: Any = frame.to_ndarray(format="bgr24")
    image = rotate_image(image, rotate)
    if mirror:
        image = cv2.flip(image, 1)
    result: Image = image
    return result


def _to_frame(frame: av.VideoFrame, image: Image) -> av.VideoFrame:
    """Convert `image` to a video frame with the time stamp of `frame`."""
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        result = av.VideoFrame.from_ndarray(image, format="bgr24")
    else:
        # The encoder needs this format; FFmpeg's conversion takes five times as long.
        planes: Any = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
        result = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    result.pts = frame.pts
    result.time_base = frame.time_base
    return result


def _make_black_frame(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a black frame of the size of `frame`."""
    return _to_frame(frame, np.zeros((frame.height, frame.width, 3), np.uint8))


def _log_failure(live_session: LiveSession, error: Exception) -> None:
    logger.error("live frame failed", exc_info=error, extra={"source": live_session})


def _draw_error_banner(image: Image, n_failed: int) -> Image:
    """Return the image with a banner at the top: the analysis failed."""
    height, width = image.shape[:2]
    text = f"Not analyzed: error ({n_failed} so far)"
    bar_px = max(12, min(height, width) // 12)
    widths_per_cap = measure_text(text, 100) / 100
    cap_px = min(0.4 * bar_px, 0.94 * width / widths_per_cap)
    result = image.copy()
    result[:bar_px] = (40, 20, 110)
    origin = (0.03 * width, (bar_px + cap_px) / 2)
    draw_text(result, text, origin, cap_px, WHITE)
    return result
