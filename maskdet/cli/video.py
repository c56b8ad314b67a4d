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
from maskdet.types import Label

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
    add_analyzer_options(parser, live=True)


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
    if args.json == args.csv == STDOUT:
        raise ValueError("--json - and --csv - cannot both write to stdout")
    choice = chosen(args, live=True)
    sources = _sources(args.source)
    films = [Path(source) for source in sources if Path(source).is_file()]
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_target(option, target, films)
    targets = _targets(args, sources, films)
    analyzer = _loaded(choice, args)
    with _rows(args.csv) as rows:
        style = dataclasses.replace(DEFAULT_STYLE, blur=choice.blur)
        wanted = Wanted(style=style, rows=rows, every=args.every, keep_part=True)
        job = _Job(analyzer, choice, wanted, data_only=STDOUT in (args.json, args.csv))
        for source, out in zip(sources, targets, strict=True):
            job.look(source, out)
            if job.stopped:
                break
        if isinstance(rows, RowFile):
            rows.keep()
            say(f"wrote {args.csv}", quiet_stdout=True)
    if args.json is not None:
        write_text(args.json, to_json(job.reports))
    return job.status


class _Job:
    """Looks at one film after the other.

    Attributes:
        reports: what was found.
        stopped: whether Ctrl-C was pressed.
        status: the exit status so far.
    """

    def __init__(
        self, analyzer: Analyzer, choice: Choice, wanted: Wanted, *, data_only: bool
    ) -> None:
        self.reports: list[FilmReport] = []
        self.stopped = False
        self.status = 0
        self._analyzer, self._settings = analyzer, choice.settings
        self._wanted, self._data_only = wanted, data_only

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
            for line in _lines(report):
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
            self._until_ctrl_c(frames),
            film_progress(name, frames.info.duration_s) as heard,
        ):
            report = analyze_film(
                frames,
                self._analyzer,
                self._settings,
                dataclasses.replace(self._wanted, out=out),
                name=name,
                progress=heard,
                cancelled=lambda: self.stopped,
            )
        return report, isinstance(frames, Live)

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


def _lines(report: FilmReport) -> list[str]:
    """Return the summary of one film."""
    n = len(report.people)
    who = {0: "nobody", 1: "1 person"}.get(n, f"{n} people")
    share = report.share_masked
    worn = "" if share is None else f", {100 * share:.0f} % of the time with a mask"
    lines = [f"{report.film}: {who} in {report.analysed_s:.1f} s{worn}"]
    for person in report.people:
        sure = person.label is not Label.UNKNOWN
        what = person.label.title + (f" {100 * person.certainty:.0f} %" if sure else "")
        when = f"{person.first_s:.1f} to {person.last_s:.1f} s"
        lines.append(f"  #{person.track_id:<4} {what:18} {when}")
    for contact in report.contacts:
        if contact.too_long:
            pair = f"#{contact.first_id} and #{contact.second_id}"
            bare = f", {contact.bare_s:.0f} s of it without a mask"
            bare = bare if contact.bare_s >= 1 else ""
            lines.append(f"  {pair} were close for {contact.near_s:.0f} s{bare}")
    return lines


def _above_zero(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, not {text!r}")
    return int(text)
