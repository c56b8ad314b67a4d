"""One video from its first image to its last: looked at, drawn on, counted.

What happened in a video: kept for its report, and seen by a witness.

The annotated video beside a report, and what is left where a file finds no room.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, Literal, Protocol, TypeAlias

from maskdet.analyzers.pipelines import Analyzer, get_pipeline
from maskdet.drawing import draw
from maskdet.events import Event, EventDetector, StreamInfo
from maskdet.media import (
    AUDIO_LOST,
    AudioTrack,
    VideoReadError,
    VideoSource,
    VideoWriter,
    open_video,
    redact_url,
)
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Scene
from maskdet.video.report import VideoReport
from maskdet.video.rows import VideoCsvWriter
from maskdet.video.summary import ContactAggregator, PersonAggregator, Timeline

logger = logging.getLogger(__name__)

MAX_EVENTS: Final = 10_000
"""A report keeps the newest so many; a camera may run for months."""


class SceneObserver(Protocol):
    """What is shown every scene of a video, as `maskdet.alerts.monitor.StreamMonitor` is."""

    @property
    def stream_info(self) -> StreamInfo:
        """What the video is called in events, and when it began."""
        ...

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        ...

    def end(self) -> Sequence[Event]:
        """Return that everybody left, because the video ended; may be called twice."""
        ...


class EventObserver:
    """A witness who says what happened, and tells nobody else."""

    def __init__(self, stream_info: StreamInfo) -> None:
        """Start at the beginning of a video."""
        self.stream_info = stream_info
        self._event_detector = EventDetector(stream_info)

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        return self._event_detector.update(scene)

    def end(self) -> Sequence[Event]:
        """Return that everybody left, because the video ended."""
        return self._event_detector.end()


class EventCollector:
    """Shows scenes to a witness, whose failures never stop a video.

    Attributes:
        stream_info: what the video is called in events, and when it began.
        n_events: how many there were in all.
    """

    def __init__(self, observer: SceneObserver, max_events: int = MAX_EVENTS) -> None:
        """Start with nothing.

        Args:
            observer: looks at every scene.
            max_events: so many events are kept, the newest.
        """
        self.stream_info = observer.stream_info
        self.n_events = 0
        self._observer = observer
        self._events: deque[Event] = deque(maxlen=max_events)
        self._n_failed = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far, oldest first; of very much, the newest."""
        return tuple(sorted(self._events, key=lambda event: event.at))

    def add(self, scene: Scene) -> None:
        """Show the next scene."""
        self._collect(lambda: self._observer.on_scene(scene))

    def end(self) -> None:
        """Note that everybody left; may be called twice."""
        self._collect(self._observer.end)

    def _collect(self, observe: Callable[[], Sequence[Event]]) -> None:
        try:
            events = observe()
        except Exception:
            # The failures 1, 10, 100 ...: a witness can fail with every image.
            self._n_failed += 1
            if self._n_failed == 10 ** (len(str(self._n_failed)) - 1):
                logger.exception("events were lost (%d scenes so far)", self._n_failed)
            return
        self.n_events += len(events)
        self._events.extend(events)


OutputKind: TypeAlias = Literal["video", "rows"]


class OutputError(OSError):
    """A file could not be written, so the video was not looked at any further.

    Attributes:
        output: which one: the annotated video, or everybody in every image.
        report: what was found until then.
    """

    def __init__(self, error: OSError, output: OutputKind) -> None:
        """Say the same as the error that it was."""
        if error.errno is None:
            super().__init__(*error.args)
        elif error.filename is None:
            super().__init__(error.errno, error.strerror)
        else:
            super().__init__(error.errno, error.strerror, error.filename)
        self.output = output
        self.report: VideoReport | None = None


@contextlib.contextmanager
def wrap_output_errors(output: OutputKind) -> Iterator[None]:
    """Tell errors of what is written from all others."""
    try:
        yield
    except OSError as error:
        raise OutputError(error, output) from error


def open_video_writer(out: Path, source: VideoSource) -> VideoWriter:
    """Begin the annotated video, like its source in size, rate and sound."""
    info = source.info
    audio = (
        AudioTrack(info.source, info.start_s)
        if info.has_sound and info.source
        else None
    )
    size_wh = (info.width, info.height)
    return VideoWriter(out, size_wh, frame_rate=info.frame_rate, audio=audio)


def describe_lost_audio(source: VideoSource) -> str:
    """Return that sound was left out; that of an address is read no second time."""
    return AUDIO_LOST if source.info.has_sound and not source.info.source else ""


_PREVIEW_INTERVAL_S: Final = 0.5
_PROGRESS_INTERVAL_S: Final = 0.1
_MAX_FRAME_DURATION_S: Final = 1.0
"""Nobody knows what happened in a longer pause, so no more is counted of it."""


