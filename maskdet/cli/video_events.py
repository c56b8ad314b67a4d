"""The options of `maskdet video` on events: where they go, and who is told of what.

What becomes of the events of `maskdet video`: printed, written, recorded, sent.
"""

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
from maskdet.alerts.monitor import AlertConfig, AlertMonitor
from maskdet.alerts.monitor import StreamMonitor as WatchWitness
from maskdet.alerts.mqtt import Broker
from maskdet.alerts.rules import RULE_KINDS, AlertRule
from maskdet.cli.console import STDOUT, check_output_path, print_line, print_warning
from maskdet.cli.options import parse_time
from maskdet.events import Event, StreamInfo, describe_event
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
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Scene
from maskdet.video import EventCsvFile, EventCsvWriter
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.events.writer import EventWriter

WEBHOOK_SECRET_VARIABLE: Final = "MASKDET_WEBHOOK_SECRET"
"""Signs what a webhook gets; a file of `--webhook-secret` wins."""

MQTT_PASSWORD_VARIABLE: Final = "MASKDET_MQTT_PASSWORD"
"""The password of the user whom the address of `--mqtt` names."""

_DEFAULT_RULE: Final = AlertRule("no_mask")


@dataclass(frozen=True)
class EventOptions:
    """What is wanted of the events of videos and cameras.

    Attributes:
        camera: what the source is called in them; empty for its public name.
        start_time: when the video was taken; None for what it says itself, else now.
        csv_path: gets them as CSV; `-` for stdout, None for nowhere.
        store_url: the database that they are recorded in; empty for none.
        retention_days: for how many days it keeps them.
        alert_config: the rules of alerts, and where these are sent.
    """

    camera: str = ""
    start_time: datetime | None = None
    csv_path: str | None = None
    store_url: str = ""
    retention_days: int = 0
    alert_config: AlertConfig = field(default_factory=AlertConfig)


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """Add the options on events and alerts."""
    _add_recording_options(parser)
    _add_alert_options(parser)


def _add_recording_options(parser: argparse.ArgumentParser) -> None:
    events = parser.add_argument_group(
        "events",
        "Who entered, the class of each person, who was too close, who left. They are "
        "not recorded unless you ask for it, and never contain an image.",
    )
    events.add_argument(
        "--events", metavar="FILE", help="write events as CSV; - for stdout"
    )
    events.add_argument(
        "--record",
        nargs="?",
        const="",
        metavar="STORE",
        help="record events in an SQLite file or an SQLAlchemy URL (default: the "
        f"database of the dashboard; {EVENTS_URL_VARIABLE} can name it, which keeps a "
        "password out of the command line)",
    )
    events.add_argument(
        "--keep-days",
        type=_parse_retention_days,
        metavar="N",
        help="delete older events from there (default: "
        f"{RETENTION_DAYS_VARIABLE}, else {read_retention_days({})})",
    )
    events.add_argument(
        "--camera",
        default="",
        metavar="NAME",
        help=f"name of this camera or video in the events, at most {MAX_CAMERA_NAME_LENGTH} "
        "characters (default: its file name or address)",
    )
    events.add_argument(
        "--began",
        type=_parse_start_time,
        metavar="WHEN",
        help="when the video was taken, such as 2026-11-21T10:00, local time unless it "
        "has a zone (default: the time stored in the file, else now)",
    )


