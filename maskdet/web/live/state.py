"""State of the live video, which the page and the video thread exchange.

`LiveSession` is one run of the camera from Start to Stop, and `LiveState` holds
preferences, statistics and the last frame.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

import numpy as np
import streamlit as st

from maskdet.analyzers.pipelines import Analyzer
from maskdet.events import Event, SceneObserver, observe_safely
from maskdet.people import PersonLog, Timeline, TimelineBin
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.types import UNTRACKED, Image, Label, Scene
from maskdet.video import VideoReport
from maskdet.video.analysis import MAX_EVENTS
from maskdet.web import session
from maskdet.web.distance import DistanceGuard
from maskdet.web.live.history import LiveHistory, RunHistory
from maskdet.web.metrics import CameraMetrics

STATS_WINDOW_S = 2.0
"""Rates and times are averages over this many seconds."""

_MAX_BINS = 240
"""Maximum number of bins of the mask rate of a run: more are not visible."""

_TIMELINE_REFRESH_S = 1.0

_STATE_KEY = "maskdet.live"
_SHOWN_KEY = "maskdet.live.shown"


def _make_zero_counts() -> Mapping[Label, int]:
    return MappingProxyType(dict.fromkeys(Label, 0))


@dataclass(frozen=True)
class PeopleCount:
    """Counts of tracked people; each person counts once, not once per frame.

    Attributes:
        current: people in the frame by label; every label has an entry.
        total: people since Start, by the last label other than unsure.
        turned_away: people in the frame whose face is not visible.
    """

    current: Mapping[Label, int] = field(default_factory=_make_zero_counts)
    total: Mapping[Label, int] = field(default_factory=_make_zero_counts)
    turned_away: int = 0


def count_people(people: PersonLog) -> PeopleCount:
    """Count the tracked people of a stream by label, now and in total.

    Faces without a track ID do not count yet, as they may be false positives.
    """
    if people.scene is None:
        return PeopleCount(total=_freeze_counts(people.label_counts))
    labels, ids = people.scene.labels, np.asarray(people.scene.track_ids).tolist()
    current = Counter(
        label
        for label, track_id in zip(labels, ids, strict=True)
        if track_id != UNTRACKED
    )
    turned_away = sum(not person.is_detected for person in people.present)
    return PeopleCount(
        _freeze_counts(current), _freeze_counts(people.label_counts), turned_away
    )


def _freeze_counts(counts: Counter[Label]) -> Mapping[Label, int]:
    return MappingProxyType({label: counts[label] for label in Label})


@dataclass(frozen=True, eq=False)
class LiveSnapshot:
    """An analyzed frame; immutable.

    Attributes:
        image: `(h, w, 3)` uint8 BGR, mirrored if `Preferences.mirror` is on.
        scene: its faces, positions, and the contacts since Start.
        people: counts of people, now and since Start.
        settings: the settings that the frame was analyzed with.
        timeline: the run until now, with times since its first frame; updated once a
            second.
        events: the events and alerts of this frame.
    """

    image: Image
    scene: Scene
    people: PeopleCount = field(default_factory=PeopleCount)
    settings: Settings = field(default_factory=Settings)
    timeline: tuple[TimelineBin, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the frame, in pixels."""
        return self.image.shape[1], self.image.shape[0]


