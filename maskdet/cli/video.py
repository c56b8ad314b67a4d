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
    AnalyzerOptions,
    add_analyzer_options,
    add_blur_option,
    add_rotate_option,
    add_tiles_option,
    add_tracking_options,
    apply_tiling,
    parse_analyzer_options,
)
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    format_error_reason,
    print_line,
    print_warning,
    write_text,
)
from maskdet.cli.video_events import add_event_options, parse_event_options
from maskdet.cli.video_job import VideoBatch
from maskdet.cli.video_telling import EventOutput
from maskdet.films import (
    VideoCsvFile,
    VideoCsvWriter,
    VideoOutputs,
    VideoReport,
    reports_to_json,
)
from maskdet.media import find_videos, validate_output_path

_MAX_SHOWN_NAMES: Final = 5
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
    _add_output_options(parser)
    parser.add_argument(
        "--every",
        type=_parse_positive_int,
        default=1,
        metavar="N",
        help="analyze and write only every Nth frame (default: every frame)",
    )
    add_blur_option(parser, "the video")
    add_tiles_option(parser)
    add_rotate_option(parser, "every frame")
    add_event_options(parser)
    add_analyzer_options(parser, live=True)
    add_tracking_options(parser)


def _add_output_options(parser: argparse.ArgumentParser) -> None:
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
    _check_distinct_outputs(args)
    options = parse_analyzer_options(args, live=True)
    if (
        options.settings.distance == "ground_plane"
        and not options.settings.ground_points
    ):
        raise ValueError(
            "--distance ground_plane needs four points on it: say --ground-points"
        )
    sources = _list_sources(args.source)
    video_files = [Path(source) for source in sources if Path(source).is_file()]
    for option, target in (("--json", args.json), ("--csv", args.csv)):
        check_output_path(option, target, video_files)
    output_paths = _choose_output_paths(args, sources, video_files)
    to_stdout = STDOUT in (args.json, args.csv, args.events)
    event_output = EventOutput(
        parse_event_options(args, options.settings, video_files),
        data_only=to_stdout,
        style=options.style,
    )
    with event_output, _open_csv_sink(args.csv) as csv_sink:
        analyzer = _load_analyzer(options, args)
        outputs = VideoOutputs(
            style=options.style,
            csv_writer=csv_sink,
            every=args.every,
            keep_partial=True,
        )
        job = VideoBatch(
            analyzer,
            options,
            outputs,
            event_output,
            rotate=args.rotate,
            data_only=to_stdout,
        )
        for source, out in zip(sources, output_paths, strict=True):
            job.process_source(source, out)
            if job.is_finished:
                break
        output_status = _run_all(
            lambda: _commit_rows(args.csv, csv_sink, job.csv_error),
            lambda: _write_json(args.json, job.reports),
            event_output.finish,
        )
    return job.status or output_status


def _run_all(*steps: Callable[[], int]) -> int:
    """Do everything that is left to do: what fails is one line, and harms no other.

    Returns:
        1 if something failed.

    Raises:
        BrokenPipeError: nobody reads what we say any more.
    """
    status, broken_pipe = 0, None
    for step in steps:
        try:
            status |= step()
        except BrokenPipeError as error:
            broken_pipe = error
        except (OSError, ValueError, RuntimeError) as error:
            print_warning(format_error_reason(error))
            status = 1
    if broken_pipe is not None:
        raise broken_pipe
    return status


def _commit_rows(
    csv_path: str | None, csv_sink: VideoCsvWriter | None, write_error: OSError | None
) -> int:
    """Keep the rows, or say why there are none."""
    if write_error is not None:
        if isinstance(csv_sink, VideoCsvFile):
            csv_sink.discard()
        if write_error.filename is None:
            write_error.filename = "stdout"
        raise write_error
    if isinstance(csv_sink, VideoCsvFile):
        csv_sink.commit()
        print_line(f"wrote {csv_path}", to_stderr=True)
    return 0


