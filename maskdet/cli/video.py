"""`maskdet video`: films and cameras as an annotated film, JSON, CSV and a summary."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from maskdet.analyzer import Analyzer, load_analyzer
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_blur_option,
    add_people_options,
    add_rotate_option,
    add_tiles_option,
    chosen,
    tiled,
)
from maskdet.cli.console import (
    STDOUT,
    check_target,
    complain,
    reason,
    say,
    write_text,
)
from maskdet.cli.video_events import add_event_options, wishes
from maskdet.cli.video_job import Job
from maskdet.cli.video_telling import Telling
from maskdet.films import RowFile, Rows, VideoReport, Wanted, to_json
from maskdet.media import checked_target, film_paths

_SHOWN: Final = 5
"""Names of so many files are told of those that are left out."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "video",
        help="track and classify the people in videos and cameras",
        description="Track the people in a video, in every video of a folder, or in "
        "front of a camera, and classify their masks. For a video that cannot be read, "
        "one line says why, the others are analyzed, and the exit status is 1. Ctrl-C "
        "stops and keeps the results so far.",
    )
    parser.add_argument(
        "source",
        metavar="IN",
        help="a video, a folder of videos, the number or device of a webcam, or an "
        "RTSP or HTTP address of a stream or of a camera's snapshot",
    )
    _add_targets(parser)
    parser.add_argument(
        "--every",
        type=_above_zero,
        default=1,
        metavar="N",
        help="analyze and write only every Nth frame (default: every frame)",
    )
    add_blur_option(parser, "the video")
    add_tiles_option(parser)
    add_rotate_option(parser, "every frame")
    add_event_options(parser)
    add_analyzer_options(parser, live=True)
    add_people_options(parser)


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the annotated video there (.mp4, .mov, .mkv, .webm); for a folder "
        "of videos, a folder",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write a summary as JSON; - for stdout"
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="write a row for each person of each frame; - for stdout",
    )


def run(args: argparse.Namespace) -> int:
    """Look at every film; 1 if one of them could not be read to its end."""
    _check_apart(args)
    choice = chosen(args, live=True)
    if choice.settings.distance == "ground_plane" and not choice.settings.ground_points:
        raise ValueError(
            "--distance ground_plane needs four points on it: say --ground-points"
        )
    sources = _sources(args.source)
    films = [Path(source) for source in sources if Path(source).is_file()]
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_target(option, target, films)
    targets = _targets(args, sources, films)
    to_stdout = STDOUT in (args.json, args.csv, args.events)
    telling = Telling(
        wishes(args, choice.settings, films), data_only=to_stdout, style=choice.style
    )
    with telling, _rows(args.csv) as rows:
        analyzer = _loaded(choice, args)
        wanted = Wanted(style=choice.style, rows=rows, every=args.every, keep_part=True)
        job = Job(
            analyzer, choice, wanted, telling, rotate=args.rotate, data_only=to_stdout
        )
        for source, out in zip(sources, targets, strict=True):
            job.look(source, out)
            if job.over:
                break
        lost = _each_done(
            lambda: _keep_rows(args.csv, rows, job.full),
            lambda: _write_json(args.json, job.reports),
            telling.finish,
        )
    return job.status or lost


def _each_done(*steps: Callable[[], int]) -> int:
    """Do everything that is left to do: what fails is one line, and harms no other.

    Returns:
        1 if something failed.

    Raises:
        BrokenPipeError: nobody reads what we say any more.
    """
    status, unread = 0, None
    for step in steps:
        try:
            status |= step()
        except BrokenPipeError as error:
            unread = error
        except (OSError, ValueError, RuntimeError) as error:
            complain(reason(error))
            status = 1
    if unread is not None:
        raise unread
    return status


