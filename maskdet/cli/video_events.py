"""Events and alerts of `maskdet video`: options, and output to files and receivers."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit, urlunsplit

from maskdet.alerts.delivery import DeliveryStatus
from maskdet.alerts.monitor import AlertConfig, AlertMonitor, StreamMonitor
from maskdet.alerts.mqtt import Broker
from maskdet.alerts.rules import RULE_KINDS, AlertRule
from maskdet.cli.console import STDOUT, check_output_path, print_line, print_warning
from maskdet.cli.options import make_number_parser, parse_time
from maskdet.events import (
    Event,
    EventCsvFile,
    EventCsvWriter,
    StreamInfo,
    describe_event,
)
from maskdet.events.config import (
    EVENTS_URL_VARIABLE,
    MAX_RETENTION_DAYS,
    RETENTION_DAYS_VARIABLE,
    read_events_url,
    read_retention_days,
    to_store_url,
)
from maskdet.events.event import MAX_CAMERA_NAME_LENGTH, clean_camera_name
from maskdet.extras import require_libraries
from maskdet.media import LatestFrameSource, VideoSource, redact_url
from maskdet.people import PersonLog
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.events.writer import EventWriter

WEBHOOK_SECRET_VARIABLE: Final = "MASKDET_WEBHOOK_SECRET"
"""Variable with the secret of the webhook; `--webhook-secret` takes precedence."""

MQTT_PASSWORD_VARIABLE: Final = "MASKDET_MQTT_PASSWORD"
"""Variable with the password of the user in the URL of `--mqtt`."""

_DEFAULT_RULE: Final = AlertRule("no_mask")

FLUSH_TIMEOUT_S: Final = 20.0
"""How long to wait at the end for queued alerts and events, in seconds."""

_WAIT_NOTICE_AFTER_S: Final = 1.0

_LOGGERS: Final = ("maskdet.alerts.delivery", "maskdet.events.writer")


@dataclass(frozen=True)
class EventOptions:
    """Parsed options for events and alerts.

    Attributes:
        camera: camera name in the events; empty for the name of the source.
        start_time: start of the recording; None for the time in the file, else now.
        csv_path: CSV file of the events; `-` for stdout, None for none.
        store_url: database to record events in; empty for none.
        retention_days: for how many days the database keeps events.
        alert_config: rules and receivers of alerts.
    """

    camera: str = ""
    start_time: datetime | None = None
    csv_path: str | None = None
    store_url: str = ""
    retention_days: int = 0
    alert_config: AlertConfig = field(default_factory=AlertConfig)


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for events and alerts."""
    _add_recording_options(parser)
    _add_alert_options(parser)


def _add_recording_options(parser: argparse.ArgumentParser) -> None:
    events = parser.add_argument_group(
        "events",
        "When people enter and leave, their classes, and contacts that last too long. "
        "Events are only recorded with --record, and never contain an image.",
    )
    events.add_argument(
        "--events", metavar="FILE", help="write events as CSV; - for stdout"
    )
    events.add_argument(
        "--record",
        nargs="?",
        const="",
        metavar="DATABASE",
        help="record events in an SQLite file or an SQLAlchemy URL (default: the "
        f"database of the dashboard; put a URL with a password into "
        f"{EVENTS_URL_VARIABLE})",
    )
    events.add_argument(
        "--keep-days",
        type=make_number_parser(1, MAX_RETENTION_DAYS),
        metavar="N",
        help="delete events older than N days from the database (default: "
        f"{RETENTION_DAYS_VARIABLE}, else {read_retention_days({})})",
    )
    events.add_argument(
        "--camera",
        default="",
        metavar="NAME",
        help="name of this camera or video in the events, at most "
        f"{MAX_CAMERA_NAME_LENGTH} characters (default: its file name or URL)",
    )
    events.add_argument(
        "--start-time",
        type=_parse_start_time,
        metavar="WHEN",
        help="when the recording of the video started, such as 2026-11-21T10:00, local "
        "time unless it has a time zone (default: the time stored in the file, else "
        "now)",
    )


