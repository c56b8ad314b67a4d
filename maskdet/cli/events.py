"""`maskdet events`: list, summarize, export and delete recorded events."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    display_width,
    pad_text,
    print_line,
)
from maskdet.cli.options import (
    add_style_option,
    make_number_parser,
    parse_style,
    parse_time,
)
from maskdet.events.config import EVENTS_URL_VARIABLE, read_events_url, to_store_url
from maskdet.events.event import (
    EVENT_KINDS,
    Event,
    EventCsvFile,
    EventCsvWriter,
    clean_camera_name,
    describe_event,
)
from maskdet.extras import require_libraries
from maskdet.style import DEFAULT_STYLE, Style, format_percent, uncapitalize
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.events.database import EventFilter
    from maskdet.events.store import EventStore

_KIND_WIDTH: Final = max(map(len, EVENT_KINDS.values()))

_DEFAULT_LIMIT: Final = 50

_HOUR_MS: Final = 3_600_000


def format_event_line(
    event: Event, zone: tzinfo | None = None, *, style: Style = DEFAULT_STYLE
) -> str:
    """Format an event as one line.

    Args:
        event: the event.
        zone: time zone of the time; by default the local one.
        style: names of the classes.
    """
    when = event.at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    # Track IDs start again in each session.
    prefix = f"{when}  {event.session[:4]:4}  {EVENT_KINDS[event.kind]:{_KIND_WIDTH}}"
    confidence_text = ""
    if event.label is not Label.UNKNOWN:
        confidence_text = f" ({format_percent(event.confidence)})"
    description = describe_event(replace(event, camera=""), style)
    return f"{prefix}  {event.camera}: {description}{confidence_text}"


def summarize_events(
    store: EventStore,
    event_filter: EventFilter,
    zone: tzinfo | None = None,
    *,
    style: Style = DEFAULT_STYLE,
) -> list[str]:
    """Return the number of people by class, in total and by hour, as lines.

    Args:
        store: events database.
        event_filter: events to count.
        zone: time zone of the hours; by default the local one.
        style: names of the classes.

    Raises:
        StoreError: the database cannot be used.
    """
    counts = store.count_by_kind(event_filter)
    n_people = store.count_unique_people(event_filter)
    events = format_count(counts.total(), "event", "events")
    alerts = format_count(counts["alert"], "alert", "alerts")
    people = store.count_people(event_filter)
    lines = [
        f"{format_count(n_people, 'person', 'people')}: "
        f"{_format_labels(people, style)}",
        f"{events}, including {counts['close']:,} too close and {alerts}",
    ]
    utc_offset = datetime.now().astimezone(zone).utcoffset() or timedelta()
    hours = store.count_people_over_time(
        event_filter, _HOUR_MS, round(utc_offset.total_seconds() * 1e3)
    )
    if hours:
        titles = [uncapitalize(style.title(label)) for label in CLASSES]
        lines += ["", f"{'hour':16}  people  masked  {'  '.join(titles)}"]
        lines += [
            _format_hour(start_ms, hours[start_ms], titles, zone) for start_ms in hours
        ]
    return lines


def _format_labels(people: Counter[Label], style: Style) -> str:
    """Format the number of people by class, and the mask rate."""
    n_labelled = people.total()
    if not n_labelled:
        return "no classes known"
    parts = [
        f"{people[label]:,} {style.title(label)}" for label in CLASSES if people[label]
    ]
    return f"{', '.join(parts)}; {_format_mask_rate(people)} masked"


def _format_mask_rate(people: Counter[Label]) -> str:
    return format_percent(people[Label.MASK] / people.total())


def _format_hour(
    start_ms: int, people: Counter[Label], titles: Sequence[str], zone: tzinfo | None
) -> str:
    start = datetime.fromtimestamp(start_ms / 1e3).astimezone(zone)
    counts_text = "  ".join(
        pad_text(f"{people[label]:,}", display_width(title), align_right=True)
        for label, title in zip(CLASSES, titles, strict=True)
    )
    mask_rate = _format_mask_rate(people)
    return f"{start:%Y-%m-%d %H:%M}  {people.total():6,}  {mask_rate:>6}  {counts_text}"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    when = (
        "WHEN is a date or time such as 2026-11-21 or 2026-11-21T10:30 (local time "
        "unless it has a time zone), or a duration before now: 36h, 7d."
    )
    parser = commands.add_parser(
        "events",
        help="list, summarize, export and delete recorded events",
        description="List or delete recorded events. `maskdet events` alone is "
        "`maskdet events list`.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser(
        "list",
        help="list, summarize and export events",
        description=f"List the newest recorded events, oldest first. {when}",
    )
    deletion = actions.add_parser(
        "delete",
        help="delete events",
        description=f"Delete recorded events. {when}",
    )
    for action in (listing, deletion):
        action.add_argument(
            "database",
            nargs="?",
            default="",
            metavar="DATABASE",
            help="an SQLite file or an SQLAlchemy URL (default: the database of the "
            f"dashboard; put a URL with a password into {EVENTS_URL_VARIABLE})",
        )
    _add_filters(listing)
    _add_output_options(listing)
    extent = deletion.add_mutually_exclusive_group(required=True)
    extent.add_argument(
        "--before",
        type=_parse_time_argument,
        metavar="WHEN",
        help="delete events before this time",
    )
    extent.add_argument("--all", action="store_true", help="delete every event")
    deletion.add_argument(
        "--yes", action="store_true", help="do not ask for confirmation"
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--csv", metavar="FILE", help="write all matching events as CSV; - for stdout"
    )
    group.add_argument(
        "--summary",
        action="store_true",
        help="count unique people, and show the mask rate by hour",
    )
    group.add_argument(
        "--limit",
        type=make_number_parser(1),
        default=_DEFAULT_LIMIT,
        metavar="N",
        help=f"list N events (default: {_DEFAULT_LIMIT})",
    )
    add_style_option(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("filters")
    group.add_argument(
        "--from",
        dest="since",
        type=_parse_time_argument,
        metavar="WHEN",
        help="only events since this time",
    )
    group.add_argument(
        "--to",
        dest="until",
        type=partial(_parse_time_argument, whole_day=True),
        metavar="WHEN",
        help="only events until this time; a date without time includes the day",
    )
    group.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=list(EVENT_KINDS),
        help="only events of this kind; --kind, --label and --camera may be repeated",
    )
    group.add_argument(
        "--label",
        action="append",
        default=[],
        choices=[label.key for label in Label],
        help="only events with this class",
    )
    group.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="NAME",
        help="only events of this camera",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status.

    Raises:
        ValueError: an option is invalid, or the database is unsuitable.
        RuntimeError: the database cannot be used (`StoreError`), or there is no
            terminal for the confirmation.
    """
    require_libraries("maskdet events", "sqlalchemy")
    if args.action == "delete":
        with contextlib.closing(_open_store(args.database)) as store:
            return _delete_events(store, args) if _check_store(store) else 0
    style = parse_style(args)
    if args.csv is not None:
        check_output_path("--csv", args.csv, [])
    with contextlib.closing(_open_store(args.database)) as store:
        if not _check_store(store) and args.csv is None:
            return 0
        return _print_events(store, args, style)


