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

from maskdet.alerts.outbox import DeliveryStatus
from maskdet.alerts.watch import AlertMonitor
from maskdet.alerts.watch import StreamMonitor as WatchWitness
from maskdet.cli.console import STDOUT, print_line, print_warning
from maskdet.cli.video_events import EventOptions
from maskdet.events import Event, StreamInfo, describe_event
from maskdet.films import EventCsvFile, EventCsvWriter
from maskdet.media import LatestFrameSource, VideoSource, redact_url
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Scene
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.events.writer import EventWriter

FLUSH_TIMEOUT_S: Final = 20.0
"""In the end, alerts and events that still wait get so long."""

_WAIT_NOTICE_AFTER_S: Final = 1.0
_LOGGERS: Final = ("maskdet.alerts.outbox", "maskdet.events.writer")


@dataclass(frozen=True)
class _Recorder:
    """The database of a command.

    Attributes:
        writer: takes the events.
        location: where they go, without a password.
        retention_days: for how long they are kept there.
    """

    writer: EventWriter
    location: str
    retention_days: int


class EventOutput:
    """What becomes of the events of one command; use it as a context manager.

    Attributes:
        problem: why nothing more can be written; None while all is well.
    """

    def __init__(
        self,
        options: EventOptions,
        *,
        data_only: bool = False,
        style: Style = DEFAULT_STYLE,
    ) -> None:
        """Check addresses; nothing is opened yet.

        Args:
            options: what is wanted.
            data_only: whether stdout is for data only, so that alerts go to stderr.
            style: what classes are called in lines on stdout.

        Raises:
            ValueError: an address cannot be used.
        """
        self.problem: OSError | None = None
        self._options, self._data_only, self._style = options, data_only, style
        self._alert_monitor = AlertMonitor(options.alert_config)
        self._csv_sink: EventCsvWriter | None = None
        self._recorder: _Recorder | None = None
        self._exit_stack = contextlib.ExitStack()

    def __enter__(self) -> EventOutput:
        """Open the file and the database.

        Raises:
            OSError: the file cannot be written.
            StoreError: the database cannot be used.
        """
        with contextlib.ExitStack() as exit_stack:
            exit_stack.enter_context(_print_log_lines_once())
            exit_stack.callback(
                self._alert_monitor.configure, type(self._options.alert_config)(), None
            )
            if self._options.store_url:
                self._recorder = _open_recorder(self._options)
                exit_stack.callback(self._recorder.writer.close)
                self._alert_monitor.configure(
                    self._options.alert_config, self._recorder.writer
                )
            if self._options.csv_path == STDOUT:
                self._csv_sink = EventCsvWriter(sys.stdout)
            elif self._options.csv_path is not None:
                self._csv_sink = exit_stack.enter_context(
                    EventCsvFile(self._options.csv_path)
                )
            self._exit_stack = exit_stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Close what is open; without `finish`, no file is left."""
        self._exit_stack.close()

    def observe(self, frames: VideoSource, source: str) -> VideoObserver:
        """Return what looks at the scenes of a film or camera that was just opened.

        Raises:
            ValueError: its events cannot be what was asked for.
        """
        options, is_live = self._options, isinstance(frames, LatestFrameSource)
        if is_live and options.start_time is not None:
            raise ValueError("what a camera shows begins now; leave out --began")
        now = datetime.now(UTC)
        start_time = (
            now if is_live else options.start_time or frames.info.taken_at or now
        )
        retention_days = 0 if self._recorder is None else self._recorder.retention_days
        if retention_days and start_time < now - timedelta(days=retention_days):
            raise ValueError(
                f"it was taken on {start_time.astimezone():%Y-%m-%d}, and events are "
                f"deleted after {retention_days} days: say --keep-days, or another "
                "--began"
            )
        stream_info = StreamInfo(
            options.camera or default_camera_name(source), start_time
        )
        return VideoObserver(
            self, self._alert_monitor.monitor_stream(stream_info), is_live=is_live
        )

    def publish(
        self, events: Sequence[Event], format_time: Callable[[Event], str]
    ) -> None:
        """Print alerts and write events; never raises, see `problem`."""
        if self.problem is not None or not events:
            return
        try:
            if self._csv_sink is not None:
                self._csv_sink.add(events)
            alerts = [event for event in events if event.kind == "alert"]
            for alert in alerts:
                line = f"alert at {format_time(alert)}: {describe_event(alert, self._style)}"
                print_line(line, to_stderr=self._data_only)
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
        if isinstance(self._csv_sink, EventCsvFile):
            self._csv_sink.commit()
            print_line(f"wrote {self._options.csv_path}", to_stderr=True)
        self._wait_for_pending()
        status = self._print_recording_status()
        for name, delivery_status in self._alert_monitor.delivery_statuses().items():
            status |= _print_delivery_status(name, delivery_status)
        return status

    def _print_recording_status(self) -> int:
        if self._recorder is None:
            return 0
        writer_status, location = (
            self._recorder.writer.status(),
            self._recorder.location,
        )
        n_lost = writer_status.n_dropped + writer_status.n_waiting
        if not n_lost:
            count_text = format_count(writer_status.n_written, "event")
            print_line(f"recorded {count_text} in {location}", to_stderr=True)
            return 0
        n_all = writer_status.n_written + n_lost
        reason_text = f": {writer_status.problem}" if writer_status.problem else ""
        count_text = f"{writer_status.n_written:,} of {format_count(n_all, 'event')}"
        print_warning(f"recorded only {count_text} in {location}{reason_text}")
        return 1

    def _wait_for_pending(self) -> None:
        """Wait until nothing waits, not for ever; Ctrl-C ends it."""
        start_s, has_printed = time.monotonic(), False
        with contextlib.suppress(KeyboardInterrupt):
            while (
                n := self._count_waiting()
            ) and time.monotonic() - start_s < FLUSH_TIMEOUT_S:
                if (
                    not has_printed
                    and time.monotonic() - start_s > _WAIT_NOTICE_AFTER_S
                ):
                    has_printed = True
                    line = f"alerts and events that still wait: {n}; Ctrl-C gives up"
                    print_line(line, to_stderr=True)
                time.sleep(0.02)

    def _count_waiting(self) -> int:
        delivery_statuses = self._alert_monitor.delivery_statuses().values()
        recorder = self._recorder
        n_events = 0 if recorder is None else recorder.writer.status().n_waiting
        return n_events + sum(
            delivery_status.n_waiting for delivery_status in delivery_statuses
        )


class VideoObserver:
    """Looks at every scene of one film, and has all of it told.

    Attributes:
        stream_info: what the film is called, and when it began.
    """

    def __init__(
        self, event_output: EventOutput, stream_monitor: WatchWitness, *, is_live: bool
    ) -> None:
        """Start at the beginning; see `EventOutput.witness`."""
        self.stream_info = stream_monitor.stream_info
        self._event_output, self._stream_monitor, self._is_live = (
            event_output,
            stream_monitor,
            is_live,
        )

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        return self._publish(self._stream_monitor.on_scene(scene))

    def end(self) -> Sequence[Event]:
        """Note and return that everybody left, because the film ended."""
        return self._publish(self._stream_monitor.end())

    def _publish(self, events: Sequence[Event]) -> Sequence[Event]:
        self._event_output.publish(events, self._format_event_time)
        return events

    def _format_event_time(self, event: Event) -> str:
        if self._is_live:
            return f"{event.at.astimezone():%H:%M:%S}"
        return f"{(event.at - self.stream_info.start_utc).total_seconds():.1f} s"


def default_camera_name(source: str) -> str:
    """Return what a source is called in events: no folder, and no address's secrets."""
    if source.isascii() and source.isdigit():
        return f"Camera {source}"
    if "://" not in source:
        return Path(source).name
    parts = urlsplit(redact_url(source))
    return f"{parts.netloc}{parts.path}".rstrip("/")


