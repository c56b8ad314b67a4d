"""One film or camera of `maskdet video` after the other, and what is said of it."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from maskdet.analyzer import Analyzer
from maskdet.cli.choosing import AnalyzerOptions
from maskdet.cli.console import (
    format_error_reason,
    print_line,
    print_warning,
    show_video_progress,
)
from maskdet.cli.video_summary import summarize_video
from maskdet.cli.video_telling import EventOutput
from maskdet.films import OutputError, VideoOutputs, VideoReport, run_video_analysis
from maskdet.media import LatestFrameSource, VideoSource, open_video, redact_url

_EXIT_INTERRUPTED: Final = 130
"""Exit status after Ctrl-C, as shells have it; that of a camera is 0: it has no end."""


class VideoBatch:
    """Looks at one film after the other.

    Attributes:
        reports: what was found.
        stopped: whether Ctrl-C was pressed.
        csv_error: why no more rows can be written; None while they can.
        status: the exit status so far.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        options: AnalyzerOptions,
        outputs: VideoOutputs,
        event_output: EventOutput,
        *,
        rotate: int = 0,
        data_only: bool,
    ) -> None:
        """Look at nothing yet.

        Args:
            analyzer: looks at each picture.
            options: what was chosen of it.
            outputs: what is written of each film; `out` is given with the film.
            event_output: what becomes of events.
            rotate: degrees clockwise by which frames are turned.
            data_only: whether stdout is for data only.
        """
        self.reports: list[VideoReport] = []
        self.stopped = False
        self.csv_error: OSError | None = None
        self.status = 0
        self._analyzer, self._settings = analyzer, options.settings
        self._outputs, self._data_only = outputs, data_only
        self._event_output, self._rotate = event_output, rotate

    @property
    def is_finished(self) -> bool:
        """Whether it is no use to look at another film."""
        has_event_problem = self._event_output.problem is not None
        return self.stopped or has_event_problem or self.csv_error is not None

    def process_source(self, source: str, out: Path | None) -> None:
        """Do all there is to do with one film or camera."""
        name, is_live = redact_url(source), False
        try:
            report, is_live = self._analyze_source(source, name, out)
        except OutputError as error:
            partial_report = error.report or VideoReport(name)
            report = dataclasses.replace(
                partial_report, error=format_error_reason(error)
            )
            if error.output == "rows":  # no film's fault, and the next would fare alike
                cause = error.__cause__
                self.csv_error = cause if isinstance(cause, OSError) else error
        except (ValueError, OSError) as error:
            report = VideoReport(name, error=format_error_reason(error))
            self._record_unreadable(name, report.error)
        if report.error:
            if self.csv_error is None:
                print_warning(f"{name}: {report.error}")
            self.status = self.status or 1
        if report.n_frames:
            for line in summarize_video(report, self._outputs.style):
                print_line(line, to_stderr=self._data_only)
        if report.out is not None:
            part_text = (
                f"only the first {report.analyzed_s:.1f} s" if report.error else ""
            )
            notes = ", ".join(filter(None, (part_text, report.note)))
            notes_text = f" ({notes})" if notes else ""
            print_line(f"wrote {report.out}{notes_text}", to_stderr=True)
        self.reports.append(report)
        if self.stopped and not is_live:
            self.status = _EXIT_INTERRUPTED

    def _analyze_source(
        self, source: str, name: str, out: Path | None
    ) -> tuple[VideoReport, bool]:
        """Return what was found, and whether it was a camera."""
        frames = open_video(
            source,
            every=self._outputs.every,
            rotate=self._rotate,
            on_status=lambda message: print_warning(f"{name}: {message}"),
        )
        if frames.info.rate_is_assumed:
            rate = f"{float(frames.info.frame_rate):g}"
            message = f"the file has no times; {rate} frames a second are assumed"
            print_line(f"{name}: {message}", to_stderr=True)
        with (
            contextlib.closing(frames),
            self._stop_on_signal(frames),
            show_video_progress(name, frames.info.duration_s) as progress_callback,
        ):
            observer = self._event_output.observe(frames, source)
            report = run_video_analysis(
                frames,
                self._analyzer,
                self._settings,
                dataclasses.replace(self._outputs, out=out, observer=observer),
                name=name,
                on_progress=progress_callback,
                is_cancelled=self._is_cancelled,
            )
        return report, isinstance(frames, LatestFrameSource)

    def _record_unreadable(self, name: str, error: str) -> None:
        """Write a row on a video that cannot be read, as long as there is room."""
        if self._outputs.csv_writer is None or self.csv_error is not None:
            return
        try:
            self._outputs.csv_writer.add_error(name, None, error)
        except OSError as csv_error:
            self.csv_error = csv_error

    def _is_cancelled(self) -> bool:
        return self.stopped or self._event_output.problem is not None

    @contextlib.contextmanager
    def _stop_on_signal(self, frames: VideoSource) -> Iterator[None]:
        """End the pictures at the first Ctrl-C; the second one ends the program."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            frames.stop()
            signal.signal(signal.SIGINT, previous_handlers[signal.SIGINT])

        previous_handlers = {
            signal_number: signal.getsignal(signal_number)
            for signal_number in (signal.SIGINT, signal.SIGTERM)
        }
        for signal_number in previous_handlers:
            signal.signal(signal_number, stop)
        try:
            yield
        finally:
            for signal_number, handler in previous_handlers.items():
                signal.signal(signal_number, handler)
