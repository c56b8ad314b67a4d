"""One film from its first picture to its last: looked at, drawn on, counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Final

from maskdet.analyzer import Analyzer, pipeline_of
from maskdet.drawing import draw
from maskdet.events import Origin
from maskdet.films.contacts import Contacts
from maskdet.films.happened import Happened, Onlooker, Witness
from maskdet.films.people import People
from maskdet.films.report import VideoReport
from maskdet.films.rows import Rows
from maskdet.films.timeline import Timeline
from maskdet.films.unwritten import Unwritten, film_writer, lost_sound, writing
from maskdet.media import (
    VideoReadError,
    VideoSource,
    open_video,
    public_name,
)
from maskdet.streaming import Stream
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Scene, Settings

_PREVIEW_EVERY_S: Final = 0.5
_TELL_EVERY_S: Final = 0.1
_LONGEST_S: Final = 1.0
"""Nobody knows what happened in a longer pause, so no more is counted of it."""


@dataclass(frozen=True)
class Progress:
    """How far a film is.

    Attributes:
        done: share of it, 0 to 1; 0 where its length is not known.
        left_s: how long the rest takes, in seconds; None where that is not known.
        time_s: where in the film it is, in seconds.
        n_pictures: how many pictures were looked at.
        preview: `(h, w, 3)` an annotated picture, twice a second; else None.
    """

    done: float
    left_s: float | None
    time_s: float
    n_pictures: int
    preview: Image | None = None


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a film beside the report.

    Attributes:
        style: how it is drawn on.
        out: where the annotated film goes, if it is wanted.
        rows: gets every picture's people, if that is wanted.
        every: only every so many pictures are looked at, and written.
        keep_crops: whether each person's best view is kept; not where faces are to
            be hidden.
        keep_part: whether the annotated film is kept when it is stopped early.
        witness: is shown every scene, for events and alerts; without one, the report
            has the events all the same.
    """

    style: Style = DEFAULT_STYLE
    out: Path | None = None
    rows: Rows | None = None
    every: int = 1
    keep_crops: bool = False
    keep_part: bool = False
    witness: Witness | None = None


ONLY_A_REPORT: Final = Wanted()


