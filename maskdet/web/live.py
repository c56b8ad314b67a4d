"""The live picture: what the page and the thread of the frames tell each other."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from maskdet.alerts.watch import Witness
from maskdet.analyzer import Analyzer
from maskdet.streaming import Stream
from maskdet.web.live_people import People
from maskdet.web.live_run import Run, View
from maskdet.web.preferences import Preferences

WINDOW_S = 2.0
"""Rates and times are those of the last so many seconds."""


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
        people: how many there are, now and since Start.
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
    people: People = field(default_factory=People)
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
        self._source: tuple[str, Run] | None = None
        self._turns: deque[_Turn] = deque()
        self._started_s = self._last_frame_s = clock()
        self._view: View | None = None
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

    def run(self, name: str, analyzer: Analyzer, witness: Witness | None = None) -> Run:
        """Return the run that goes on, or a fresh one for another analyzer.

        Args:
            name: what `analyzer` is called in `ANALYZERS`.
            analyzer: what a fresh stream uses.
            witness: is shown the scenes of a run that has not begun.
        """
        with self._lock:
            before = self._source
            if before is not None and before[0] == name:
                before[1].watch(witness)
                return before[1]
            fresh = Run(Stream(analyzer, self._preferences.settings), witness)
            self._source = (name, fresh)
            self._restart()
        if before is not None:
            before[1].end()
        return fresh

    def ended(self, run: Run) -> None:
        """End a run, and forget it unless another has taken its place.

        A browser that vanished is noticed half a minute later, and by then its
        visitor may have started anew.
        """
        with self._lock:
            if self._source is not None and self._source[1] is run:
                self._source = None
                self._restart()
        run.end()

    def note(self, n_arrived: int, stage_ms: Mapping[str, float], view: View) -> None:
        """Count a frame that was analysed; one that comes after the end is not."""
        with self._lock:
            if self._source is not None:
                self._count(n_arrived, stage_ms)
                self._view = view

    def view(self) -> View | None:
        """Return the last frame that was analysed since Start."""
        with self._lock:
            return self._view

    def note_failure(self, n_arrived: int, error: Exception) -> int:
        """Count a frame that failed; return how many did since Start."""
        with self._lock:
            self._count(n_arrived, {})
            self._n_failed += 1
            self._last_error = f"{type(error).__name__}: {error}"
            return self._n_failed

    def last_frame_s(self) -> float:
        """Return when the last frame was through, by this state's clock."""
        with self._lock:
            return self._last_frame_s

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
                people=People() if self._view is None else self._view.people,
                started=self._n_turns > 0,
                failing=len(done) < len(turns),
            )

    def _restart(self) -> None:
        self._turns.clear()
        self._n_turns = self._n_skipped = self._n_failed = 0
        self._last_error = ""
        self._view = None

    def _count(self, n_arrived: int, stage_ms: Mapping[str, float]) -> None:
        now = self._last_frame_s = self.clock()
        if not self._n_turns:
            self._started_s = now
        self._n_turns += 1
        self._n_skipped += n_arrived - 1
        self._turns.append(_Turn(now, n_arrived, stage_ms))
        while self._turns[0].time_s <= now - WINDOW_S:
            self._turns.popleft()