def _write_json(json_path: str | None, reports: list[VideoReport]) -> int:
    if json_path is not None:
        write_text(json_path, reports_to_json(reports))
    return 0


def _check_distinct_outputs(args: argparse.Namespace) -> None:
    """Refuse two kinds of data in one stream or file."""
    data_outputs = {"--json": args.json, "--csv": args.csv, "--events": args.events}
    paths = [
        Path(path)
        for path in (*data_outputs.values(), args.out)
        if path not in (None, STDOUT)
    ]
    files = [path.resolve() for path in paths if path.is_file() or not path.exists()]
    if len(set(files)) < len(files):
        raise ValueError("--out, --json, --csv and --events need a file each")
    stdout_options = [
        f"{option} -" for option, target in data_outputs.items() if target == STDOUT
    ]
    if len(stdout_options) > 1:
        raise ValueError(f"{' and '.join(stdout_options)} cannot both write to stdout")


def _load_analyzer(options: AnalyzerOptions, args: argparse.Namespace) -> Analyzer:
    loaded = load_analyzer(options.analyzer, options.classifier, refine=options.refine)
    options.print_notices()
    if args.out is not None:
        options.print_undrawable_names()
    return apply_tiling(loaded, args.tiles)


def _list_sources(source: str) -> list[str]:
    """Return the films in a folder, or the one source that it is."""
    if not source.strip():
        raise ValueError("IN is empty: name a video, a folder, a camera or an address")
    if not Path(source).is_dir():
        return [source]
    video_files = find_videos(source)
    left_out = _format_left_out(Path(source), video_files)
    if not video_files:
        left_out_text = f", only {left_out}" if left_out else ""
        raise ValueError(f"{source}: there is no video in this folder{left_out_text}")
    if left_out:
        print_line(f"{source}: left out {left_out}", to_stderr=True)
    return [str(path) for path in video_files]


def _format_left_out(folder: Path, video_files: list[Path]) -> str:
    """Return how many other files and folders there are, and the names of some."""
    video_set = set(video_files)
    other_paths = sorted(
        path
        for path in folder.iterdir()
        if path not in video_set and not path.name.startswith(".")
    )
    folders = [f"{path.name}/" for path in other_paths if path.is_dir()]
    files = [path.name for path in other_paths if not path.is_dir()]
    kinds = (files, "file that is not a video", "files that are not videos")
    parts = [
        f"{len(names)} {singular if len(names) == 1 else plural}"
        for names, singular, plural in (kinds, (folders, "folder", "folders"))
        if names
    ]
    names = ", ".join([*files, *folders][:_MAX_SHOWN_NAMES])
    more = ", ..." if len(other_paths) > _MAX_SHOWN_NAMES else ""
    return f"{' and '.join(parts)} ({names}{more})" if parts else ""


def _choose_output_paths(
    args: argparse.Namespace, sources: list[str], video_files: list[Path]
) -> list[Path | None]:
    """Return where each annotated film goes, none of them onto an input."""
    out: Path | None = args.out
    if out is None:
        return [None] * len(sources)
    if not Path(args.source).is_dir():
        check_output_path("--out", str(out), video_files)
        return [validate_output_path(out)]
    out.mkdir(parents=True, exist_ok=True)
    used_paths = {video_file.resolve() for video_file in video_files}
    targets: list[Path | None] = []
    for source in sources:
        for number in itertools.count(1):
            suffix = "" if number == 1 else f"-{number}"
            target = out / f"{Path(source).stem}{suffix}.mp4"
            if target.resolve() not in used_paths:
                break
        used_paths.add(target.resolve())
        targets.append(target)
    return targets


@contextlib.contextmanager
def _open_csv_sink(target: str | None) -> Iterator[VideoCsvWriter | None]:
    """Open what gets the rows, if they are wanted."""
    if target is None:
        yield None
    elif target == STDOUT:
        yield VideoCsvWriter(sys.stdout)
    else:
        with VideoCsvFile(target) as csv_sink:
            yield csv_sink


def _parse_positive_int(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, not {text!r}")
    return int(text)
