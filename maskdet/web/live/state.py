"""The live image: what the page and the thread of the frames tell each other.

One run of the camera, from Start to Stop: its stream, its people, its witness.

The people of the live image, each counted once: who is in it, and who ever was.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import streamlit as st

from maskdet.alerts.monitor import StreamMonitor
from maskdet.analyzers.pipelines import Analyzer
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import UNTRACKED, Image, Label, Scene
from maskdet.web import session
from maskdet.web.distance import DistanceGuard
from maskdet.web.preferences import Preferences


def _make_zero_counts() -> Mapping[Label, int]:
    return MappingProxyType(dict.fromkeys(Label, 0))


@dataclass(frozen=True)
class PeopleCount:
    """How many people there are; who walks through the image is one, not hundreds.

    Attributes:
        current: how many in the image carry each label; every label has an entry.
        total: how many since Start, by the last sure label that each had.
        turned_away: how many of those in the image do not show their face.
    """

    current: Mapping[Label, int] = field(default_factory=_make_zero_counts)
    total: Mapping[Label, int] = field(default_factory=_make_zero_counts)
    turned_away: int = 0


class PeopleCounter:
    """Calls the roll of a stream: everybody with a number, and what they wore."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._labels: dict[int, Label] = {}
        # Those who left are only counted, so that a long stream fills no memory.
        self._removed_counts: Counter[Label] = Counter()

    def update(self, scene: Scene) -> PeopleCount:
        """Return the count after the next scene.

        Faces without a number do not count yet: they may be none.

        Args:
            scene: the next one, with track ids.
        """
        ids, unseen_s = np.asarray(scene.track_ids), np.asarray(scene.unseen_s)
        current: Counter[Label] = Counter()
        for track_id, label in zip(ids.tolist(), scene.labels, strict=True):
            if track_id == UNTRACKED:
                continue
            current[label] += 1
            previous = self._labels.get(track_id, Label.UNKNOWN)
            self._labels[track_id] = previous if label is Label.UNKNOWN else label
        for track_id in scene.removed_ids:
            if track_id in self._labels:
                self._removed_counts[self._labels.pop(track_id)] += 1
        total = self._removed_counts + Counter(self._labels.values())
        turned_away = int(((ids != UNTRACKED) & (unseen_s > 0)).sum())
        return PeopleCount(_freeze_counts(current), _freeze_counts(total), turned_away)


def _freeze_counts(counts: Counter[Label]) -> Mapping[Label, int]:
    return MappingProxyType({label: counts[label] for label in Label})