def _keep_rows(target: str | None, rows: Rows | None, full: OSError | None) -> int:
    """Keep the rows, or say why there are none."""
    if full is not None:
        if isinstance(rows, RowFile):
            rows.drop()
        if full.filename is None:
            full.filename = "stdout"
        raise full
    if isinstance(rows, RowFile):
        rows.keep()
        say(f"wrote {target}", quiet_stdout=True)
    return 0


def _write_json(target: str | None, reports: list[VideoReport]) -> int:
    if target is not None:
        write_text(target, to_json(reports))
    return 0


def _check_apart(args: argparse.Namespace) -> None:
    """Refuse two kinds of data in one stream or file."""
    wanted = {"--json": args.json, "--csv": args.csv, "--events": args.events}
    named = [
        Path(one) for one in (*wanted.values(), args.out) if one not in (None, STDOUT)
    ]
    files = [one.resolve() for one in named if one.is_file() or not one.exists()]
    if len(set(files)) < len(files):
        raise ValueError("--out, --json, --csv and --events need a file each")
    there = [f"{option} -" for option, target in wanted.items() if target == STDOUT]
    if len(there) > 1:
        raise ValueError(f"{' and '.join(there)} cannot both write to stdout")


def _loaded(choice: Choice, args: argparse.Namespace) -> Analyzer:
    loaded = load_analyzer(
        choice.analyzer, choice.classifier, second_look=choice.second_look
    )
    choice.tell()
    if args.out is not None:
        choice.tell_undrawn()
    return tiled(loaded, args.tiles)


def _sources(source: str) -> list[str]:
    """Return the films in a folder, or the one source that it is."""
    if not source.strip():
        raise ValueError("IN is empty: name a video, a folder, a camera or an address")
    if not Path(source).is_dir():
        return [source]
    inside = film_paths(source)
    left_out = _left_out(Path(source), inside)
    if not inside:
        others = f", only {left_out}" if left_out else ""
        raise ValueError(f"{source}: there is no video in this folder{others}")
    if left_out:
        say(f"{source}: left out {left_out}", quiet_stdout=True)
    return [str(path) for path in inside]


def _left_out(folder: Path, films: list[Path]) -> str:
    """Return how many other files and folders there are, and the names of some."""
    taken = set(films)
    rest = sorted(
        path
        for path in folder.iterdir()
        if path not in taken and not path.name.startswith(".")
    )
    folders = [f"{path.name}/" for path in rest if path.is_dir()]
    files = [path.name for path in rest if not path.is_dir()]
    kinds = (files, "file that is not a video", "files that are not videos")
    parts = [
        f"{len(names)} {single if len(names) == 1 else several}"
        for names, single, several in (kinds, (folders, "folder", "folders"))
        if names
    ]
    names = ", ".join([*files, *folders][:_SHOWN])
    more = ", ..." if len(rest) > _SHOWN else ""
    return f"{' and '.join(parts)} ({names}{more})" if parts else ""


def _targets(
    args: argparse.Namespace, sources: list[str], films: list[Path]
) -> list[Path | None]:
    """Return where each annotated film goes, none of them onto an input."""
    out: Path | None = args.out
    if out is None:
        return [None] * len(sources)
    if not Path(args.source).is_dir():
        check_target("--out", str(out), films)
        return [checked_target(out)]
    out.mkdir(parents=True, exist_ok=True)
    taken = {film.resolve() for film in films}
    targets: list[Path | None] = []
    for source in sources:
        for number in itertools.count(1):
            ending = "" if number == 1 else f"-{number}"
            target = out / f"{Path(source).stem}{ending}.mp4"
            if target.resolve() not in taken:
                break
        taken.add(target.resolve())
        targets.append(target)
    return targets


@contextlib.contextmanager
def _rows(target: str | None) -> Iterator[Rows | None]:
    """Open what gets the rows, if they are wanted."""
    if target is None:
        yield None
    elif target == STDOUT:
        yield Rows(sys.stdout)
    else:
        with RowFile(target) as rows:
            yield rows


def _above_zero(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, not {text!r}")
    return int(text)