class LiveSession:
    """One run of a camera: analyzes each frame and returns a snapshot."""

    def __init__(
        self,
        stream: Stream,
        observer: SceneObserver | None = None,
        metrics: CameraMetrics | None = None,
    ) -> None:
        """Start before the first frame.

        Args:
            stream: analyzes the frames.
            observer: receives every scene, for events and alerts.
            metrics: counts the events.
        """
        self._stream = stream
        self._observer = observer
        self._metrics = metrics or CameraMetrics()
        self._distance_guard = DistanceGuard()
        self._lock = threading.Lock()  # held for a whole frame
        self._ended = False
        self._started_at = datetime.now(UTC)
        self._first_s = self._last_s = 0.0
        self._n_frames = self._n_events = 0
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._bins: tuple[TimelineBin, ...] = ()
        self._next_bins_s = -math.inf

    def set_observer(self, observer: SceneObserver | None) -> None:
        """Replace the observer, unless the run has started.

        The page is often opened long before Start, and the name of the camera may
        change in between.
        """
        if not self._n_frames:
            self._observer = observer

    def step(self, image: Image, time_s: float, settings: Settings) -> LiveSnapshot:
        """Analyze the next frame; see `Stream.step`.

        Distances are off if they cannot be measured with `settings`; `distance_error`
        returns the reason.
        """
        size_wh = image.shape[1], image.shape[0]
        settings = self._distance_guard.effective_settings(settings, size_wh)
        with self._lock:
            scene = self._stream.step(image, time_s, settings)
            if not self._n_frames:
                self._first_s, self._started_at = time_s, datetime.now(UTC)
            self._last_s = time_s
            self._n_frames += 1
            people = count_people(self._stream.people)
            # The last frame may arrive after the end; it must not create events.
            events = () if self._ended else self._observe()
            if time_s >= self._next_bins_s:
                # Bins for each frame would take too long.
                self._bins = self._list_bins()
                self._next_bins_s = time_s + _TIMELINE_REFRESH_S
        return LiveSnapshot(image, scene, people, settings, self._bins, events)

    def end(self) -> VideoReport | None:
        """End the run after the current frame; may be called twice.

        Returns:
            What the run has seen, with times since its first analyzed frame; None if
            no frame was analyzed.
        """
        with self._lock:
            self._ended = True
            self._stream.people.end(self._last_s if self._n_frames else None)
            self._observe()
            return self._build_report() if self._n_frames else None

    def _observe(self) -> tuple[Event, ...]:
        """Return the events of the last scene, or of the end, and keep them."""
        if self._observer is None:
            return ()
        events = tuple(observe_safely(self._observer, self._stream.people))
        self._events.extend(events)
        self._n_events += len(events)
        self._metrics.add_events(events)
        return events

    def _list_bins(self) -> tuple[TimelineBin, ...]:
        timeline, start_s = self._stream.people.timeline, self._first_s
        return tuple(
            replace(time_bin, start_s=max(0.0, time_bin.start_s - start_s))
            for time_bin in (() if timeline is None else timeline.get_bins())
        )

    def _build_report(self) -> VideoReport:
        people, start_s = self._stream.people, self._first_s
        return VideoReport(
            source="camera",
            n_frames=self._n_frames,
            analyzed_s=self._last_s - start_s,
            people=tuple(
                replace(
                    person,
                    first_s=person.first_s - start_s,
                    last_s=person.last_s - start_s,
                )
                for person in people.list_people()
            ),
            contacts=tuple(
                replace(contact, start_s=contact.start_s - start_s)
                for contact in people.list_contacts()
            ),
            evicted_people=people.evicted_people,
            evicted_contacts=people.evicted_contacts,
            timeline=self._list_bins(),
            is_complete=True,
            started_at=self._started_at,
            events=tuple(self._events),
            n_events=self._n_events,
        )


@dataclass(frozen=True, eq=False)
class LastRun:
    """What is kept of a run after its end, in memory only, until the next one.

    Attributes:
        report: people and contacts, as of a video.
        snapshot: the last analyzed frame.
        n_alerts: number of alerts.
    """

    report: VideoReport
    snapshot: LiveSnapshot
    n_alerts: int = 0


