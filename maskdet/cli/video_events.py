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
from maskdet.alerts.rules import RULES, AlertRule
from maskdet.alerts.watch import Plan
from maskdet.cli.console import check_target
from maskdet.cli.moments import moment
from maskdet.events.origin import LONGEST_NAME, camera_name
from maskdet.events.place import (
    DAYS_VARIABLE,
    MOST_DAYS,
    URL_VARIABLE,
    events_url,
    keep_days,
    store_url,
)
from maskdet.extras import require
from maskdet.types import Settings

SECRET_VARIABLE: Final = "MASKDET_WEBHOOK_SECRET"
"""Signs what a webhook gets; a file of `--webhook-secret` wins."""

PASSWORD_VARIABLE: Final = "MASKDET_MQTT_PASSWORD"
"""The password of the user whom the address of `--mqtt` names."""

_USUAL: Final = AlertRule("no_mask")


@dataclass(frozen=True)
class Wishes:
    """What is wanted of the events of films and cameras.

    Attributes:
        camera: what the source is called in them; empty for its public name.
        began: when the film was taken; None for what it says itself, else now.
        file: gets them as CSV; `-` for stdout, None for nowhere.
        store_url: the database that they are recorded in; empty for none.
        keep_days: for how many days it keeps them.
        plan: the rules of alerts, and where these are sent.
    """

    camera: str = ""
    began: datetime | None = None
    file: str | None = None
    store_url: str = ""
    keep_days: int = 0
    plan: Plan = field(default_factory=Plan)


def add_event_options(parser: argparse.ArgumentParser) -> None:
    """Add the options on events and alerts."""
    _add_events(parser)
    _add_alerts(parser)


def _add_events(parser: argparse.ArgumentParser) -> None:
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
        f"database of the dashboard; {URL_VARIABLE} can name it, which keeps a "
        "password out of the command line)",
    )
    events.add_argument(
        "--keep-days",
        type=_days,
        metavar="N",
        help="delete older events from there (default: "
        f"{DAYS_VARIABLE}, else {keep_days({})})",
    )
    events.add_argument(
        "--camera",
        default="",
        metavar="NAME",
        help=f"name of this camera or video in the events, at most {LONGEST_NAME} "
        "characters (default: its file name or address)",
    )
    events.add_argument(
        "--began",
        type=_began,
        metavar="WHEN",
        help="when the video was taken, such as 2026-11-21T10:00, local time unless it "
        "has a zone (default: the time stored in the file, else now)",
    )


def _add_alerts(parser: argparse.ArgumentParser) -> None:
    alerts = parser.add_argument_group(
        "alerts",
        "A person causes one alert of a kind; the next one follows only after the "
        "state has ended and the cool-down is over. Times are those of the video. The "
        "exit status is 1 if a receiver got none of its alerts.",
    )
    words = "; ".join(f"{kind}: {title.lower()}" for kind, title in RULES.items())
    alerts.add_argument(
        "--alert",
        action="append",
        default=[],
        choices=list(RULES),
        metavar="KIND",
        help=f"send alerts of this kind; may be given several times. {words}",
    )
    numbers = (
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
    for option, name, sign, line in numbers:
        usual = getattr(_USUAL, name)
        alerts.add_argument(
            f"--alert-{option}",
            type=type(usual),
            default=usual,
            metavar=sign,
            help=f"{line} (default: {usual:g})",
        )
    _add_receivers(alerts)


def _add_receivers(alerts: argparse._ArgumentGroup) -> None:
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
        help=f"file with the secret that signs them (default: {SECRET_VARIABLE} in the "
        "environment, else they are not signed)",
    )
    alerts.add_argument(
        "--mqtt",
        default="",
        metavar="URL",
        help="publish alerts at a broker, such as mqtts://user@host/topic; "
        f"{PASSWORD_VARIABLE} in the environment is the password",
    )


def wishes(
    args: argparse.Namespace,
    settings: Settings,
    inputs: Sequence[Path],
    environment: Mapping[str, str] = os.environ,
) -> Wishes:
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
    check_target("--events", args.events, inputs)
    if args.keep_days is not None and args.record is None:
        raise ValueError("--keep-days goes with --record only")
    if args.began is not None and Path(args.source).is_dir():
        raise ValueError("--began says when one film was taken, not a folder of them")
    recording = args.record is not None
    if recording:
        require("maskdet video --record", "sqlalchemy")
    if args.mqtt:
        require("maskdet video --mqtt", "paho.mqtt.client")
    return Wishes(
        camera_name(args.camera),
        args.began,
        args.events,
        _store(args.record, inputs, environment) if recording else "",
        args.keep_days or (keep_days(environment) if recording else 0),
        _plan(args, settings, environment),
    )


def _store(place: str, inputs: Sequence[Path], environment: Mapping[str, str]) -> str:
    """Return the address of the database that was asked for."""
    url = store_url(place) if place else events_url(environment)
    if not url:
        raise ValueError(
            f"recording is switched off here ({URL_VARIABLE}=off); name a store"
        )
    if place and "://" not in place:
        file = Path(place).expanduser()
        if file.is_dir():
            raise ValueError(f"--record {place}: is a folder, wanted a file")
        if file.resolve() in {path.resolve() for path in inputs}:
            raise ValueError(f"--record {place}: would write into what is read")
    return url


def _plan(
    args: argparse.Namespace, settings: Settings, environment: Mapping[str, str]
) -> Plan:
    rules = tuple(_rule(kind, args) for kind in dict.fromkeys(args.alert))
    if not rules and (args.webhook or args.mqtt):
        option = "--webhook" if args.webhook else "--mqtt"
        raise ValueError(f"{option} sends alerts: say of what, as --alert no_mask")
    if "close" in args.alert and settings.distance == "off":
        raise ValueError(
            "--alert close needs distances, which are off: say --distance pinhole"
        )
    if args.webhook_secret is not None and not args.webhook:
        raise ValueError("--webhook-secret goes with --webhook only")
    password = environment.get(PASSWORD_VARIABLE, "")
    return Plan(
        rules,
        args.webhook,
        _secret(args.webhook_secret, environment) if args.webhook else "",
        _with_password(args.mqtt, password) if args.mqtt else "",
    )


def _rule(kind: str, args: argparse.Namespace) -> AlertRule:
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


def _secret(file: Path | None, environment: Mapping[str, str]) -> str:
    """Return what signs alerts; empty for nothing."""
    if file is None:
        return environment.get(SECRET_VARIABLE, "")
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{file}: a secret is text") from None
    if not secret:
        raise ValueError(f"{file}: is empty, wanted a secret")
    return secret


def _with_password(url: str, password: str) -> str:
    """Return an MQTT address with its user's password, unless it has one.

    Raises:
        ValueError: it is none.
    """
    broker = Broker.from_url(url)
    if not password or not broker.user or broker.password:
        return url
    parts = urlsplit(url.strip())
    user, _, place = parts.netloc.rpartition("@")
    whole = f"{user.rstrip(':')}:{quote(password, safe='')}@{place}"
    return urlunsplit(parts._replace(netloc=whole))


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_DAYS):
        raise argparse.ArgumentTypeError(
            f"wanted a whole number of days from 1 to {MOST_DAYS}, not {text!r}"
        )
    return int(text)


def _began(text: str) -> datetime:
    try:
        began = moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    # Clocks differ by minutes; events of next year would be kept a year too long.
    if began > datetime.now(UTC) + timedelta(days=1):
        raise argparse.ArgumentTypeError(f"no film was taken in the future: {text!r}")
    return began
