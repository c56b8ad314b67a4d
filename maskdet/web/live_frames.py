"""What happens to each frame of the live picture, in the thread of the frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import av
import cv2
import numpy as np

from maskdet.drawing import coarse, draw
from maskdet.media import rotated
from maskdet.types import Image
from maskdet.web.live import LiveState
from maskdet.web.live_hooks import n_dropped_before
from maskdet.web.live_run import Run

logger = logging.getLogger(__name__)

Callback = Callable[[list[av.VideoFrame]], Awaitable[list[av.VideoFrame]]]


def make_callback(state: LiveState, run: Run) -> Callback:
    """Return what streamlit-webrtc calls from its own thread; it never raises.

    An exception there would freeze the picture for good without a word on the page
    (streamlit-webrtc issue 2103). It is the callback for queued frames: it is given
    every frame that came during the call before, so that those passed over for the
    newest can be counted instead of guessed. So are those that the relay passed over.
    """

    async def callback(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        frame = frames[-1]
        n_arrived = sum(1 + n_dropped_before(each) for each in frames)
        try:
            return [_answer(frame, n_arrived, state, run)]
        except Exception as error:
            _log(state.note_failure(n_arrived, error), error)
            # Not even the error could be drawn: better the bare picture than none,
            # but not where nobody may be recognised.
            return [_empty(frame) if state.preferences.style.blur else frame]

    return callback


def _answer(
    frame: av.VideoFrame, n_arrived: int, state: LiveState, run: Run
) -> av.VideoFrame:
    """Return the frame with its faces drawn in, or with the error written on it."""
    preferences = state.preferences
    started = time.perf_counter()
    image = _image(frame, mirror=preferences.mirror, rotate=preferences.rotate)
    read = time.perf_counter()
    try:
        view = run.step(image, state.clock(), preferences.settings)
        analysed = time.perf_counter()
        answer = _frame_like(frame, draw(image, view.scene, preferences.style))
    except Exception as error:
        n_failed = state.note_failure(n_arrived, error)
        _log(n_failed, error)
        # Where the faces are is not known now.
        shown = coarse(image) if preferences.style.blur else image
        return _frame_like(frame, _with_banner(shown, n_failed))
    stage_ms = {
        "read": (read - started) * 1e3,
        **view.scene.stage_ms,
        "draw": (time.perf_counter() - analysed) * 1e3,
    }
    state.note(n_arrived, stage_ms, view)
    return answer


def _image(frame: av.VideoFrame, *, mirror: bool, rotate: int) -> Image:
    image: Any = frame.to_ndarray(format="bgr24")
    image = rotated(image, rotate)
    if mirror:
        image = cv2.flip(image, 1)
    result: Image = image
    return result


def _frame_like(frame: av.VideoFrame, image: Image) -> av.VideoFrame:
    """Return `image` as a frame with the time stamp of `frame`."""
    answer = av.VideoFrame.from_ndarray(image, format="bgr24")
    answer.pts = frame.pts
    answer.time_base = frame.time_base
    return answer


def _empty(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a black frame, as large as `frame`."""
    return _frame_like(frame, np.zeros((frame.height, frame.width, 3), np.uint8))


def _log(n_failed: int, error: Exception) -> None:
    """Write down the failures 1, 10, 100 …: a stream can fail 30 times a second."""
    if n_failed == 10 ** (len(str(n_failed)) - 1):
        logger.error("live frame failed (%d since Start)", n_failed, exc_info=error)


def _with_banner(image: Image, n_failed: int) -> Image:
    """Return the picture with a bar at its top that says the analysis failed."""
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