def analyze_film(
    source: str | Path | VideoSource,
    analyzer: Analyzer,
    settings: Settings,
    wanted: Wanted = ONLY_A_REPORT,
    *,
    name: str = "",
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> VideoReport:
    """Look at a film, draw on it and count its people; memory stays flat.

    A film that breaks off gives what was found until then, with its `problem`. One
    that is cancelled gives that too, but leaves no annotated film, unless
    `wanted.keep_part` says so.

    Args:
        source: a path, an address, or what `open_video` opened (with `every` given
            there); it is closed in the end.
        analyzer: looks at each picture.
        settings: what counts as a face, a sure label and nearness.
        wanted: what to write and keep.
        name: what the film is called in files; by default its path or address.
        progress: hears how far it is.
        cancelled: asked before each picture whether to stop.

    Raises:
        FileNotFoundError: there is no such file.
        VideoReadError: it cannot be opened.
        Unwritten: film or rows could not be written on; it has what was found so far.
        OSError: the annotated film cannot be begun.
    """
    if isinstance(source, str | Path):
        name = name or public_name(str(source))
        source = open_video(str(source), every=wanted.every)
    with closing(source):
        run = _Run(name, source, Stream(analyzer, settings), wanted)
        run.pipeline = pipeline_of(analyzer)
        with closing(run):
            return _watched(run, cancelled or _never, progress)


def _watched(
    run: _Run,
    cancelled: Callable[[], bool],
    progress: Callable[[Progress], None] | None,
) -> VideoReport:
    """Look at all of a film, or at what comes before it is cancelled."""
    try:
        for image, time_s in run.pictures():
            if cancelled():
                run.end_s = time_s
                break
            run.look(image, time_s)
            if progress is not None:
                run.tell(progress)
        run.seen_all = not cancelled()
        run.finish()
    except Unwritten as error:
        if error.part == "rows":
            with suppress(Unwritten):
                run.finish()
        error.report = run.report()
        raise
    return run.report()


class _Run:
    """What is known while a film is looked at.

    Attributes:
        end_s: when the first picture that was not looked at is shown; 0 if there is
            none.
        seen_all: whether all pictures were looked at.
        pipeline: who detects and who classifies, in one line.
    """

    def __init__(
        self, name: str, frames: VideoSource, stream: Stream, wanted: Wanted
    ) -> None:
        self._name, self._frames, self._wanted = name, frames, wanted
        self._stream = stream
        self._timeline, self._contacts = Timeline(), Contacts()
        # A person who must not be recognised in the film must not be beside it.
        crops = wanted.keep_crops and not wanted.style.blur
        self._people = People(keep_crops=crops)
        witness = wanted.witness or Onlooker(_origin(name, frames))
        self._happened = Happened(witness)
        self._held: tuple[Scene, Image] | None = None
        self._drawn: Image | None = None
        self._n_pictures, self._last_s = 0, 0.0
        self._problem = ""
        self.end_s, self.seen_all, self.pipeline = 0.0, False, ""
        self._out: Path | None = None
        self._note = ""
        self._began_s = self._previewed_s = monotonic()
        self._told_s = -math.inf
        self._writer = None if wanted.out is None else film_writer(wanted.out, frames)

    def pictures(self) -> Iterator[tuple[Image, float]]:
        """Yield the pictures; a film that breaks off later is a film up to there."""
        try:
            yield from self._frames
        except VideoReadError as error:
            if not self._n_pictures:
                raise
            self._problem = str(error)

    def look(self, image: Image, time_s: float) -> None:
        """Do all there is to do with one picture."""
        scene = self._stream.step(image, time_s)
        self._happened.add(scene)
        self._settle(time_s)
        self._held = scene, image
        self._n_pictures, self._last_s = self._n_pictures + 1, time_s
        self._drawn = None
        if self._wanted.rows is not None:
            with writing("rows"):
                self._wanted.rows.add(self._name, scene)
        if self._writer is not None:
            with writing("film"):
                self._writer.write(self._annotated(), time_s)

    def tell(self, progress: Callable[[Progress], None]) -> None:
        """Say how far it is, not too often."""
        now_s = monotonic()
        if now_s - self._told_s < _TELL_EVERY_S:
            return
        self._told_s = now_s
        preview = None
        if now_s - self._previewed_s >= _PREVIEW_EVERY_S or self._n_pictures == 1:
            self._previewed_s = now_s
            preview = self._annotated()
        progress(self._progress(now_s - self._began_s, preview))

    def finish(self) -> None:
        """End the annotated film, if there is one that is to be kept."""
        kept = self._wanted.keep_part or self.seen_all
        if self._writer and self._out is None and kept and self._n_pictures:
            with writing("film"):
                end_s = self.end_s or self._frames.end_s
                self._out = self._writer.finish(end_s, cut_sound=not self._whole)
            self._note = self._writer.note or lost_sound(self._frames)
        if self._problem and self._wanted.rows is not None:
            with writing("rows"):
                self._wanted.rows.fail(self._name, self._last_s, self._problem)

    def report(self) -> VideoReport:
        """Return what was found; everybody has left by now."""
        end_s = self.end_s or self._frames.end_s
        self._settle(end_s)
        self._happened.end()
        return VideoReport(
            source=self._name,
            info=self._frames.info,
            n_frames=self._n_pictures,
            analyzed_s=end_s if self._n_pictures else 0.0,
            timeline=self._timeline.moments(),
            people=self._people.people(),
            contacts=self._contacts.contacts(),
            earlier=self._people.earlier,
            other_contacts=self._contacts.others,
            out=self._out,
            is_complete=self._whole,
            error=self._problem,
            note=self._note,
            started_at=self._happened.origin.start_utc,
            events=self._happened.events,
            n_events=self._happened.n_events,
            pipeline=self.pipeline,
        )

    def close(self) -> None:
        """Leave no half film, and nobody who never left."""
        self._happened.end()
        if self._writer is not None:
            self._writer.cancel()

    @property
    def _whole(self) -> bool:
        return self.seen_all and not self._problem

    def _annotated(self) -> Image:
        """Return the last picture, drawn on once."""
        if self._drawn is None and self._held is not None:
            scene, image = self._held
            self._drawn = draw(image, scene, self._wanted.style)
        if self._drawn is None:
            raise RuntimeError("there was no picture yet")
        return self._drawn

    def _settle(self, time_s: float) -> None:
        """Count the last picture, now that it is known how long it was shown."""
        if self._held is None:
            return
        scene, image = self._held
        lasts_s = min(_LONGEST_S, time_s - scene.time_s)
        self._timeline.add(scene, lasts_s)
        self._contacts.add(scene, lasts_s)
        self._people.add(scene, image, lasts_s)
        self._held = None

    def _progress(self, spent_s: float, preview: Image | None) -> Progress:
        time_s = 0.0 if self._held is None else self._held[0].time_s
        whole_s = self._frames.info.duration_s
        done = min(1.0, time_s / whole_s) if whole_s > 0 else 0.0
        left_s = spent_s * (1 - done) / done if done > 0 else None
        return Progress(done, left_s, time_s, self._n_pictures, preview)


def _origin(name: str, frames: VideoSource) -> Origin:
    """Return what events say of a film; where it does not say when it was, now."""
    return Origin(Path(name).name, frames.info.taken_at or datetime.now(UTC))


def _never() -> bool:
    return False
