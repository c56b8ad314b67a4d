"""What happens to each frame of the live image, in the thread of the frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import av
import cv2
import numpy as np

from maskdet.drawing import draw, pixelate_image
from maskdet.media import rotate_image
from maskdet.types import Image
from maskdet.web.live.state import LiveSession, LiveState
from maskdet.web.live.webrtc_patches import count_dropped_frames

logger = logging.getLogger(__name__)

FrameCallback = Callable[[list[av.VideoFrame]], Awaitable[list[av.VideoFrame]]]


def make_callback(state: LiveState, live_session: LiveSession) -> FrameCallback:
    """Return what streamlit-webrtc calls from its own thread; it never raises.

    An exception there would freeze the image for good without a word on the page
    (streamlit-webrtc issue 2103). It is the callback for queued frames: it is given
    every frame that came during the call before, so that those passed over for the
    newest can be counted instead of guessed. So are those that the relay passed over.
    """

    async def callback(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        frame = frames[-1]
        n_arrived = sum(
            1 + count_dropped_frames(queued_frame) for queued_frame in frames
        )
        try:
            return [_annotate_frame(frame, n_arrived, state, live_session)]
        except Exception as error:
            _log_failure(state.record_failure(n_arrived, error), error)
            # Not even the error could be drawn: better the bare image than none,
            # but not where nobody may be recognised.
            return [_make_black_frame(frame) if state.preferences.style.blur else frame]

    return callback


def _annotate_frame(
    frame: av.VideoFrame, n_arrived: int, state: LiveState, live_session: LiveSession
) -> av.VideoFrame:
    """Return the frame with its faces drawn in, or with the error written on it."""
    preferences = state.preferences
    started_s = time.perf_counter()
    image = _to_image(frame, mirror=preferences.mirror, rotate=preferences.rotate)
    read_s = time.perf_counter()
    try:
        snapshot = live_session.step(image, state.clock(), preferences.settings)
        analyzed_s = time.perf_counter()
        annotated = _to_frame(frame, draw(image, snapshot.scene, preferences.style))
    except Exception as error:
        n_failed = state.record_failure(n_arrived, error)
        _log_failure(n_failed, error)
        # Where the faces are is not known now.
        background = pixelate_image(image) if preferences.style.blur else image
        return _to_frame(frame, _draw_error_banner(background, n_failed))
    stage_ms = {
        "read": (read_s - started_s) * 1e3,
        **snapshot.scene.stage_ms,
        "draw": (time.perf_counter() - analyzed_s) * 1e3,
    }
    state.record_frame(n_arrived, stage_ms, snapshot)
    return annotated


def _to_image(frame: av.VideoFrame, *, mirror: bool, rotate: int) -> Image:
    image: Any = frame.to_ndarray(format="bgr24")
    image = rotate_image(image, rotate)
    if mirror:
        image = cv2.flip(image, 1)
    result: Image = image
    return result


def _to_frame(frame: av.VideoFrame, image: Image) -> av.VideoFrame:
    """Return `image` as a frame with the time stamp of `frame`."""
    result = av.VideoFrame.from_ndarray(image, format="bgr24")
    result.pts = frame.pts
    result.time_base = frame.time_base
    return result


def _make_black_frame(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a black frame, as large as `frame`."""
    return _to_frame(frame, np.zeros((frame.height, frame.width, 3), np.uint8))


def _log_failure(n_failed: int, error: Exception) -> None:
    """Write down the failures 1, 10, 100 …: a stream can fail 30 times a second."""
    if n_failed == 10 ** (len(str(n_failed)) - 1):
        logger.error("live frame failed (%d since Start)", n_failed, exc_info=error)


def _draw_error_banner(image: Image, n_failed: int) -> Image:
    """Return the image with a bar at its top that says the analysis failed."""
    height, width = image.shape[:2]
    text = f"Not analysed: an error ({n_failed} so far)"
    font, bar_px = cv2.FONT_HERSHEY_SIMPLEX, max(12, min(height, width) // 12)
    (unit_px, _), _ = cv2.getTextSize(text, font, 1.0, 1)
    scale = min(bar_px / 40, 0.94 * width / unit_px)
    result = image.copy()
    result[:bar_px] = (40, 20, 110)
    origin = (int(0.03 * width), int(bar_px / 2 + 11 * scale))
    line_px = max(1, round(2 * scale))
    cv2.putText(
        result, text, origin, font, scale, (255, 255, 255), line_px, cv2.LINE_AA
    )
    return result
