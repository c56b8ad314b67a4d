"""The options of `maskdet video` on events: where they go, and who is told of what."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from maskdet.alerts.mqtt import Broker
from maskdet.alerts.rules import RULE_KINDS, AlertRule
from maskdet.alerts.watch import AlertConfig
from maskdet.cli.console import check_output_path
from maskdet.cli.moments import parse_time
from maskdet.events.origin import MAX_CAMERA_NAME_LENGTH, clean_camera_name
from maskdet.events.place import (
    EVENTS_URL_VARIABLE,
    MAX_RETENTION_DAYS,
    RETENTION_DAYS_VARIABLE,
    read_events_url,
    read_retention_days,
    to_store_url,
)
from maskdet.extras import require_libraries
from maskdet.types import Settings

WEBHOOK_SECRET_VARIABLE: Final = "MASKDET_WEBHOOK_SECRET"
"""Signs what a webhook gets; a file of `--webhook-secret` wins."""

MQTT_PASSWORD_VARIABLE: Final = "MASKDET_MQTT_PASSWORD"
"""The password of the user whom the address of `--mqtt` names."""

_DEFAULT_RULE: Final = AlertRule("no_mask")


@dataclass(frozen=True)
class EventOptions:
    """What is wanted of the events of films and cameras.

    Attributes:
        camera: what the source is called in them; empty for its public name.
        start_time: when the film was taken; None for what it says itself, else now.
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
        settings: how films are looked at.
        inputs: films, which nothing may overwrite.
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
        raise ValueError("--began says when one film was taken, not a folder of them")
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
        raise argparse.ArgumentTypeError(f"no film was taken in the future: {text!r}")
    return start_time
