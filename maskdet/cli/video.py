"""`maskdet video`: films and cameras as an annotated film, JSON, CSV and a summary."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from maskdet.analyzer import Analyzer, load_analyzer
from maskdet.cli.choosing import (
    Choice,
    add_analyzer_options,
    add_blur_option,
    add_people_options,
    add_tiles_option,
    chosen,
    tiled,
)
from maskdet.cli.console import (
    STDOUT,
    check_target,
    complain,
    film_progress,
    reason,
    say,
    write_text,
)
from maskdet.cli.video_events import add_event_options, wishes
from maskdet.cli.video_summary import summary_lines
from maskdet.cli.video_telling import Telling
from maskdet.films import FilmReport, RowFile, Rows, Wanted, analyze_film, to_json
from maskdet.media import (
    Frames,
    Live,
    checked_target,
    film_paths,
    open_source,
    public_name,
)
from maskdet.style import DEFAULT_STYLE

_STOPPED: Final = 130
"""Exit status after Ctrl-C, as shells have it; that of a camera is 0: it has no end."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "video",
        help="follow the people in films and cameras, and say who wears a mask",
        description="Follow the people in a film, in every film of a folder, or "
        "before a camera. A film that cannot be read gets one line, the others go on, "
        "and the status is 1. Ctrl-C ends early and keeps what was found until then.",
    )
    parser.add_argument(
        "source",
        metavar="IN",
        help="a film, a folder of films, the number of a camera, or an RTSP or HTTP "
        "address",
    )
    _add_targets(parser)
    parser.add_argument(
        "--every",
        type=_above_zero,
        default=1,
        metavar="N",
        help="look at, and write, only every Nth picture (default: every one)",
    )
    add_blur_option(parser, "the film")
    add_tiles_option(parser)
    add_event_options(parser)
    add_analyzer_options(parser, live=True)
    add_people_options(parser)


def _add_targets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the annotated film there (.mp4, .mov, .mkv, .webm); for a folder "
        "of films, a folder",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write a summary as JSON; - for stdout"
    )
    parser.add_argument(
        "--csv", metavar="FILE", help="write everybody in every picture; - for stdout"
    )


def run(args: argparse.Namespace) -> int:
    """Look at every film; 1 if one of them could not be read to its end."""
    _check_apart(args)
    choice = chosen(args, live=True)
    if choice.settings.distance == "floor" and not choice.settings.floor:
        raise ValueError("--distance floor needs four points on it: say --floor")
    sources = _sources(args.source)
    films = [Path(source) for source in sources if Path(source).is_file()]
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_target(option, target, films)
    targets = _targets(args, sources, films)
    to_stdout = STDOUT in (args.json, args.csv, args.events)
    telling = Telling(wishes(args, choice.settings, films), data_only=to_stdout)
    with telling, _rows(args.csv) as rows:
        analyzer = _loaded(choice, args)
        style = dataclasses.replace(DEFAULT_STYLE, blur=choice.blur)
        wanted = Wanted(style=style, rows=rows, every=args.every, keep_part=True)
        job = _Job(analyzer, choice, wanted, telling, data_only=to_stdout)
        for source, out in zip(sources, targets, strict=True):
            job.look(source, out)
            if job.stopped or telling.problem is not None:
                break
        if isinstance(rows, RowFile):
            rows.keep()
            say(f"wrote {args.csv}", quiet_stdout=True)
        if args.json is not None:
            write_text(args.json, to_json(job.reports))
        lost = telling.finish()
    return job.status or lost


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


class _Job:
    """Looks at one film after the other.

    Attributes:
        reports: what was found.
        stopped: whether Ctrl-C was pressed.
        status: the exit status so far.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        choice: Choice,
        wanted: Wanted,
        telling: Telling,
        *,
        data_only: bool,
    ) -> None:
        self.reports: list[FilmReport] = []
        self.stopped = False
        self.status = 0
        self._analyzer, self._settings = analyzer, choice.settings
        self._wanted, self._data_only = wanted, data_only
        self._telling = telling

    def look(self, source: str, out: Path | None) -> None:
        """Do all there is to do with one film or camera."""
        name = public_name(source)
        try:
            report, endless = self._report(source, name, out)
        except (ValueError, OSError) as error:
            report, endless = FilmReport(name, problem=reason(error)), False
        if report.problem:
            complain(f"{name}: {report.problem}")
            self.status = self.status or 1
        if report.n_pictures:
            for line in summary_lines(report):
                say(line, quiet_stdout=self._data_only)
        if report.out is not None:
            left_out = f" ({report.note})" if report.note else ""
            say(f"wrote {report.out}{left_out}", quiet_stdout=True)
        self.reports.append(report)
        if self.stopped and not endless:
            self.status = _STOPPED

    def _report(
        self, source: str, name: str, out: Path | None
    ) -> tuple[FilmReport, bool]:
        """Return what was found, and whether it was a camera."""
        frames = open_source(source, every=self._wanted.every, tell=complain)
        with (
            contextlib.closing(frames),
            self._until_ctrl_c(frames),
            film_progress(name, frames.info.duration_s) as heard,
        ):
            witness = self._telling.witness(frames, source)
            report = analyze_film(
                frames,
                self._analyzer,
                self._settings,
                dataclasses.replace(self._wanted, out=out, witness=witness),
                name=name,
                progress=heard,
                cancelled=self._given_up,
            )
        return report, isinstance(frames, Live)

    def _given_up(self) -> bool:
        return self.stopped or self._telling.problem is not None

    @contextlib.contextmanager
    def _until_ctrl_c(self, frames: Frames) -> Iterator[None]:
        """End the pictures at the first Ctrl-C; the second one ends the program."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            frames.stop()
            signal.signal(signal.SIGINT, before[signal.SIGINT])

        before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
        for one in before:
            signal.signal(one, stop)
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


def _loaded(choice: Choice, args: argparse.Namespace) -> Analyzer:
    loaded = load_analyzer(
        choice.analyzer, choice.classifier, second_look=choice.second_look
    )
    return tiled(loaded, args.tiles)


def _sources(source: str) -> list[str]:
    """Return the films in a folder, or the one source that it is."""
    if not Path(source).is_dir():
        return [source]
    inside = film_paths(source)
    if not inside:
        raise ValueError(f"{source}: there is no film in this folder")
    return [str(path) for path in inside]


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