def _add_alert_options(parser: argparse.ArgumentParser) -> None:
    alerts = parser.add_argument_group(
        "alerts",
        "A person raises one alert of a kind; the next one follows only after the "
        "state has ended and the cool-down is over. Durations are in video time. The "
        "exit status is 1 if a receiver got none of its alerts.",
    )
    kinds_text = "; ".join(
        f"{kind}: {title.lower()}" for kind, title in RULE_KINDS.items()
    )
    alerts.add_argument(
        "--alert",
        action="append",
        default=[],
        choices=list(RULE_KINDS),
        metavar="KIND",
        help=f"raise alerts of this kind; may be repeated. {kinds_text}",
    )
    rule_options = (
        ("for", "for_s", "S", "how long the state must last, in seconds"),
        ("min-confidence", "min_confidence", "P", "confidence threshold, 0 to 1"),
        (
            "cooldown",
            "cooldown_s",
            "S",
            "minimum time between two alerts of a person, in seconds",
        ),
        ("crowd", "more_than", "N", "crowd: alert if more than N people wear no mask"),
    )
    for option, name, placeholder, description in rule_options:
        default_value = getattr(_DEFAULT_RULE, name)
        alerts.add_argument(
            f"--alert-{option}",
            type=type(default_value),
            default=default_value,
            metavar=placeholder,
            help=f"{description} (default: {default_value:g})",
        )
    _add_receiver_options(alerts)


def _add_receiver_options(alerts: argparse._ArgumentGroup) -> None:
    alerts.add_argument(
        "--webhook",
        default="",
        metavar="URL",
        help="send alerts to this URL as JSON",
    )
    alerts.add_argument(
        "--webhook-secret",
        type=Path,
        metavar="FILE",
        help="file with the secret that signs the requests (default: the variable "
        f"{WEBHOOK_SECRET_VARIABLE}, else no signature)",
    )
    alerts.add_argument(
        "--mqtt",
        default="",
        metavar="URL",
        help="publish alerts to an MQTT broker, such as mqtts://user@host/topic; the "
        f"variable {MQTT_PASSWORD_VARIABLE} is the password",
    )


def parse_event_options(
    args: argparse.Namespace,
    settings: Settings,
    inputs: Sequence[Path],
    environment: Mapping[str, str] = os.environ,
) -> EventOptions:
    """Parse the options for events and alerts.

    Args:
        args: parsed arguments.
        settings: settings of the analysis.
        inputs: videos, which must not be overwritten.
        environment: environment variables.

    Raises:
        ValueError: options contradict each other, or a value is invalid.
        OSError: the file with the secret cannot be read.
        MissingExtraError: a required library is not installed.
    """
    check_output_path("--events", args.events, inputs)
    if args.keep_days is not None and args.record is None:
        raise ValueError("--keep-days needs --record")
    if args.start_time is not None and Path(args.source).is_dir():
        raise ValueError("--start-time is only for a single video, not for a folder")
    is_recording = args.record is not None
    if is_recording:
        require_libraries("maskdet video --record", "sqlalchemy")
    if args.mqtt:
        require_libraries("maskdet video --mqtt", "paho.mqtt.client")
    return EventOptions(
        clean_camera_name(args.camera),
        args.start_time,
        args.events,
        _resolve_store_url(args.record, inputs, environment) if is_recording else "",
        args.keep_days or (read_retention_days(environment) if is_recording else 0),
        _parse_alert_config(args, settings, environment),
    )


def _resolve_store_url(
    location: str, inputs: Sequence[Path], environment: Mapping[str, str]
) -> str:
    """Return the URL of the database of `--record`."""
    url = to_store_url(location) if location else read_events_url(environment)
    if not url:
        raise ValueError(
            f"recording is switched off ({EVENTS_URL_VARIABLE}=off); name a database"
        )
    if location and "://" not in location:
        file = Path(location).expanduser()
        if file.is_dir():
            raise ValueError(f"--record {location}: is a folder, not a file")
        if file.resolve() in {path.resolve() for path in inputs}:
            raise ValueError(f"--record {location}: would overwrite an input file")
    return url


