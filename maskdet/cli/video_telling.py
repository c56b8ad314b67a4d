"""What becomes of the events of `maskdet video`: printed, written, recorded, sent."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from maskdet.alerts.outbox import OutboxStatus
from maskdet.alerts.watch import Watch
from maskdet.alerts.watch import Witness as WatchWitness
from maskdet.cli.console import STDOUT, complain, say
from maskdet.cli.video_events import Wishes
from maskdet.events import Event, Origin, sentence
from maskdet.films import EventFile, EventRows
from maskdet.media import Live, VideoSource, public_name
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Scene
from maskdet.wording import counted

if TYPE_CHECKING:
    from maskdet.events.writer import EventWriter

WAIT_S: Final = 20.0
"""In the end, alerts and events that still wait get so long."""

_SILENT_S: Final = 1.0
_LOGGERS: Final = ("maskdet.alerts.outbox", "maskdet.events.writer")


@dataclass(frozen=True)
class _Recorder:
    """The database of a command.

    Attributes:
        writer: takes the events.
        place: where they go, without a password.
        keep_days: for how long they are kept there.
    """

    writer: EventWriter
    place: str
    keep_days: int


class Telling:
    """What becomes of the events of one command; use it as a context manager.

    Attributes:
        problem: why nothing more can be written; None while all is well.
    """

    def __init__(
        self,
        wishes: Wishes,
        *,
        data_only: bool = False,
        style: Style = DEFAULT_STYLE,
    ) -> None:
        """Check addresses; nothing is opened yet.

        Args:
            wishes: what is wanted.
            data_only: whether stdout is for data only, so that alerts go to stderr.
            style: what classes are called in lines on stdout.

        Raises:
            ValueError: an address cannot be used.
        """
        self.problem: OSError | None = None
        self._wishes, self._data_only, self._style = wishes, data_only, style
        self._watch = Watch(wishes.plan)
        self._rows: EventRows | None = None
        self._recorder: _Recorder | None = None
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Telling:
        """Open the file and the database.

        Raises:
            OSError: the file cannot be written.
            StoreError: the database cannot be used.
        """
        with contextlib.ExitStack() as opened:
            opened.enter_context(_lines_once())
            opened.callback(self._watch.use, type(self._wishes.plan)(), None)
            if self._wishes.store_url:
                self._recorder = _recorder(self._wishes)
                opened.callback(self._recorder.writer.close)
                self._watch.use(self._wishes.plan, self._recorder.writer)
            if self._wishes.file == STDOUT:
                self._rows = EventRows(sys.stdout)
            elif self._wishes.file is not None:
                self._rows = opened.enter_context(EventFile(self._wishes.file))
            self._closing = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Close what is open; without `finish`, no file is left."""
        self._closing.close()

    def witness(self, frames: VideoSource, source: str) -> FilmWitness:
        """Return what looks at the scenes of a film or camera that was just opened.

        Raises:
            ValueError: its events cannot be what was asked for.
        """
        wishes, live = self._wishes, isinstance(frames, Live)
        if live and wishes.began is not None:
            raise ValueError("what a camera shows begins now; leave out --began")
        now = datetime.now(UTC)
        began = now if live else wishes.began or frames.info.taken_at or now
        days = 0 if self._recorder is None else self._recorder.keep_days
        if days and began < now - timedelta(days=days):
            raise ValueError(
                f"it was taken on {began.astimezone():%Y-%m-%d}, and events are "
                f"deleted after {days} days: say --keep-days, or another --began"
            )
        origin = Origin(wishes.camera or called(source), began)
        return FilmWitness(self, self._watch.witness(origin), live=live)

    def take(self, events: Sequence[Event], when: Callable[[Event], str]) -> None:
        """Print alerts and write events; never raises, see `problem`."""
        if self.problem is not None or not events:
            return
        try:
            if self._rows is not None:
                self._rows.add(events)
            alerts = [event for event in events if event.kind == "alert"]
            for alert in alerts:
                line = f"alert at {when(alert)}: {sentence(alert, self._style)}"
                say(line, quiet_stdout=self._data_only)
            if alerts:
                sys.stdout.flush()  # whoever reads a pipe is told now, not later
        except OSError as error:
            self.problem = error

    def finish(self) -> int:
        """Keep the file, wait for what waits, say what became of it.

        Returns:
            1 if events were not recorded, or a receiver got none of its alerts.

        Raises:
            OSError: events could not be written.
        """
        if self.problem is not None:
            raise self.problem
        if isinstance(self._rows, EventFile):
            self._rows.keep()
            say(f"wrote {self._wishes.file}", quiet_stdout=True)
        self._wait()
        status = self._recorded()
        for name, box in self._watch.deliveries().items():
            status |= _delivered(name, box)
        return status

    def _recorded(self) -> int:
        if self._recorder is None:
            return 0
        now, place = self._recorder.writer.status(), self._recorder.place
        n_lost = now.n_dropped + now.n_waiting
        if not n_lost:
            what = counted(now.n_written, "event")
            say(f"recorded {what} in {place}", quiet_stdout=True)
            return 0
        n_all = now.n_written + n_lost
        why = f": {now.problem}" if now.problem else ""
        what = f"{now.n_written:,} of {counted(n_all, 'event')}"
        complain(f"recorded only {what} in {place}{why}")
        return 1

    def _wait(self) -> None:
        """Wait until nothing waits, not for ever; Ctrl-C ends it."""
        began_s, told = time.monotonic(), False
        with contextlib.suppress(KeyboardInterrupt):
            while (n := self._n_waiting()) and time.monotonic() - began_s < WAIT_S:
                if not told and time.monotonic() - began_s > _SILENT_S:
                    told = True
                    line = f"alerts and events that still wait: {n}; Ctrl-C gives up"
                    say(line, quiet_stdout=True)
                time.sleep(0.02)

    def _n_waiting(self) -> int:
        boxes = self._watch.deliveries().values()
        recorder = self._recorder
        written = 0 if recorder is None else recorder.writer.status().n_waiting
        return written + sum(box.n_waiting for box in boxes)


