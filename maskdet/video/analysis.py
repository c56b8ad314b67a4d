"""Analyze one video from start to end.

`run_video_analysis` reads the frames, runs the stream, writes the annotated video and
the CSV, collects the events, and returns a `VideoReport`.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final, Literal, TypeAlias

from maskdet.analyzers.pipelines import Analyzer, get_pipeline
from maskdet.drawing import draw
from maskdet.events import (
    Event,
    EventDetector,
    SceneObserver,
    StreamInfo,
    observe_safely,
)
from maskdet.media import (
    AUDIO_LOST,
    AudioTrack,
    VideoReadError,
    VideoSource,
    VideoWriter,
    open_video,
    redact_url,
)
from maskdet.people import PersonLog, Timeline
from maskdet.settings import Settings
from maskdet.streaming import Stream
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Scene
from maskdet.video.report import VideoReport
from maskdet.video.rows import VideoCsvWriter
from maskdet.video.scene_store import SceneStore

MAX_EVENTS: Final = 10_000
"""A report keeps only the newest events, because a camera can run for months."""

OutputKind: TypeAlias = Literal["video", "csv"]

_PREVIEW_INTERVAL_S: Final = 0.5

_PROGRESS_INTERVAL_S: Final = 0.1


class OutputError(OSError):
    """An output file could not be written, so the analysis stopped.

    Attributes:
        output: which file: the annotated `"video"` or the `"csv"`.
        report: the results until then.
    """

    def __init__(self, error: OSError, output: OutputKind) -> None:
        """Copy number, message and file name of the original error."""
        super().__init__(*error.args)
        self.filename, self.output = error.filename, output
        self.report: VideoReport | None = None


@contextlib.contextmanager
def wrap_output_errors(output: OutputKind) -> Iterator[None]:
    """Turn an `OSError` of an output into an `OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(error, output) from error


def open_video_writer(out: Path, source: VideoSource) -> VideoWriter:
    """Open the annotated video, with the size, frame rate and audio of its source."""
    info = source.info
    audio = (
        AudioTrack(info.source, info.start_s)
        if info.has_audio and info.source
        else None
    )
    size_wh = (info.width, info.height)
    return VideoWriter(out, size_wh, frame_rate=info.frame_rate, audio=audio)


@dataclass(frozen=True)
class VideoProgress:
    """Progress of a video analysis.

    Attributes:
        fraction_done: analyzed fraction, 0 to 1; 0 if the duration is not known.
        remaining_s: estimated time for the rest, in seconds; None if not known.
        time_s: time of the last frame in the video, in seconds.
        n_frames: number of analyzed frames.
        preview: `(h, w, 3)` an annotated frame, twice a second; else None.
    """

    fraction_done: float
    remaining_s: float | None
    time_s: float
    n_frames: int
    preview: Image | None = None


@dataclass(frozen=True)
class VideoOutputs:
    """Outputs of a video analysis beside the report.

    Attributes:
        style: how the annotated video is drawn.
        out: path of the annotated video, or None.
        csv_writer: receives the people of every frame, or None.
        scene_store: receives the scene of every frame, or None.
        every: only every n-th frame is analyzed and written.
        keep_crops: whether to keep the best face crop of each person; ignored if
            `style` blurs faces.
        keep_partial: whether to keep the annotated video of a cancelled analysis.
        observer: receives every scene, for events and alerts. The report has events
            without it, too.
    """

    style: Style = DEFAULT_STYLE
    out: Path | None = None
    csv_writer: VideoCsvWriter | None = None
    scene_store: SceneStore | None = None
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
    """Analyze a video in constant memory, and return the report.

    If the video breaks off, the report has the results until then and an `error`. If
    the analysis is cancelled, it has the results until then; the annotated video is
    deleted unless `outputs.keep_partial` is set.

    Args:
        source: a path, a URL, or an open source (opened with the same `every`), which
            is closed at the end.
        analyzer: analyzes each frame.
        settings: thresholds, label smoothing and distances.
        outputs: what to write and keep.
        name: name of the video in the outputs; by default its path or URL.
        on_progress: called with the progress, at most ten times a second.
        is_cancelled: called before each frame; return True to stop.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: the video cannot be opened.
        OutputError: the annotated video or the CSV cannot be written any further; has
            the report so far.
        OSError: the annotated video cannot be created.
    """
    if isinstance(source, str | Path):
        name = name or redact_url(str(source))
        source = open_video(str(source), every=outputs.every)
    with (
        closing(source),
        closing(_VideoAnalysis(name, source, analyzer, settings, outputs)) as analysis,
    ):
        return _process_video(analysis, is_cancelled, on_progress)


def _process_video(
    analysis: _VideoAnalysis,
    is_cancelled: Callable[[], bool] | None,
    on_progress: Callable[[VideoProgress], None] | None,
) -> VideoReport:
    """Analyze all frames, or those before it is cancelled."""
    is_cancelled = is_cancelled or (lambda: False)
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
        if error.output == "csv":
            with suppress(OutputError):
                analysis.finish_output()
        error.report = analysis.build_report()
        raise
    return analysis.build_report()


class _VideoAnalysis:
    """State of a running video analysis.

    Attributes:
        end_s: time of the first frame that was not analyzed; 0 if there is none.
        reached_end: whether all frames were analyzed.
    """

    def __init__(
        self,
        name: str,
        source: VideoSource,
        analyzer: Analyzer,
        settings: Settings,
        outputs: VideoOutputs,
    ) -> None:
        self._name, self._source, self._outputs = name, source, outputs
        self._timeline = Timeline()
        # If faces are blurred in the video, there must be no crops of them either.
        crops = outputs.keep_crops and not outputs.style.blur
        self._people = PersonLog(keep_crops=crops, timeline=self._timeline)
        self._stream = Stream(analyzer, settings, people=self._people)
        self._pipeline = get_pipeline(analyzer)
        start_utc = source.info.taken_at or datetime.now(UTC)
        info = StreamInfo(Path(name).name, start_utc)
        self._observer: SceneObserver = outputs.observer or EventDetector(info)
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._n_events = 0
        self._last_frame: tuple[Scene, Image] | None = None
        self._annotated_frame: Image | None = None
        self._n_frames = 0
        self._error = ""
        self.end_s, self.reached_end = 0.0, False
        self._out: Path | None = None
        self._note = ""
        self._start_s = self._last_preview_s = monotonic()
        self._last_progress_s = -math.inf
        self._writer = (
            None if outputs.out is None else open_video_writer(outputs.out, source)
        )

    def iter_frames(self) -> Iterator[tuple[Image, float]]:
        """Yield the frames; an error after the first one is kept for the report."""
        try:
            yield from self._source
        except VideoReadError as error:
            if not self._n_frames:
                raise
            self._error = str(error)

    def process_frame(self, image: Image, time_s: float) -> None:
        """Analyze one frame, and write it to all outputs."""
        scene = self._stream.step(image, time_s)
        self._observe()
        self._last_frame = scene, image
        self._n_frames += 1
        self._annotated_frame = None
        if self._outputs.scene_store is not None:
            self._outputs.scene_store.add(scene)
        if self._outputs.csv_writer is not None:
            with wrap_output_errors("csv"):
                self._outputs.csv_writer.add(self._name, scene)
        if self._writer is not None:
            with wrap_output_errors("video"):
                self._writer.write(self._annotate_frame(), time_s)

    def report_progress(self, on_progress: Callable[[VideoProgress], None]) -> None:
        """Call `on_progress`, unless the last call was a moment ago."""
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
        """Finish the annotated video if it is kept; write an error to the CSV."""
        is_kept = self._outputs.keep_partial or self.reached_end
        if self._writer and self._out is None and is_kept and self._n_frames:
            with wrap_output_errors("video"):
                end_s = self.end_s or self._source.end_s
                self._out = self._writer.finish(end_s, trim_audio=not self._is_complete)
            info = self._source.info
            # The audio of a URL is lost.
            is_lost = info.has_audio and not info.source
            self._note = self._writer.note or (AUDIO_LOST if is_lost else "")
        if self._error and self._outputs.csv_writer is not None:
            with wrap_output_errors("csv"):
                self._outputs.csv_writer.add_error(
                    self._name, self._last_s, self._error
                )

    def build_report(self) -> VideoReport:
        """Let everybody leave and return the report."""
        end_s = self.end_s or self._source.end_s
        self._people.end(end_s)
        self._observe()
        return VideoReport(
            source=self._name,
            info=self._source.info,
            n_frames=self._n_frames,
            analyzed_s=end_s if self._n_frames else 0.0,
            timeline=self._timeline.get_bins(),
            label_spans=self._timeline.get_spans(),
            people=self._people.list_people(),
            contacts=self._people.list_contacts(),
            evicted_people=self._people.evicted_people,
            evicted_contacts=self._people.evicted_contacts,
            out=self._out,
            is_complete=self._is_complete,
            error=self._error,
            note=self._note,
            started_at=self._observer.stream_info.start_utc,
            events=tuple(sorted(self._events, key=lambda event: event.at)),
            n_events=self._n_events,
            pipeline=self._pipeline,
        )

    def close(self) -> None:
        """Discard an unfinished output video, and let everybody leave."""
        self._people.end()
        self._observe()
        if self._writer is not None:
            self._writer.cancel()

    @property
    def _last_s(self) -> float:
        return 0.0 if self._last_frame is None else self._last_frame[0].time_s

    @property
    def _is_complete(self) -> bool:
        return self.reached_end and not self._error

    def _annotate_frame(self) -> Image:
        """Return the annotated last frame; it is drawn only once."""
        if self._annotated_frame is None and self._last_frame is not None:
            scene, image = self._last_frame
            self._annotated_frame = draw(image, scene, self._outputs.style)
        if self._annotated_frame is None:
            raise RuntimeError("there is no frame yet")
        return self._annotated_frame

    def _observe(self) -> None:
        """Collect the events of the last scene, or of the end."""
        events = observe_safely(self._observer, self._people)
        self._n_events += len(events)
        self._events.extend(events)

    def _compute_progress(
        self, elapsed_s: float, preview: Image | None
    ) -> VideoProgress:
        time_s, duration_s = self._last_s, self._source.info.duration_s
        fraction_done = min(1.0, time_s / duration_s) if duration_s > 0 else 0.0
        remaining_s = (
            elapsed_s * (1 - fraction_done) / fraction_done
            if fraction_done > 0
            else None
        )
        return VideoProgress(
            fraction_done, remaining_s, time_s, self._n_frames, preview
        )