@dataclass(frozen=True)
class LiveStats:
    """Statistics of the running stream; immutable.

    Attributes:
        fps_in: received frames per second.
        fps_analyzed: analyzed frames per second.
        fps_skipped: dropped frames per second.
        n_skipped: dropped frames since Start.
        n_failed: frames whose analysis failed, since Start.
        last_error: message of the last failure, or empty.
        stage_ms: mean milliseconds per frame of each stage, in order: `read`, those of
            `Scene.stage_ms`, `draw`.
        people: counts of people, now and since Start.
        has_started: whether a frame has arrived since Start.
        is_failing: whether a frame failed within the last `STATS_WINDOW_S`.
        history: people, mask rate and events since Start.
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
    history: LiveHistory = field(default_factory=LiveHistory)


@dataclass(frozen=True)
class _FrameRecord:
    """One call of the callback.

    Attributes:
        time_s: end of the call, on the state's clock.
        n_arrived: frames that arrived since the previous call.
        stage_ms: milliseconds of each stage; empty if the frame failed.
    """

    time_s: float
    n_arrived: int
    stage_ms: Mapping[str, float]


class LiveState:
    """One visitor's live video, used by the page and the video thread.

    Both sides exchange frozen objects under a lock, so neither sees a partial update.
    """

    def __init__(
        self,
        preferences: Preferences,
        *,
        clock: Callable[[], float] = time.monotonic,
        is_private: bool = True,
        metrics: CameraMetrics | None = None,
    ) -> None:
        """Start without a stream.

        Args:
            preferences: used from the next frame on.
            clock: monotonic time in seconds; tests pass their own.
            metrics: counts the frames and events; by default with those of all
                cameras of browsers.
            is_private: whether nobody but this visitor sees the video. Of one that
                others see, neither the last run nor faces are kept.
        """
        self.is_private = is_private
        self.clock = clock
        self._metrics = metrics or CameraMetrics()
        self._lock = threading.Lock()
        self._preferences = preferences
        self._active: tuple[str, LiveSession] | None = None
        self._ending: LiveSession | None = None
        self._records: deque[_FrameRecord] = deque()
        self._history = RunHistory()
        self._keeps_crops = False
        self._started_s = self._last_frame_s = clock()
        self._snapshot: LiveSnapshot | None = None
        self._last_run: LastRun | None = None
        self._reset()

    @property
    def preferences(self) -> Preferences:
        """The preferences for the next frame."""
        with self._lock:
            return self._preferences

    def set_preferences(self, preferences: Preferences) -> None:
        """Set the preferences for the next frame."""
        with self._lock:
            self._preferences = preferences

    @property
    def active_session(self) -> LiveSession | None:
        """The active run; `None` before the first one and after the end of one."""
        with self._lock:
            return None if self._active is None else self._active[1]

    @property
    def keeps_crops(self) -> bool:
        """Whether the faces of the last events are kept; off by default.

        It stays off unless `is_private`.
        """
        with self._lock:
            return self._keeps_crops

    @keeps_crops.setter
    def keeps_crops(self, value: bool) -> None:
        with self._lock:
            self._keeps_crops = value and self.is_private

    def get_or_create_session(
        self,
        analyzer_name: str,
        analyzer: Analyzer,
        observer: SceneObserver | None = None,
    ) -> LiveSession:
        """Return the active run, or a new one if the analyzer has changed.

        Args:
            analyzer_name: the name of `analyzer` in `ANALYZERS`.
            analyzer: analyzer of a new run.
            observer: receives the scenes, unless the run has started.
        """
        with self._lock:
            active = self._active
            if active is not None and active[0] == analyzer_name:
                active[1].set_observer(observer)
                return active[1]
            people = PersonLog(timeline=Timeline(_MAX_BINS, keep_spans=False))
            new_session = LiveSession(
                Stream(analyzer, self._preferences.settings, people=people),
                observer,
                self._metrics,
            )
            self._active = (analyzer_name, new_session)
            self._reset()
        if active is not None:
            active[1].end()
        return new_session

    def end_session(self, session: LiveSession) -> None:
        """End a run, and reset the state unless another run has replaced it.

        A lost browser is noticed half a minute later, and by then its visitor may have
        started a new run.
        """
        with self._lock:
            is_active = self._is_active(session)
            snapshot = self._snapshot if is_active and self.is_private else None
            n_alerts = self._history.n_alerts
            if is_active:
                self._active, self._ending = None, session
                self._reset()
        report = session.end()
        with self._lock:
            if self._ending is not session:
                return
            self._ending = None
            if report is not None and snapshot is not None and not self._n_processed:
                self._last_run = LastRun(report, snapshot, n_alerts)

    def get_last_run(self) -> LastRun | None:
        """Return the run that ended last; None before, and once another has begun.

        It is also None unless `is_private`.
        """
        with self._lock:
            return self._last_run

    def is_running(self) -> bool:
        """Return whether frames have arrived in a run whose end is not complete."""
        with self._lock:
            return self._n_processed > 0 or self._ending is not None

    def record_frame(
        self,
        session: LiveSession,
        n_arrived: int,
        stage_ms: Mapping[str, float],
        snapshot: LiveSnapshot,
    ) -> None:
        """Count an analyzed frame, unless its run has ended or was replaced."""
        with self._lock:
            if self._is_active(session):
                self._add_record(n_arrived, stage_ms)
                self._snapshot = snapshot
                self._history.add_counts(self._last_frame_s, snapshot.people.current)
                keeps_crops = self._keeps_crops and not self._preferences.style.blur
                self._history.add_events(
                    snapshot.events,
                    snapshot.scene,
                    snapshot.image if keeps_crops else None,
                )

    def get_snapshot(self) -> LiveSnapshot | None:
        """Return the last analyzed frame since Start, or `None`."""
        with self._lock:
            return self._snapshot

    def record_failure(
        self, session: LiveSession, n_arrived: int, error: Exception
    ) -> int:
        """Count a failed frame, unless its run has ended or was replaced.

        Returns:
            The number of failures since Start.
        """
        with self._lock:
            if self._is_active(session):
                self._add_record(n_arrived, {})
                self._n_failed += 1
                self._last_error = f"{type(error).__name__}: {error}"
            return self._n_failed

    def get_last_frame_s(self) -> float:
        """Return the time of the last processed frame, on this state's clock."""
        with self._lock:
            return self._last_frame_s

    def get_stats(self) -> LiveStats:
        """Return the current statistics."""
        with self._lock:
            now_s = self.clock()
            records = [
                record
                for record in self._records
                if record.time_s > now_s - STATS_WINDOW_S
            ]
            succeeded = [record for record in records if record.stage_ms]
            # For a stream younger than the window use its age, but at least half a
            # second, so that the first frame does not give a very high rate.
            span_s = min(STATS_WINDOW_S, max(0.5, now_s - self._started_s))
            stage_ms = {
                stage: sum(record.stage_ms.get(stage, 0.0) for record in succeeded)
                / len(succeeded)
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
                history=self._history.get(
                    now_s, () if self._snapshot is None else self._snapshot.timeline
                ),
            )

    def _is_active(self, session: LiveSession) -> bool:
        return self._active is not None and self._active[1] is session

    def _reset(self) -> None:
        self._records.clear()
        self._n_processed = self._n_skipped = self._n_failed = 0
        self._last_error = ""
        self._snapshot = None
        self._history = RunHistory()

    def _add_record(self, n_arrived: int, stage_ms: Mapping[str, float]) -> None:
        now_s = self._last_frame_s = self.clock()
        if not self._n_processed:
            self._started_s, self._last_run = now_s, None
        self._n_processed += 1
        self._n_skipped += n_arrived - 1
        self._metrics.add_frame(n_arrived, stage_ms)
        self._records.append(_FrameRecord(now_s, n_arrived, stage_ms))
        while self._records[0].time_s <= now_s - STATS_WINDOW_S:
            self._records.popleft()


def get_live_state() -> LiveState:
    """Return the live state that the page shows, by default this session's own."""
    shown: LiveState | None = st.session_state.get(_SHOWN_KEY)
    return get_own_live_state() if shown is None else shown


def get_own_live_state() -> LiveState:
    """Return the live state of this session."""
    if _STATE_KEY not in st.session_state:
        st.session_state[_STATE_KEY] = LiveState(session.get_preferences())
    state: LiveState = st.session_state[_STATE_KEY]
    return state


def show_live_state(state: LiveState) -> None:
    """Show another live state, for example that of a network camera."""
    st.session_state[_SHOWN_KEY] = state