def _check_store(store: EventStore) -> bool:
    """Return whether the database exists; say so if it does not.

    Raises:
        ValueError: it is the database of another program.
    """
    if store.is_foreign():
        raise ValueError(f"{store.location} is not an events database")
    if not store.exists():
        print_line(f"no events recorded in {store.location}", to_stderr=True)
    return store.exists()


def _open_store(name: str) -> EventStore:
    """Open the named database, or that of the dashboard."""
    from maskdet.events.store import EventStore

    if not name:
        url = read_events_url(os.environ)
        if not url:
            raise ValueError(
                f"recording is switched off ({EVENTS_URL_VARIABLE}=off); name a "
                "database"
            )
        return EventStore(url)
    if "://" not in name and not Path(name).expanduser().exists():
        raise FileNotFoundError(2, "there is no such file", name)
    return EventStore(to_store_url(name))


def _print_events(store: EventStore, args: argparse.Namespace, style: Style) -> int:
    from maskdet.events.database import EventFilter

    event_filter = EventFilter(
        _to_ms(args.since),
        _to_ms(args.until),
        tuple(args.kind),
        tuple(args.label),
        # Names are recorded in this form.
        tuple(clean_camera_name(name) for name in args.camera),
    )
    if args.csv is not None:
        _write_csv(store, event_filter, args.csv)
        return 0
    n_events = store.count_by_kind(event_filter).total()
    if not n_events:
        print_line("no matching events")
        return 0
    if args.summary:
        lines = summarize_events(store, event_filter, style=style)
    else:
        newest = store.read(event_filter, args.limit)
        lines = [format_event_line(event, style=style) for event in reversed(newest)]
    for line in lines:
        print_line(line)
    if not args.summary and n_events > args.limit:
        count_text = f"the newest {args.limit:,} of {format_count(n_events, 'event')}"
        print_line(f"{count_text}; --limit N or --csv FILE for more", to_stderr=True)
    return 0


def _write_csv(store: EventStore, event_filter: EventFilter, target: str) -> None:
    if target == STDOUT:
        EventCsvWriter(sys.stdout).add(store.iterate(event_filter))
        return
    with EventCsvFile(target) as file:
        n_events = file.add(store.iterate(event_filter))
        file.commit()
    print_line(f"wrote {target}: {format_count(n_events, 'event')}", to_stderr=True)


def _delete_events(store: EventStore, args: argparse.Namespace) -> int:
    from maskdet.events.database import EventFilter

    before: datetime | None = args.before
    n_events = store.count_by_kind(EventFilter(before_ms=_to_ms(before))).total()
    age_text = "" if before is None else f" from before {before:%Y-%m-%d %H:%M}"
    if not n_events:
        print_line(f"there are no events{age_text} in {store.location}")
        return 0
    events_text = f"{format_count(n_events, 'event')}{age_text}"
    if not args.yes and not _confirm(
        f"Delete {events_text} in {store.location} for good?"
    ):
        print_line("nothing was deleted")
        return 0
    print_line(
        f"{format_count(store.delete(before), 'event was', 'events were')} deleted"
    )
    return 0


def _confirm(question: str) -> bool:
    """Ask for confirmation in the terminal.

    Raises:
        RuntimeError: stdin is not a terminal.
    """
    if not sys.stdin.isatty():
        raise RuntimeError(
            "nothing was deleted: there is no terminal for the confirmation; use --yes"
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _to_ms(when: datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1e3)


def _parse_time_argument(text: str, *, whole_day: bool = False) -> datetime:
    try:
        return parse_time(text, whole_day=whole_day)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