@dataclass(frozen=True)
class VideoProgress:
    """How far a video is.

    Attributes:
        fraction_done: share of it, 0 to 1; 0 where its length is not known.
        remaining_s: how long the rest takes, in seconds; None where that is not known.
        time_s: where in the video it is, in seconds.
        n_frames: how many images were looked at.
        preview: `(h, w, 3)` an annotated image, twice a second; else None.
    """

    fraction_done: float
    remaining_s: float | None
    time_s: float
    n_frames: int
    preview: Image | None = None


@dataclass(frozen=True)
class VideoOutputs:
    """What is wanted of a video beside the report.

    Attributes:
        style: how it is drawn on.
        out: where the annotated video goes, if it is wanted.
        csv_writer: gets every image's people, if that is wanted.
        every: only every so many images are looked at, and written.
        keep_crops: whether each person's best view is kept; not where faces are to
            be hidden.
        keep_partial: whether the annotated video is kept when it is stopped early.
        observer: is shown every scene, for events and alerts; without one, the report
            has the events all the same.
    """

    style: Style = DEFAULT_STYLE
    out: Path | None = None
    csv_writer: VideoCsvWriter | None = None
    every: int = 1
    keep_crops: bool = False
    keep_partial: bool = False
    observer: SceneObserver | None = None


NO_OUTPUTS: Final = VideoOutputs()