def _parse_alert_config(
    args: argparse.Namespace, settings: Settings, environment: Mapping[str, str]
) -> AlertConfig:
    rules = tuple(_parse_alert_rule(kind, args) for kind in dict.fromkeys(args.alert))
    if not rules and (args.webhook or args.mqtt):
        option = "--webhook" if args.webhook else "--mqtt"
        raise ValueError(f"{option} needs alerts; add a kind, such as --alert no_mask")
    if "close" in args.alert and settings.distance == "off":
        raise ValueError(
            "--alert close needs distances, which are off; set --distance pinhole"
        )
    if args.webhook_secret is not None and not args.webhook:
        raise ValueError("--webhook-secret needs --webhook")
    password = environment.get(MQTT_PASSWORD_VARIABLE, "")
    return AlertConfig(
        rules,
        args.webhook,
        _read_secret(args.webhook_secret, environment) if args.webhook else "",
        _add_password(args.mqtt, password) if args.mqtt else "",
    )


def _parse_alert_rule(kind: str, args: argparse.Namespace) -> AlertRule:
    try:
        return AlertRule(
            kind,
            args.alert_for,
            args.alert_min_confidence,
            args.alert_cooldown,
            args.alert_crowd,
        )
    except ValueError as error:
        raise ValueError(f"--alert {kind}: {error}") from None


def _read_secret(file: Path | None, environment: Mapping[str, str]) -> str:
    """Return the secret of the webhook; empty for no signature."""
    if file is None:
        return environment.get(WEBHOOK_SECRET_VARIABLE, "")
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{file}: the secret must be UTF-8 text") from None
    if not secret:
        raise ValueError(f"{file}: the file with the secret is empty")
    return secret


def _add_password(url: str, password: str) -> str:
    """Add the password to an MQTT URL with a user but without a password.

    Raises:
        ValueError: the URL is invalid.
    """
    broker = Broker.from_url(url)
    if not password or not broker.user or broker.password:
        return url
    parts = urlsplit(url.strip())
    user, _, host = parts.netloc.rpartition("@")
    new_netloc = f"{user.rstrip(':')}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=new_netloc))


def _parse_start_time(text: str) -> datetime:
    try:
        start_time = parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    # Tolerate wrong clocks; events in the far future would never expire.
    if start_time > datetime.now(UTC) + timedelta(days=1):
        raise argparse.ArgumentTypeError(f"must not be in the future: {text!r}")
    return start_time


