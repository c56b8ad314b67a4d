"""`maskdet events`: list, sum up, export and delete what was recorded."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskdet.cli.choosing import add_style_option, chosen_style
from maskdet.cli.console import STDOUT, check_target, say
from maskdet.cli.events_summary import event_line, summary_lines
from maskdet.cli.moments import moment
from maskdet.events.event import KINDS
from maskdet.events.origin import camera_name
from maskdet.events.place import URL_VARIABLE, events_url, store_url
from maskdet.extras import require
from maskdet.part_file import PartFile
from maskdet.style import Style
from maskdet.types import Label
from maskdet.wording import counted

if TYPE_CHECKING:
    from maskdet.events.statements import EventFilter
    from maskdet.events.store import EventStore

_DELETE: Final = "delete"
_USUAL_ROWS: Final = 50


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "events",
        usage="maskdet events [STORE] [OPTIONS]\n"
        "       maskdet events delete [STORE] (--before WHEN | --all) [--yes]",
        help="list, summarize, export and delete recorded events",
        description="List the newest recorded events, oldest first. WHEN is a date or "
        "time such as 2026-11-21 or 2026-11-21T10:30 (local time unless it has a "
        "zone), or a time before now: 36h, 7d.",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[delete] [STORE]",
        help="an SQLite file or an SQLAlchemy URL (default: the database of the "
        f"dashboard; put a URL with a password into {URL_VARIABLE}); `delete` before "
        "it deletes events",
    )
    _add_filters(parser)
    _add_forms(parser)
    deleting = parser.add_argument_group("with `delete`")
    deleting.add_argument(
        "--before", type=_moment, metavar="WHEN", help="delete events before that time"
    )
    deleting.add_argument("--all", action="store_true", help="delete every event")
    deleting.add_argument(
        "--yes", action="store_true", help="do not ask for confirmation"
    )


def _add_forms(parser: argparse.ArgumentParser) -> None:
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--csv", metavar="FILE", help="write all matching events as CSV; - for stdout"
    )
    shown.add_argument(
        "--summary",
        action="store_true",
        help="count people, each once, and show the mask rate by the hour",
    )
    shown.add_argument(
        "--limit",
        type=_rows,
        default=_USUAL_ROWS,
        metavar="N",
        help=f"list N events (default: {_USUAL_ROWS})",
    )
    add_style_option(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    wanted = parser.add_argument_group("which events")
    wanted.add_argument(
        "--from", dest="since", type=_moment, metavar="WHEN", help="events from then on"
    )
    wanted.add_argument(
        "--to",
        dest="until",
        type=_end,
        metavar="WHEN",
        help="events until then; a date alone includes that day",
    )
    wanted.add_argument(
        "--kind",
        action="append",
        default=[],
        choices=list(KINDS),
        help="only this kind; may be given several times, as --label and --camera",
    )
    wanted.add_argument(
        "--label",
        action="append",
        default=[],
        choices=[label.key for label in Label],
        help="only with this class",
    )
    wanted.add_argument(
        "--camera",
        action="append",
        default=[],
        metavar="NAME",
        help="only from this camera",
    )


def run(args: argparse.Namespace) -> int:
    """Do as asked and return the exit status.

    Raises:
        ValueError: the options do not go together, or there is no such store.
        RuntimeError: the database cannot be used (`StoreError`), or nobody is there
            to be asked.
    """
    require("maskdet events", "sqlalchemy")
    words = list(args.words)
    deleting = words[:1] == [_DELETE]
    del words[: int(deleting)]
    if len(words) > 1:
        raise ValueError("name one store at a time")
    _check(args, deleting=deleting)
    style = chosen_style(args)
    if args.csv is not None:
        check_target("--csv", args.csv, [])
    with contextlib.closing(_store(words[0] if words else "")) as store:
        if store.is_foreign():
            raise ValueError(f"{store.place} is a database of something else")
        if not store.exists():
            say(f"nothing is recorded in {store.place}", quiet_stdout=True)
            if args.csv is None:
                return 0
        return _delete(store, args) if deleting else _show(store, args, style)


def _check(args: argparse.Namespace, *, deleting: bool) -> None:
    """Refuse options that do not go together, above all where events would go."""
    filtered = args.since or args.until or args.kind or args.label or args.camera
    if not deleting:
        if args.before or args.all or args.yes:
            raise ValueError("--before, --all and --yes go with `events delete` only")
        return
    if filtered or args.csv is not None or args.summary:
        raise ValueError("`events delete` takes --before WHEN or --all, and --yes only")
    if bool(args.before) == args.all:
        raise ValueError("say which events to delete: --before WHEN, or --all")


def _store(name: str) -> EventStore:
    """Return the store that was named, or the one where the dashboard records."""
    from maskdet.events.store import EventStore

    if not name:
        url = events_url(os.environ)
        if not url:
            raise ValueError(
                f"recording is switched off here ({URL_VARIABLE}=off); name a store"
            )
        return EventStore(url)
    if "://" not in name and not Path(name).expanduser().exists():
        raise FileNotFoundError(2, "there is no such file", name)
    return EventStore(store_url(name))


def _show(store: EventStore, args: argparse.Namespace, style: Style) -> int:
    from maskdet.events.statements import EventFilter

    wanted = EventFilter(
        _ms(args.since),
        _ms(args.until),
        tuple(args.kind),
        tuple(args.label),
        # As it was recorded: one line, and not too long.
        tuple(camera_name(name) for name in args.camera),
    )
    if args.csv is not None:
        _write_csv(store, wanted, args.csv)
        return 0
    n_events = store.counts(wanted).total()
    if not n_events:
        say("no event is like that")
        return 0
    if args.summary:
        lines = summary_lines(store, wanted, style=style)
    else:
        newest = store.read(wanted, args.limit)
        lines = [event_line(event, style=style) for event in reversed(newest)]
    for line in lines:
        say(line)
    if not args.summary and n_events > args.limit:
        rest = f"the newest {args.limit:,} of {counted(n_events, 'event')}"
        say(f"{rest}; --limit N or --csv FILE for more", quiet_stdout=True)
    return 0


def _write_csv(store: EventStore, wanted: EventFilter, target: str) -> None:
    if target == STDOUT:
        store.write_csv(wanted, sys.stdout)
        return
    with PartFile(target, "events") as file:
        n_events = store.write_csv(wanted, file.stream)
        file.keep()
    say(f"wrote {target}: {counted(n_events, 'event')}", quiet_stdout=True)


def _delete(store: EventStore, args: argparse.Namespace) -> int:
    from maskdet.events.statements import EventFilter

    before: datetime | None = args.before
    n_events = store.counts(EventFilter(before_ms=_ms(before))).total()
    older = "" if before is None else f" from before {before:%Y-%m-%d %H:%M}"
    if not n_events:
        say(f"there are no events{older} in {store.place}")
        return 0
    what = f"{counted(n_events, 'event')}{older}"
    if not args.yes and not _agreed(f"Delete {what} in {store.place} for good?"):
        say("nothing was deleted")
        return 0
    say(f"{counted(store.delete(before), 'event was', 'events were')} deleted")
    return 0


def _agreed(question: str) -> bool:
    """Ask whoever sits there.

    Raises:
        RuntimeError: nobody does.
    """
    if not sys.stdin.isatty():
        raise RuntimeError(
            "nothing was deleted: nobody is there to be asked; say --yes"
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _ms(when: datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1e3)


def _moment(text: str) -> datetime:
    return _typed(text, whole_day=False)


def _end(text: str) -> datetime:
    return _typed(text, whole_day=True)


def _typed(text: str, *, whole_day: bool) -> datetime:
    try:
        return moment(text, whole_day=whole_day)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rows(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, not {text!r}")
    return int(text)