class FilmWitness:
    """Looks at every scene of one film, and has all of it told.

    Attributes:
        origin: what the film is called, and when it began.
    """

    def __init__(self, telling: Telling, inner: WatchWitness, *, live: bool) -> None:
        """Start at the beginning; see `Telling.witness`."""
        self.origin = inner.origin
        self._telling, self._inner, self._live = telling, inner, live

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        return self._told(self._inner.on_scene(scene))

    def end(self) -> Sequence[Event]:
        """Note and return that everybody left, because the film ended."""
        return self._told(self._inner.end())

    def _told(self, events: Sequence[Event]) -> Sequence[Event]:
        self._telling.take(events, self._when)
        return events

    def _when(self, event: Event) -> str:
        if self._live:
            return f"{event.at.astimezone():%H:%M:%S}"
        return f"{(event.at - self.origin.start_utc).total_seconds():.1f} s"


def called(source: str) -> str:
    """Return what a source is called in events: no folder, and no address's secrets."""
    if source.isascii() and source.isdigit():
        return f"Camera {source}"
    if "://" not in source:
        return Path(source).name
    parts = urlsplit(public_name(source))
    return f"{parts.netloc}{parts.path}".rstrip("/")


def _recorder(wishes: Wishes) -> _Recorder:
    """Open the database, so that what is wrong with it is known before the work."""
    from maskdet.events.store import EventStore
    from maskdet.events.writer import EventWriter

    store = EventStore(wishes.store_url)
    store.create()
    writer = EventWriter(store, keep_days=wishes.keep_days)
    return _Recorder(writer, store.place, wishes.keep_days)


def _delivered(name: str, box: OutboxStatus) -> int:
    """Say what became of a receiver's alerts; return 1 if it got none of them."""
    n_lost = box.n_failed + box.n_dropped + box.n_waiting
    line = f"{name}: {box.n_sent} of {box.n_sent + n_lost} alerts were delivered"
    if not n_lost:
        if box.n_sent:
            say(line, quiet_stdout=True)
        return 0
    complain(f"{line}: {box.problem}" if box.problem else line)
    return 0 if box.n_sent else 1


class _Once(logging.Handler):
    """Prints each line once, as a camera's trouble may last for days."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self._told:
            self._told.add(line)
            complain(line)


@contextlib.contextmanager
def _lines_once() -> Iterator[None]:
    """Turn what the senders log into lines of ours."""
    handler = _Once()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [one.propagate for one in loggers]
    for one in loggers:
        one.addHandler(handler)
        one.propagate = False
    try:
        yield
    finally:
        for one, propagate in zip(loggers, before, strict=True):
            one.removeHandler(handler)
            one.propagate = propagate