class EventOutput:
    """Output of the events of one command, as a context manager.

    Attributes:
        problem: error of writing events; None if there is none.
    """

    def __init__(
        self,
        options: EventOptions,
        *,
        data_only: bool = False,
        style: Style = DEFAULT_STYLE,
    ) -> None:
        """Check the receivers; nothing is opened yet.

        Args:
            options: parsed options.
            data_only: whether stdout is for data only; alerts go to stderr then.
            style: names of the classes.

        Raises:
            ValueError: a URL is invalid.
        """
        self.problem: OSError | None = None
        self._options, self._data_only, self._style = options, data_only, style
        self._alert_monitor = AlertMonitor(options.alert_config)
        self._csv_sink: EventCsvWriter | None = None
        self._writer: EventWriter | None = None
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
                self._writer = _open_writer(self._options)
                exit_stack.callback(self._writer.close)
                self._alert_monitor.configure(self._options.alert_config, self._writer)
            if self._options.csv_path == STDOUT:
                self._csv_sink = EventCsvWriter(sys.stdout)
            elif self._options.csv_path is not None:
                self._csv_sink = exit_stack.enter_context(
                    EventCsvFile(self._options.csv_path)
                )
            self._exit_stack = exit_stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Close files and database; without `finish`, the CSV file is discarded."""
        self._exit_stack.close()

    def observe(self, frames: VideoSource, source: str) -> VideoObserver:
        """Return an observer for the scenes of a video or camera that was just opened.

        Raises:
            ValueError: the options do not fit this source.
        """
        options, is_live = self._options, isinstance(frames, LatestFrameSource)
        if is_live and options.start_time is not None:
            raise ValueError("--start-time is not for cameras; leave it out")
        now = datetime.now(UTC)
        start_time = (
            now if is_live else options.start_time or frames.info.taken_at or now
        )
        retention_days = 0 if self._writer is None else self._writer.retention_days
        if retention_days and start_time < now - timedelta(days=retention_days):
            raise ValueError(
                f"recorded on {start_time.astimezone():%Y-%m-%d}, but events are "
                f"deleted after {retention_days} days; set --keep-days or --start-time"
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
                description = describe_event(alert, self._style)
                line = f"alert at {format_time(alert)}: {description}"
                print_line(line, to_stderr=self._data_only)
            if alerts:
                sys.stdout.flush()  # the reader of a pipe must get alerts at once
        except OSError as error:
            self.problem = error

    def finish(self) -> int:
        """Commit the file, wait for queued events and alerts, and print their status.

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
        if self._writer is None:
            return 0
        writer_status, location = self._writer.status(), self._writer.location
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
        """Wait for the queues, up to `FLUSH_TIMEOUT_S` or until Ctrl-C."""
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
                    what = format_count(n, "alert or event", "alerts and events")
                    line = f"waiting for {what}; Ctrl-C stops waiting"
                    print_line(line, to_stderr=True)
                time.sleep(0.02)

    def _count_waiting(self) -> int:
        delivery_statuses = self._alert_monitor.delivery_statuses().values()
        n_events = 0 if self._writer is None else self._writer.status().n_waiting
        return n_events + sum(
            delivery_status.n_waiting for delivery_status in delivery_statuses
        )


class VideoObserver:
    """The observer of one video, which publishes its events.

    Attributes:
        stream_info: name and start of the video.
    """

    def __init__(
        self, event_output: EventOutput, stream_monitor: StreamMonitor, *, is_live: bool
    ) -> None:
        """Start at the beginning; see `EventOutput.observe`."""
        self.stream_info = stream_monitor.stream_info
        self._event_output, self._stream_monitor = event_output, stream_monitor
        self._is_live = is_live

    def observe(self, people: PersonLog) -> Sequence[Event]:
        """Publish and return the events of the last scene, or of the end."""
        events = self._stream_monitor.observe(people)
        self._event_output.publish(events, self._format_event_time)
        return events

    def _format_event_time(self, event: Event) -> str:
        if self._is_live:
            return f"{event.at.astimezone():%H:%M:%S}"
        return f"{(event.at - self.stream_info.start_utc).total_seconds():.1f} s"


def default_camera_name(source: str) -> str:
    """Return the camera name of a source: without folder and credentials."""
    if source.isascii() and source.isdigit():
        return f"Camera {source}"
    if "://" not in source:
        return Path(source).name
    parts = urlsplit(redact_url(source))
    return f"{parts.netloc}{parts.path}".rstrip("/")


def _open_writer(options: EventOptions) -> EventWriter:
    """Open the database before the analysis, so that errors are reported early."""
    from maskdet.events.store import EventStore
    from maskdet.events.writer import EventWriter

    store = EventStore(options.store_url)
    store.create()
    return EventWriter(store, retention_days=options.retention_days)


def _print_delivery_status(name: str, delivery_status: DeliveryStatus) -> int:
    """Print the status of a receiver; return 1 if all of its alerts are lost."""
    n_lost = (
        delivery_status.n_failed + delivery_status.n_dropped + delivery_status.n_waiting
    )
    n_sent = delivery_status.n_sent
    message = f"{name}: {n_sent} of {n_sent + n_lost} alerts were delivered"
    if not n_lost:
        if delivery_status.n_sent:
            print_line(message, to_stderr=True)
        return 0
    print_warning(
        f"{message}: {delivery_status.problem}" if delivery_status.problem else message
    )
    return 0 if delivery_status.n_sent else 1


class _PrintOnceHandler(logging.Handler):
    """Prints each line once, as an error may last for days."""

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
    """Print the log messages of writer and delivery, each once."""
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
