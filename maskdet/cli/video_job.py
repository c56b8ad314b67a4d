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
from maskdet.cli.choosing import Choice
from maskdet.cli.console import complain, film_progress, reason, say
from maskdet.cli.video_summary import summary_lines
from maskdet.cli.video_telling import Telling
from maskdet.films import Unwritten, VideoReport, Wanted, analyze_film
from maskdet.media import Live, VideoSource, open_video, public_name

_STOPPED: Final = 130
"""Exit status after Ctrl-C, as shells have it; that of a camera is 0: it has no end."""


class Job:
    """Looks at one film after the other.

    Attributes:
        reports: what was found.
        stopped: whether Ctrl-C was pressed.
        full: why no more rows can be written; None while they can.
        status: the exit status so far.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        choice: Choice,
        wanted: Wanted,
        telling: Telling,
        *,
        rotate: int = 0,
        data_only: bool,
    ) -> None:
        """Look at nothing yet.

        Args:
            analyzer: looks at each picture.
            choice: what was chosen of it.
            wanted: what is written of each film; `out` is given with the film.
            telling: what becomes of events.
            rotate: degrees clockwise by which frames are turned.
            data_only: whether stdout is for data only.
        """
        self.reports: list[VideoReport] = []
        self.stopped = False
        self.full: OSError | None = None
        self.status = 0
        self._analyzer, self._settings = analyzer, choice.settings
        self._wanted, self._data_only = wanted, data_only
        self._telling, self._rotate = telling, rotate

    @property
    def over(self) -> bool:
        """Whether it is no use to look at another film."""
        told = self._telling.problem is not None
        return self.stopped or told or self.full is not None

    def look(self, source: str, out: Path | None) -> None:
        """Do all there is to do with one film or camera."""
        name, endless = public_name(source), False
        try:
            report, endless = self._report(source, name, out)
        except Unwritten as error:
            found = error.report or VideoReport(name)
            report = dataclasses.replace(found, error=reason(error))
            if error.part == "rows":  # no film's fault, and the next would fare alike
                cause = error.__cause__
                self.full = cause if isinstance(cause, OSError) else error
        except (ValueError, OSError) as error:
            report = VideoReport(name, error=reason(error))
            self._note_unread(name, report.error)
        if report.error:
            if self.full is None:
                complain(f"{name}: {report.error}")
            self.status = self.status or 1
        if report.n_frames:
            for line in summary_lines(report, self._wanted.style):
                say(line, quiet_stdout=self._data_only)
        if report.out is not None:
            part = f"only the first {report.analyzed_s:.1f} s" if report.error else ""
            notes = ", ".join(filter(None, (part, report.note)))
            left_out = f" ({notes})" if notes else ""
            say(f"wrote {report.out}{left_out}", quiet_stdout=True)
        self.reports.append(report)
        if self.stopped and not endless:
            self.status = _STOPPED

    def _report(
        self, source: str, name: str, out: Path | None
    ) -> tuple[VideoReport, bool]:
        """Return what was found, and whether it was a camera."""
        frames = open_video(
            source,
            every=self._wanted.every,
            rotate=self._rotate,
            tell=lambda line: complain(f"{name}: {line}"),
        )
        if frames.info.rate_is_assumed:
            rate = f"{float(frames.info.frame_rate):g}"
            line = f"the file has no times; {rate} frames a second are assumed"
            say(f"{name}: {line}", quiet_stdout=True)
        with (
            contextlib.closing(frames),
            self._until_ctrl_c(frames),
            film_progress(name, frames.info.duration_s) as heard,
        ):
            witness = self._telling.witness(frames, source)
            report = analyze_film(
                frames,
                self._analyzer,
                self._settings,
                dataclasses.replace(self._wanted, out=out, witness=witness),
                name=name,
                progress=heard,
                cancelled=self._given_up,
            )
        return report, isinstance(frames, Live)

    def _note_unread(self, name: str, error: str) -> None:
        """Write a row on a video that cannot be read, as long as there is room."""
        if self._wanted.rows is None or self.full is not None:
            return
        try:
            self._wanted.rows.fail(name, None, error)
        except OSError as full:
            self.full = full

    def _given_up(self) -> bool:
        return self.stopped or self._telling.problem is not None

    @contextlib.contextmanager
    def _until_ctrl_c(self, frames: VideoSource) -> Iterator[None]:
        """End the pictures at the first Ctrl-C; the second one ends the program."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            frames.stop()
            signal.signal(signal.SIGINT, before[signal.SIGINT])

        before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
        for one in before:
            signal.signal(one, stop)
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
