"""The live picture: what happens to each frame, and what it tells the page."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import av
import cv2
import numpy as np

from maskdet.analyzer import Analyzer
from maskdet.drawing import draw
from maskdet.stream import Stream
from maskdet.types import Image, Label, Scene
from maskdet.web.preferences import Preferences

logger = logging.getLogger(__name__)

WINDOW_S = 2.0
"""Rates and times are those of the last so many seconds."""

Callback = Callable[[list[av.VideoFrame]], Awaitable[list[av.VideoFrame]]]


@dataclass(frozen=True)
class Reading:
    """What the running stream says of itself at one moment; never changed.

    Attributes:
        fps_in: frames that arrived, per second.
        fps_done: frames that were analysed, per second.
        fps_skipped: frames that arrived and were passed over, per second.
        n_skipped: the same, since Start.
        n_failed: frames whose analysis failed, since Start.
        last_error: what the last failure said; empty without one.
        stage_ms: mean milliseconds per frame of each stage, in their order:
            `read`, those of `Scene.stage_ms`, `draw`.
        labels: the label of each face in the last analysed frame.
        started: whether any frame arrived since Start.
        failing: whether a frame failed within the last seconds.
    """

    fps_in: float = 0.0
    fps_done: float = 0.0
    fps_skipped: float = 0.0
    n_skipped: int = 0
    n_failed: int = 0
    last_error: str = ""
    stage_ms: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    labels: tuple[Label, ...] = ()
    started: bool = False
    failing: bool = False


@dataclass(frozen=True)
class _Turn:
    """One call of the callback.

    Attributes:
        time_s: when it ended, by the state's clock.
        n_arrived: frames that had come since the call before.
        stage_ms: how long each stage took; empty if the frame failed.
    """

    time_s: float
    n_arrived: int
    stage_ms: Mapping[str, float]


class LiveState:
    """One visitor's live picture, shared by the page and the thread of the frames.

    Both sides exchange frozen objects under a lock, so a frame never sees half a
    change and the page never half a frame.
    """

    def __init__(
        self, preferences: Preferences, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start without a stream.

        Args:
            preferences: obeyed by the next frame.
            clock: seconds that never go back; tests bring their own.
        """
        self.clock = clock
        self._lock = threading.Lock()
        self._preferences = preferences
        self._source: tuple[str, Stream] | None = None
        self._turns: deque[_Turn] = deque()
        self._started_s = clock()
        self._labels: tuple[Label, ...] = ()
        self._restart()

    @property
    def preferences(self) -> Preferences:
        """The choices that the next frame obeys."""
        with self._lock:
            return self._preferences

    def use(self, preferences: Preferences) -> None:
        """Let the next frame obey other choices."""
        with self._lock:
            self._preferences = preferences

    def stream(self, name: str, analyzer: Analyzer) -> Stream:
        """Return the running stream, or a fresh one for another analyzer.

        Args:
            name: what `analyzer` is called in `ANALYZERS`.
            analyzer: what a fresh stream uses.
        """
        with self._lock:
            if self._source is None or self._source[0] != name:
                self._source = (name, Stream(analyzer, self._preferences.settings))
                self._restart()
            return self._source[1]

    def ended(self, stream: Stream) -> None:
        """Forget a stream that ended, unless another has taken its place.

        A browser that vanished is noticed half a minute later, and by then its
        visitor may have started anew.
        """
        with self._lock:
            if self._source is not None and self._source[1] is stream:
                self._source = None
                self._restart()

    def note(self, n_arrived: int, stage_ms: Mapping[str, float], scene: Scene) -> None:
        """Count a frame that was analysed."""
        with self._lock:
            self._count(n_arrived, stage_ms)
            self._labels = scene.labels

    def note_failure(self, n_arrived: int, error: Exception) -> int:
        """Count a frame that failed; return how many did since Start."""
        with self._lock:
            self._count(n_arrived, {})
            self._n_failed += 1
            self._last_error = f"{type(error).__name__}: {error}"
            return self._n_failed

    def reading(self) -> Reading:
        """Return what the stream says of itself now."""
        with self._lock:
            now = self.clock()
            turns = [turn for turn in self._turns if turn.time_s > now - WINDOW_S]
            done = [turn for turn in turns if turn.stage_ms]
            # A stream younger than the window is judged by its own age, and the
            # first moments by half a second, lest one frame count as a storm.
            span_s = min(WINDOW_S, max(0.5, now - self._started_s))
            stage_ms = {
                stage: float(np.mean([turn.stage_ms.get(stage, 0) for turn in done]))
                for stage in (done[-1].stage_ms if done else ())
            }
            return Reading(
                fps_in=sum(turn.n_arrived for turn in turns) / span_s,
                fps_done=len(done) / span_s,
                fps_skipped=sum(turn.n_arrived - 1 for turn in turns) / span_s,
                n_skipped=self._n_skipped,
                n_failed=self._n_failed,
                last_error=self._last_error,
                stage_ms=MappingProxyType(stage_ms),
                labels=self._labels,
                started=self._n_turns > 0,
                failing=len(done) < len(turns),
            )

    def _restart(self) -> None:
        self._turns.clear()
        self._n_turns = self._n_skipped = self._n_failed = 0
        self._last_error = ""
        self._labels = ()

    def _count(self, n_arrived: int, stage_ms: Mapping[str, float]) -> None:
        now = self.clock()
        if not self._n_turns:
            self._started_s = now
        self._n_turns += 1
        self._n_skipped += n_arrived - 1
        self._turns.append(_Turn(now, n_arrived, stage_ms))
        while self._turns[0].time_s <= now - WINDOW_S:
            self._turns.popleft()


def make_callback(state: LiveState, stream: Stream) -> Callback:
    """Return what streamlit-webrtc calls from its own thread; it never raises.

    An exception there would freeze the picture for good without a word on the page
    (streamlit-webrtc issue 2103). It is the callback for queued frames: it is given
    every frame that came during the call before, so that those passed over for the
    newest can be counted instead of guessed.
    """

    async def callback(frames: list[av.VideoFrame]) -> list[av.VideoFrame]:
        frame = frames[-1]
        try:
            return [_answer(frame, len(frames), state, stream)]
        except Exception as error:
            # Not even the error could be drawn: better the bare picture than none.
            _log(state.note_failure(len(frames), error), error)
            return [frame]

    return callback


def _answer(
    frame: av.VideoFrame, n_arrived: int, state: LiveState, stream: Stream
) -> av.VideoFrame:
    """Return the frame with its faces drawn in, or with the error written on it."""
    preferences = state.preferences
    started = time.perf_counter()
    image = _image(frame, mirror=preferences.mirror)
    read = time.perf_counter()
    try:
        stream.settings = preferences.settings
        scene = stream.step(image, state.clock())
        analysed = time.perf_counter()
        answer = _frame_like(frame, draw(image, scene, preferences.style))
    except Exception as error:
        n_failed = state.note_failure(n_arrived, error)
        _log(n_failed, error)
        return _frame_like(frame, _with_banner(image, n_failed))
    stage_ms = {
        "read": (read - started) * 1e3,
        **scene.stage_ms,
        "draw": (time.perf_counter() - analysed) * 1e3,
    }
    state.note(n_arrived, stage_ms, scene)
    return answer


def _image(frame: av.VideoFrame, *, mirror: bool) -> Image:
    image: Any = frame.to_ndarray(format="bgr24")
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