def run_video_analysis(
    source: str | Path | VideoSource,
    analyzer: Analyzer,
    settings: Settings,
    outputs: VideoOutputs = NO_OUTPUTS,
    *,
    name: str = "",
    on_progress: Callable[[VideoProgress], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> VideoReport:
    """Look at a video, draw on it and count its people; memory stays flat.

    A video that breaks off gives what was found until then, with its `problem`. One
    that is cancelled gives that too, but leaves no annotated video, unless
    `outputs.keep_part` says so.

    Args:
        source: a path, an address, or what `open_video` opened (with `every` given
            there); it is closed in the end.
        analyzer: looks at each image.
        settings: what counts as a face, a sure label and nearness.
        outputs: what to write and keep.
        name: what the video is called in files; by default its path or address.
        on_progress: hears how far it is.
        is_cancelled: asked before each image whether to stop.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: it cannot be opened.
        Unwritten: video or rows could not be written on; it has what was found so far.
        OSError: the annotated video cannot be begun.
    """
    if isinstance(source, str | Path):
        name = name or redact_url(str(source))
        source = open_video(str(source), every=outputs.every)
    with closing(source):
        analysis = _VideoAnalysis(name, source, Stream(analyzer, settings), outputs)
        analysis.pipeline = get_pipeline(analyzer)
        with closing(analysis):
            return _process_video(
                analysis, is_cancelled or _never_cancelled, on_progress
            )


def _process_video(
    analysis: _VideoAnalysis,
    is_cancelled: Callable[[], bool],
    on_progress: Callable[[VideoProgress], None] | None,
) -> VideoReport:
    """Look at all of a video, or at what comes before it is cancelled."""
    try:
        for image, time_s in analysis.iter_frames():
            if is_cancelled():
                analysis.end_s = time_s
                break
            analysis.process_frame(image, time_s)
            if on_progress is not None:
                analysis.report_progress(on_progress)
        analysis.reached_end = not is_cancelled()
        analysis.finish_output()
    except OutputError as error:
        if error.output == "rows":
            with suppress(OutputError):
                analysis.finish_output()
        error.report = analysis.build_report()
        raise
    return analysis.build_report()


class _VideoAnalysis:
    """What is known while a video is looked at.

    Attributes:
        end_s: when the first image that was not looked at is shown; 0 if there is
            none.
        reached_end: whether all images were looked at.
        pipeline: who detects and who classifies, in one line.
    """

    def __init__(
        self, name: str, source: VideoSource, stream: Stream, outputs: VideoOutputs
    ) -> None:
        self._name, self._source, self._outputs = name, source, outputs
        self._stream = stream
        self._timeline, self._contacts = Timeline(), ContactAggregator()
        # A person who must not be recognised in the video must not be beside it.
        crops = outputs.keep_crops and not outputs.style.blur
        self._people = PersonAggregator(keep_crops=crops)
        observer = outputs.observer or EventObserver(_build_stream_info(name, source))
        self._events = EventCollector(observer)
        self._pending: tuple[Scene, Image] | None = None
        self._annotated_frame: Image | None = None
        self._n_frames, self._last_s = 0, 0.0
        self._error = ""
        self.end_s, self.reached_end, self.pipeline = 0.0, False, ""
        self._out: Path | None = None
        self._note = ""
        self._start_s = self._last_preview_s = monotonic()
        self._last_progress_s = -math.inf
        self._writer = (
            None if outputs.out is None else open_video_writer(outputs.out, source)
        )

    def iter_frames(self) -> Iterator[tuple[Image, float]]:
        """Yield the images; a video that breaks off later is a video up to there."""
        try:
            yield from self._source
        except VideoReadError as error:
            if not self._n_frames:
                raise
            self._error = str(error)

    def process_frame(self, image: Image, time_s: float) -> None:
        """Do all there is to do with one image."""
        scene = self._stream.step(image, time_s)
        self._events.add(scene)
        self._count_pending(time_s)
        self._pending = scene, image
        self._n_frames, self._last_s = self._n_frames + 1, time_s
        self._annotated_frame = None
        if self._outputs.csv_writer is not None:
            with wrap_output_errors("rows"):
                self._outputs.csv_writer.add(self._name, scene)
        if self._writer is not None:
            with wrap_output_errors("video"):
                self._writer.write(self._annotate_frame(), time_s)

    def report_progress(self, on_progress: Callable[[VideoProgress], None]) -> None:
        """Say how far it is, not too often."""
        now_s = monotonic()
        if now_s - self._last_progress_s < _PROGRESS_INTERVAL_S:
            return
        self._last_progress_s = now_s
        preview = None
        if now_s - self._last_preview_s >= _PREVIEW_INTERVAL_S or self._n_frames == 1:
            self._last_preview_s = now_s
            preview = self._annotate_frame()
        on_progress(self._compute_progress(now_s - self._start_s, preview))

    def finish_output(self) -> None:
        """End the annotated video, if there is one that is to be kept."""
        is_kept = self._outputs.keep_partial or self.reached_end
        if self._writer and self._out is None and is_kept and self._n_frames:
            with wrap_output_errors("video"):
                end_s = self.end_s or self._source.end_s
                self._out = self._writer.finish(end_s, trim_audio=not self._is_complete)
            self._note = self._writer.note or describe_lost_audio(self._source)
        if self._error and self._outputs.csv_writer is not None:
            with wrap_output_errors("rows"):
                self._outputs.csv_writer.add_error(
                    self._name, self._last_s, self._error
                )

    def build_report(self) -> VideoReport:
        """Return what was found; everybody has left by now."""
        end_s = self.end_s or self._source.end_s
        self._count_pending(end_s)
        self._events.end()
        return VideoReport(
            source=self._name,
            info=self._source.info,
            n_frames=self._n_frames,
            analyzed_s=end_s if self._n_frames else 0.0,
            timeline=self._timeline.get_bins(),
            people=self._people.get_people(),
            contacts=self._contacts.get_contacts(),
            evicted_people=self._people.evicted,
            evicted_contacts=self._contacts.evicted,
            out=self._out,
            is_complete=self._is_complete,
            error=self._error,
            note=self._note,
            started_at=self._events.stream_info.start_utc,
            events=self._events.events,
            n_events=self._events.n_events,
            pipeline=self.pipeline,
        )

    def close(self) -> None:
        """Leave no half video, and nobody who never left."""
        self._events.end()
        if self._writer is not None:
            self._writer.cancel()

    @property
    def _is_complete(self) -> bool:
        return self.reached_end and not self._error

    def _annotate_frame(self) -> Image:
        """Return the last image, drawn on once."""
        if self._annotated_frame is None and self._pending is not None:
            scene, image = self._pending
            self._annotated_frame = draw(image, scene, self._outputs.style)
        if self._annotated_frame is None:
            raise RuntimeError("there was no image yet")
        return self._annotated_frame

    def _count_pending(self, time_s: float) -> None:
        """Count the last image, now that it is known how long it was shown."""
        if self._pending is None:
            return
        scene, image = self._pending
        duration_s = min(_MAX_FRAME_DURATION_S, time_s - scene.time_s)
        self._timeline.add(scene, duration_s)
        self._contacts.add(scene, duration_s)
        self._people.add(scene, image, duration_s)
        self._pending = None

    def _compute_progress(
        self, elapsed_s: float, preview: Image | None
    ) -> VideoProgress:
        time_s = 0.0 if self._pending is None else self._pending[0].time_s
        duration_s = self._source.info.duration_s
        fraction_done = min(1.0, time_s / duration_s) if duration_s > 0 else 0.0
        remaining_s = (
            elapsed_s * (1 - fraction_done) / fraction_done
            if fraction_done > 0
            else None
        )
        return VideoProgress(
            fraction_done, remaining_s, time_s, self._n_frames, preview
        )


def _build_stream_info(name: str, source: VideoSource) -> StreamInfo:
    """Return what events say of a video; where it does not say when it was, now."""
    return StreamInfo(Path(name).name, source.info.taken_at or datetime.now(UTC))


def _never_cancelled() -> bool:
    return False