def _add_alert_options(parser: argparse.ArgumentParser) -> None:
    alerts = parser.add_argument_group(
        "alerts",
        "A person causes one alert of a kind; the next one follows only after the "
        "state has ended and the cool-down is over. Times are those of the video. The "
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
        help=f"send alerts of this kind; may be given several times. {kinds_text}",
    )
    rule_options = (
        ("for", "for_s", "S", "how long the state must last, in seconds"),
        ("sure", "min_confidence", "P", "lowest confidence that counts, 0 to 1"),
        (
            "cooldown",
            "cooldown_s",
            "S",
            "shortest time between two alerts of one person, in seconds",
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
        help="send alerts to this address as JSON",
    )
    alerts.add_argument(
        "--webhook-secret",
        type=Path,
        metavar="FILE",
        help=f"file with the secret that signs them (default: {WEBHOOK_SECRET_VARIABLE} in the "
        "environment, else they are not signed)",
    )
    alerts.add_argument(
        "--mqtt",
        default="",
        metavar="URL",
        help="publish alerts at a broker, such as mqtts://user@host/topic; "
        f"{MQTT_PASSWORD_VARIABLE} in the environment is the password",
    )


def parse_event_options(
    args: argparse.Namespace,
    settings: Settings,
    inputs: Sequence[Path],
    environment: Mapping[str, str] = os.environ,
) -> EventOptions:
    """Return what was asked for.

    Args:
        args: the words of the command.
        settings: how videos are looked at.
        inputs: videos, which nothing may overwrite.
        environment: may hold secrets, and where the dashboard records.

    Raises:
        ValueError: options do not go together, or a value cannot be used.
        OSError: the file with the secret cannot be read.
        MissingExtraError: a library for it is not installed.
    """
    check_output_path("--events", args.events, inputs)
    if args.keep_days is not None and args.record is None:
        raise ValueError("--keep-days goes with --record only")
    if args.began is not None and Path(args.source).is_dir():
        raise ValueError("--began says when one video was taken, not a folder of them")
    is_recording = args.record is not None
    if is_recording:
        require_libraries("maskdet video --record", "sqlalchemy")
    if args.mqtt:
        require_libraries("maskdet video --mqtt", "paho.mqtt.client")
    return EventOptions(
        clean_camera_name(args.camera),
        args.began,
        args.events,
        _resolve_store_url(args.record, inputs, environment) if is_recording else "",
        args.keep_days or (read_retention_days(environment) if is_recording else 0),
        _parse_alert_config(args, settings, environment),
    )


def _resolve_store_url(
    location: str, inputs: Sequence[Path], environment: Mapping[str, str]
) -> str:
    """Return the address of the database that was asked for."""
    url = to_store_url(location) if location else read_events_url(environment)
    if not url:
        raise ValueError(
            f"recording is switched off here ({EVENTS_URL_VARIABLE}=off); name a store"
        )
    if location and "://" not in location:
        file = Path(location).expanduser()
        if file.is_dir():
            raise ValueError(f"--record {location}: is a folder, wanted a file")
        if file.resolve() in {path.resolve() for path in inputs}:
            raise ValueError(f"--record {location}: would write into what is read")
    return url


def _parse_alert_config(
    args: argparse.Namespace, settings: Settings, environment: Mapping[str, str]
) -> AlertConfig:
    rules = tuple(_parse_alert_rule(kind, args) for kind in dict.fromkeys(args.alert))
    if not rules and (args.webhook or args.mqtt):
        option = "--webhook" if args.webhook else "--mqtt"
        raise ValueError(f"{option} sends alerts: say of what, as --alert no_mask")
    if "close" in args.alert and settings.distance == "off":
        raise ValueError(
            "--alert close needs distances, which are off: say --distance pinhole"
        )
    if args.webhook_secret is not None and not args.webhook:
        raise ValueError("--webhook-secret goes with --webhook only")
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
            args.alert_sure,
            args.alert_cooldown,
            args.alert_crowd,
        )
    except ValueError as error:
        raise ValueError(f"--alert {kind}: {error}") from None


def _read_secret(file: Path | None, environment: Mapping[str, str]) -> str:
    """Return what signs alerts; empty for nothing."""
    if file is None:
        return environment.get(WEBHOOK_SECRET_VARIABLE, "")
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{file}: a secret is text") from None
    if not secret:
        raise ValueError(f"{file}: is empty, wanted a secret")
    return secret


def _add_password(url: str, password: str) -> str:
    """Return an MQTT address with its user's password, unless it has one.

    Raises:
        ValueError: it is none.
    """
    broker = Broker.from_url(url)
    if not password or not broker.user or broker.password:
        return url
    parts = urlsplit(url.strip())
    user, _, host = parts.netloc.rpartition("@")
    new_netloc = f"{user.rstrip(':')}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=new_netloc))


def _parse_retention_days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_RETENTION_DAYS):
        raise argparse.ArgumentTypeError(
            f"wanted a whole number of days from 1 to {MAX_RETENTION_DAYS}, not "
            f"{text!r}"
        )
    return int(text)


def _parse_start_time(text: str) -> datetime:
    try:
        start_time = parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    # Clocks differ by minutes; events of next year would be kept a year too long.
    if start_time > datetime.now(UTC) + timedelta(days=1):
        raise argparse.ArgumentTypeError(f"no video was taken in the future: {text!r}")
    return start_time


FLUSH_TIMEOUT_S: Final = 20.0
"""In the end, alerts and events that still wait get so long."""

_WAIT_NOTICE_AFTER_S: Final = 1.0
_LOGGERS: Final = ("maskdet.alerts.delivery", "maskdet.events.writer")


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
        """Return what looks at the scenes of a video or camera that was just opened.

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
    """Looks at every scene of one video, and has all of it told.

    Attributes:
        stream_info: what the video is called, and when it began.
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
        """Note and return that everybody left, because the video ended."""
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