@dataclass(frozen=True, eq=False)
class LiveSnapshot:
    """A frame as it was understood; never changed.

    Attributes:
        image: `(h, w, 3)` uint8 BGR, mirrored if the visitor wants it so.
        scene: who is in it, where they stand, and who was in contact since Start.
        people: how many there are, now and since Start.
        settings: what the frame was looked at with.
    """

    image: Image
    scene: Scene
    people: PeopleCount = field(default_factory=PeopleCount)
    settings: Settings = field(default_factory=Settings)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the frame, in pixels."""
        return self.image.shape[1], self.image.shape[0]


class LiveSession:
    """One run of a camera; frames go in, what is known after each comes out."""

    def __init__(self, stream: Stream, monitor: StreamMonitor | None = None) -> None:
        """Start before the first frame.

        Args:
            stream: looks at the frames.
            monitor: is shown every scene.
        """
        self._stream = stream
        self._monitor = monitor
        self._people_counter = PeopleCounter()
        self._distance_guard = DistanceGuard()
        self._lock = threading.Lock()
        self._started = self._ended = False

    def set_monitor(self, monitor: StreamMonitor | None) -> None:
        """Show the scenes to another witness, unless the run has begun.

        The page is often opened long before Start, and the camera's name may change
        in between.
        """
        with self._lock:
            if not self._started:
                self._monitor = monitor

    def step(self, image: Image, time_s: float, settings: Settings) -> LiveSnapshot:
        """Return what is known after the next frame; see `Stream.step`.

        Settings by which distances cannot be told act as if distance were off:
        `obstacle` says why.
        """
        size_wh = image.shape[1], image.shape[0]
        settings = self._distance_guard.effective_settings(settings, size_wh)
        scene = self._stream.step(image, time_s, settings)
        with self._lock:
            self._started = True
            # The last frame may come after the end, and nobody enters then.
            if self._monitor is not None and not self._ended:
                self._monitor.on_scene(scene)
        return LiveSnapshot(image, scene, self._people_counter.update(scene), settings)

    def end(self) -> None:
        """Note that no frame comes any more; may be called twice."""
        with self._lock:
            self._ended = True
            if self._monitor is not None:
                self._monitor.end()


STATS_WINDOW_S = 2.0
"""Rates and times are those of the last so many seconds."""


@dataclass(frozen=True)
class LiveStats:
    """What the running stream says of itself at one moment; never changed.

    Attributes:
        fps_in: frames that arrived, per second.
        fps_analyzed: frames that were analysed, per second.
        fps_skipped: frames that arrived and were passed over, per second.
        n_skipped: the same, since Start.
        n_failed: frames whose analysis failed, since Start.
        last_error: what the last failure said; empty without one.
        stage_ms: mean milliseconds per frame of each stage, in their order:
            `read`, those of `Scene.stage_ms`, `draw`.
        people: how many there are, now and since Start.
        has_started: whether any frame arrived since Start.
        is_failing: whether a frame failed within the last seconds.
    """

    fps_in: float = 0.0
    fps_analyzed: float = 0.0
    fps_skipped: float = 0.0
    n_skipped: int = 0
    n_failed: int = 0
    last_error: str = ""
    stage_ms: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    people: PeopleCount = field(default_factory=PeopleCount)
    has_started: bool = False
    is_failing: bool = False


@dataclass(frozen=True)
class _FrameRecord:
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
    """One visitor's live image, shared by the page and the thread of the frames.

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
        self._active: tuple[str, LiveSession] | None = None
        self._records: deque[_FrameRecord] = deque()
        self._started_s = self._last_frame_s = clock()
        self._snapshot: LiveSnapshot | None = None
        self._reset()

    @property
    def preferences(self) -> Preferences:
        """The choices that the next frame obeys."""
        with self._lock:
            return self._preferences

    def set_preferences(self, preferences: Preferences) -> None:
        """Let the next frame obey other choices."""
        with self._lock:
            self._preferences = preferences

    def get_or_create_session(
        self,
        analyzer_name: str,
        analyzer: Analyzer,
        monitor: StreamMonitor | None = None,
    ) -> LiveSession:
        """Return the run that goes on, or a fresh one for another analyzer.

        Args:
            analyzer_name: what `analyzer` is called in `ANALYZERS`.
            analyzer: what a fresh stream uses.
            monitor: is shown the scenes of a run that has not begun.
        """
        with self._lock:
            active = self._active
            if active is not None and active[0] == analyzer_name:
                active[1].set_monitor(monitor)
                return active[1]
            new_session = LiveSession(
                Stream(analyzer, self._preferences.settings), monitor
            )
            self._active = (analyzer_name, new_session)
            self._reset()
        if active is not None:
            active[1].end()
        return new_session

    def end_session(self, session: LiveSession) -> None:
        """End a run, and forget it unless another has taken its place.

        A browser that vanished is noticed half a minute later, and by then its
        visitor may have started anew.
        """
        with self._lock:
            if self._active is not None and self._active[1] is session:
                self._active = None
                self._reset()
        session.end()

    def record_frame(
        self, n_arrived: int, stage_ms: Mapping[str, float], snapshot: LiveSnapshot
    ) -> None:
        """Count a frame that was analysed; one that comes after the end is not."""
        with self._lock:
            if self._active is not None:
                self._add_record(n_arrived, stage_ms)
                self._snapshot = snapshot

    def get_snapshot(self) -> LiveSnapshot | None:
        """Return the last frame that was analysed since Start."""
        with self._lock:
            return self._snapshot

    def record_failure(self, n_arrived: int, error: Exception) -> int:
        """Count a frame that failed; return how many did since Start."""
        with self._lock:
            self._add_record(n_arrived, {})
            self._n_failed += 1
            self._last_error = f"{type(error).__name__}: {error}"
            return self._n_failed

    def get_last_frame_s(self) -> float:
        """Return when the last frame was through, by this state's clock."""
        with self._lock:
            return self._last_frame_s

    def get_stats(self) -> LiveStats:
        """Return what the stream says of itself now."""
        with self._lock:
            now_s = self.clock()
            records = [
                record
                for record in self._records
                if record.time_s > now_s - STATS_WINDOW_S
            ]
            succeeded = [record for record in records if record.stage_ms]
            # A stream younger than the window is judged by its own age, and the
            # first moments by half a second, lest one frame count as a storm.
            span_s = min(STATS_WINDOW_S, max(0.5, now_s - self._started_s))
            stage_ms = {
                stage: float(
                    np.mean([record.stage_ms.get(stage, 0) for record in succeeded])
                )
                for stage in (succeeded[-1].stage_ms if succeeded else ())
            }
            return LiveStats(
                fps_in=sum(record.n_arrived for record in records) / span_s,
                fps_analyzed=len(succeeded) / span_s,
                fps_skipped=sum(record.n_arrived - 1 for record in records) / span_s,
                n_skipped=self._n_skipped,
                n_failed=self._n_failed,
                last_error=self._last_error,
                stage_ms=MappingProxyType(stage_ms),
                people=PeopleCount()
                if self._snapshot is None
                else self._snapshot.people,
                has_started=self._n_processed > 0,
                is_failing=len(succeeded) < len(records),
            )

    def _reset(self) -> None:
        self._records.clear()
        self._n_processed = self._n_skipped = self._n_failed = 0
        self._last_error = ""
        self._snapshot = None

    def _add_record(self, n_arrived: int, stage_ms: Mapping[str, float]) -> None:
        now_s = self._last_frame_s = self.clock()
        if not self._n_processed:
            self._started_s = now_s
        self._n_processed += 1
        self._n_skipped += n_arrived - 1
        self._records.append(_FrameRecord(now_s, n_arrived, stage_ms))
        while self._records[0].time_s <= now_s - STATS_WINDOW_S:
            self._records.popleft()


def get_live_state() -> LiveState:
    """Return this session's live image."""
    if _STATE_KEY not in st.session_state:
        st.session_state[_STATE_KEY] = LiveState(session.get_preferences())
    state: LiveState = st.session_state[_STATE_KEY]
    return state


_STATE_KEY = "maskdet.live"
