"""`maskdet video`: analyze videos and cameras; annotated video, JSON, CSV, summary."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from maskdet.analyzers.pipelines import Analyzer, load_analyzer
from maskdet.analyzers.tiles import apply_tiling
from maskdet.cli import EXIT_INTERRUPTED
from maskdet.cli.console import (
    STDOUT,
    check_output_path,
    print_line,
    print_warning,
    show_video_progress,
    write_text,
)
from maskdet.cli.options import (
    AnalyzerOptions,
    add_analyzer_options,
    add_blur_option,
    add_every_option,
    add_rotate_option,
    add_tiles_option,
    add_tracking_options,
    check_ground_points,
    parse_analyzer_options,
)
from maskdet.cli.video_events import EventOutput, add_event_options, parse_event_options
from maskdet.media import (
    LatestFrameSource,
    VideoSource,
    find_videos,
    open_video,
    redact_url,
    validate_output_path,
)
from maskdet.style import DEFAULT_STYLE, Style, format_percent
from maskdet.types import Label
from maskdet.video import (
    OutputError,
    VideoCsvFile,
    VideoCsvWriter,
    VideoOutputs,
    VideoReport,
    reports_to_json,
    run_video_analysis,
)
from maskdet.wording import format_count, format_error_reason

_MAX_SHOWN_NAMES: Final = 5
"""Maximum number of skipped files named in a line."""


def summarize_video(report: VideoReport, style: Style = DEFAULT_STYLE) -> list[str]:
    """Return the summary of one video as lines."""
    n = report.n_people
    people_text = {0: "no people", 1: "1 person"}.get(n, f"{n} people")
    mask_rate = report.mask_rate
    mask_text = (
        ""
        if mask_rate is None
        else f", {format_percent(mask_rate)} of the time with a mask"
    )
    time_text = "the first " if report.error else ""
    lines = [
        f"{report.source}: {people_text} in {time_text}{report.analyzed_s:.1f} "
        f"s{mask_text}"
    ]
    if report.evicted_people.n_people:
        lines.append(f"  the newest {len(report.people)} of them:")
    for person in report.people:
        has_label = person.label is not Label.UNKNOWN
        label_text = style.title(person.label) + (
            f" {format_percent(person.confidence)}" if has_label else ""
        )
        time_text = f"{person.first_s:.1f} to {person.last_s:.1f} s"
        lines.append(f"  #{person.track_id:<4} {label_text:18} {time_text}")
    for contact in report.contacts:
        if contact.exceeds_limit:
            pair = f"#{contact.first_id} and #{contact.second_id}"
            unmasked_text = f", {contact.unmasked_s:.0f} s of it without a mask"
            unmasked_text = unmasked_text if contact.unmasked_s >= 1 else ""
            lines.append(
                f"  {pair} were close for {contact.total_s:.0f} s{unmasked_text}"
            )
    if report.evicted_contacts.n_over_limit:
        more_text = format_count(
            report.evicted_contacts.n_over_limit, "pair more was", "pairs more were"
        )
        lines.append(f"  and {more_text} close")
    return lines


class VideoBatch:
    """Analyzes videos one after the other.

    Attributes:
        reports: reports of the videos so far.
        stopped: whether Ctrl-C was pressed.
        csv_error: error of writing CSV rows; None if there is none.
        status: exit status so far.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        options: AnalyzerOptions,
        outputs: VideoOutputs,
        event_output: EventOutput,
        *,
        rotate: int = 0,
        data_only: bool,
    ) -> None:
        """Create a batch without videos.

        Args:
            analyzer: analyzer of each frame.
            options: parsed options.
            outputs: outputs of each video; `out` is set for each video.
            event_output: output of events.
            rotate: clockwise rotation of frames in degrees.
            data_only: whether stdout is for data only.
        """
        self.reports: list[VideoReport] = []
        self.stopped = False
        self.csv_error: OSError | None = None
        self.status = 0
        self._analyzer, self._settings = analyzer, options.settings
        self._outputs, self._data_only = outputs, data_only
        self._event_output, self._rotate = event_output, rotate

    @property
    def is_finished(self) -> bool:
        """Whether no further videos can be analyzed."""
        has_event_problem = self._event_output.problem is not None
        return self.stopped or has_event_problem or self.csv_error is not None

    def process_source(self, source: str, out: Path | None) -> None:
        """Analyze one video or camera, and print its summary."""
        name, is_live = redact_url(source), False
        try:
            report, is_live = self._analyze_source(source, name, out)
        except OutputError as error:
            partial_report = error.report or VideoReport(name)
            report = dataclasses.replace(
                partial_report, error=format_error_reason(error)
            )
            # The next video would fail in the same way.
            if error.output == "csv":
                cause = error.__cause__
                self.csv_error = cause if isinstance(cause, OSError) else error
        except (ValueError, OSError) as error:
            report = VideoReport(name, error=format_error_reason(error))
            self._record_unreadable(name, report.error)
        if report.error:
            if self.csv_error is None:
                print_warning(f"{name}: {report.error}")
            self.status = self.status or 1
        if report.n_frames:
            for line in summarize_video(report, self._outputs.style):
                print_line(line, to_stderr=self._data_only)
        if report.out is not None:
            part_text = (
                f"only the first {report.analyzed_s:.1f} s" if report.error else ""
            )
            notes = ", ".join(filter(None, (part_text, report.note)))
            notes_text = f" ({notes})" if notes else ""
            print_line(f"wrote {report.out}{notes_text}", to_stderr=True)
        self.reports.append(report)
        if self.stopped and not is_live:  # a camera only ends with Ctrl-C
            self.status = EXIT_INTERRUPTED

    def _analyze_source(
        self, source: str, name: str, out: Path | None
    ) -> tuple[VideoReport, bool]:
        """Return the report, and whether the source is a camera."""
        frames = open_video(
            source,
            every=self._outputs.every,
            rotate=self._rotate,
            on_status=lambda message: print_warning(f"{name}: {message}"),
        )
        if frames.info.rate_is_assumed:
            rate = f"{float(frames.info.frame_rate):g}"
            message = (
                f"the file has no timestamps; {rate} frames per second are assumed"
            )
            print_line(f"{name}: {message}", to_stderr=True)
        with (
            contextlib.closing(frames),
            self._stop_on_signal(frames),
            show_video_progress(name, frames.info.duration_s) as progress_callback,
        ):
            observer = self._event_output.observe(frames, source)
            report = run_video_analysis(
                frames,
                self._analyzer,
                self._settings,
                dataclasses.replace(self._outputs, out=out, observer=observer),
                name=name,
                on_progress=progress_callback,
                is_cancelled=self._is_cancelled,
            )
        return report, isinstance(frames, LatestFrameSource)

    def _record_unreadable(self, name: str, error: str) -> None:
        """Write a CSV row for a video that cannot be read."""
        if self._outputs.csv_writer is None or self.csv_error is not None:
            return
        try:
            self._outputs.csv_writer.add_error(name, None, error)
        except OSError as csv_error:
            self.csv_error = csv_error

    def _is_cancelled(self) -> bool:
        return self.stopped or self._event_output.problem is not None

    @contextlib.contextmanager
    def _stop_on_signal(self, frames: VideoSource) -> Iterator[None]:
        """Stop the frames on the first Ctrl-C; the second one ends the program."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            frames.stop()
            signal.signal(signal.SIGINT, previous_handlers[signal.SIGINT])

        previous_handlers = {
            signal_number: signal.getsignal(signal_number)
            for signal_number in (signal.SIGINT, signal.SIGTERM)
        }
        for signal_number in previous_handlers:
            signal.signal(signal_number, stop)
        try:
            yield
        finally:
            for signal_number, handler in previous_handlers.items():
                signal.signal(signal_number, handler)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "video",
        help="track and classify the people in videos and cameras",
        description="Track the people in a video, in every video of a folder, or in "
        "front of a camera, and classify their masks. A video that cannot be read is "
        "reported in one line, the others are analyzed, and the exit status is 1. "
        "Ctrl-C stops and keeps the results so far.",
    )
    parser.add_argument(
        "source",
        metavar="IN",
        help="a video, a folder of videos, the number or device of a webcam, or an "
        "RTSP or HTTP URL of a stream or of a camera's snapshot",
    )
    _add_output_options(parser)
    add_every_option(parser, "analyze and write only every Nth frame")
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
        help="write CSV, a row per person and frame; - for stdout",
    )


def run(args: argparse.Namespace) -> int:
    """Analyze every video; return 1 if one could not be read to its end."""
    _check_distinct_outputs(args)
    options = parse_analyzer_options(args, live=True)
    check_ground_points(options.settings)
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
    """Run all steps, even if one fails; print each error in one line.

    Returns:
        1 if a step failed.

    Raises:
        BrokenPipeError: the output pipe is closed.
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
    """Commit the CSV rows, or discard them and raise the write error."""
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
    """Reject two outputs in one stream or file."""
    data_outputs = {"--json": args.json, "--csv": args.csv, "--events": args.events}
    paths = [
        Path(path)
        for path in (*data_outputs.values(), args.out)
        if path not in (None, STDOUT)
    ]
    files = [path.resolve() for path in paths if path.is_file() or not path.exists()]
    if len(set(files)) < len(files):
        raise ValueError("--out, --json, --csv and --events must be different files")
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
    """Return the videos of a folder, or the source itself."""
    if not source.strip():
        raise ValueError("IN is empty; give a video, a folder, a camera or a URL")
    if not Path(source).is_dir():
        return [source]
    video_files = find_videos(source)
    left_out = _format_left_out(Path(source), video_files)
    if not video_files:
        left_out_text = f", only {left_out}" if left_out else ""
        raise ValueError(f"{source}: no videos in this folder{left_out_text}")
    if left_out:
        print_line(f"{source}: left out {left_out}", to_stderr=True)
    return [str(path) for path in video_files]


def _format_left_out(folder: Path, video_files: list[Path]) -> str:
    """Return the number of other files and folders, and the names of some."""
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
    """Return the path of each annotated video; none is an input."""
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
    """Open the output of `--csv`, if any."""
    if target is None:
        yield None
    elif target == STDOUT:
        yield VideoCsvWriter(sys.stdout)
    else:
        with VideoCsvFile(target) as csv_sink:
            yield csv_sink