def _open_recorder(options: EventOptions) -> _Recorder:
    """Open the database, so that what is wrong with it is known before the work."""
    from maskdet.events.store import EventStore
    from maskdet.events.writer import EventWriter

    store = EventStore(options.store_url)
    store.create()
    writer = EventWriter(store, retention_days=options.retention_days)
    return _Recorder(writer, store.location, options.retention_days)


def _print_delivery_status(name: str, delivery_status: DeliveryStatus) -> int:
    """Say what became of a receiver's alerts; return 1 if it got none of them."""
    n_lost = (
        delivery_status.n_failed + delivery_status.n_dropped + delivery_status.n_waiting
    )
    message = f"{name}: {delivery_status.n_sent} of {delivery_status.n_sent + n_lost} alerts were delivered"
    if not n_lost:
        if delivery_status.n_sent:
            print_line(message, to_stderr=True)
        return 0
    print_warning(
        f"{message}: {delivery_status.problem}" if delivery_status.problem else message
    )
    return 0 if delivery_status.n_sent else 1


class _PrintOnceHandler(logging.Handler):
    """Prints each line once, as a camera's trouble may last for days."""

    def __init__(self) -> None:
        super().__init__()
        self._printed_lines: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self._printed_lines:
            self._printed_lines.add(line)
            print_warning(line)


@contextlib.contextmanager
def _print_log_lines_once() -> Iterator[None]:
    """Turn what the senders log into lines of ours."""
    handler = _PrintOnceHandler()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    previous_propagate = [sender_logger.propagate for sender_logger in loggers]
    for sender_logger in loggers:
        sender_logger.addHandler(handler)
        sender_logger.propagate = False
    try:
        yield
    finally:
        for sender_logger, propagate in zip(loggers, previous_propagate, strict=True):
            sender_logger.removeHandler(handler)
            sender_logger.propagate = propagate
