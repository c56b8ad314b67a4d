"""`maskdet batch`: many images and videos, in several processes or machines."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskdet.cli import EXIT_INTERRUPTED
from maskdet.cli.console import format_left_out, print_line, print_warning
from maskdet.cli.options import (
    add_analyzer_options,
    add_every_option,
    add_rotate_option,
    add_style_option,
    add_tiles_option,
    add_tracking_options,
    check_ground_points,
    make_number_parser,
    parse_analyzer_options,
)
from maskdet.extras import is_installed, require_libraries
from maskdet.model_files.model_zoo import MODEL_DIR_VARIABLE
from maskdet.style import Style
from maskdet.threads import count_cores
from maskdet.wording import format_count, format_elapsed

if TYPE_CHECKING:
    from maskdet.batch.analysis import BatchOptions
    from maskdet.batch.inputs import BatchFile, BatchInputs, FileKind
    from maskdet.batch.progress import BatchProgress
    from maskdet.batch.store import BatchStore
    from maskdet.batch.tasks import BatchEngine

_LINE_INTERVAL_S: Final = 30.0
"""Without a terminal, a line of progress is printed so often."""

_DESCRIPTION = """Analyze the images and videos of files, folders, zips and lists. The
results are Parquet files, the same JSON as of `maskdet detect` and `maskdet video`, and
a report. A run that was stopped or killed continues with the same command; files that
are done and have not changed are not analyzed again. A file that cannot be read is
reported in one line. Each worker is a process with one thread for its networks. The
exit status is 0 if every file was analyzed, else 1."""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "batch",
        help="analyze many files in several processes or machines",
        description=_DESCRIPTION,
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="an image, a video, a folder, a zip, or a list: a .txt file with a path "
        "on each line",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the results"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=make_number_parser(1),
        metavar="N",
        help="processes on this machine; 1 needs no Ray (default: the number of cores)",
    )
    where.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="address of a Ray cluster, which gets a worker for each of its CPUs; auto "
        "for that of this machine. All machines need maskdet, and the files at the "
        "same paths",
    )
    parser.add_argument(
        "--restart",
        action="store_true",
        help="delete the results in DIR first, for example because options changed",
    )
    parser.add_argument(
        "--no-contact-sheet",
        action="store_true",
        help="do not store or show any face",
    )
    add_every_option(parser, "analyze only every Nth frame of a video")
    add_style_option(parser)
    add_tiles_option(parser)
    add_rotate_option(parser, "every image and frame")
    add_analyzer_options(parser)
    add_tracking_options(parser)


def run(args: argparse.Namespace) -> int:
    """Analyze the files that are not done yet; return 1 if one could not be read."""
    require_libraries("maskdet batch", "pyarrow")
    n_workers = _choose_n_workers(args)
    from maskdet.batch.inputs import collect_files
    from maskdet.batch.store import BatchStore

    options, style = _parse_options(args)
    inputs = collect_files(args.sources, exclude=args.out)
    _print_inputs(inputs)
    if not inputs.files:
        raise ValueError("there is no image or video to analyze")
    with BatchStore(args.out) as store:
        if args.restart:
            store.clear()
        store.check_options(options.to_dict())
        pending = store.select_pending(inputs.files)
        if len(pending) < len(inputs.files):
            done_text = format_count(
                len(inputs.files) - len(pending), "file is done", "files are done"
            )
            print_line(f"{done_text} already", to_stderr=True)
        try:
            n_failed = _analyze(pending, store, options, args, n_workers)
        except KeyboardInterrupt:
            print_warning("stopped; the same command continues")
            return EXIT_INTERRUPTED
        _write_results(store, inputs, options, style)
    return int(n_failed > 0 or bool(inputs.problems))


def _choose_n_workers(args: argparse.Namespace) -> int:
    """Return the number of workers on this machine; 0 for a cluster."""
    if args.ray is not None:
        if not args.ray.strip():
            raise ValueError("--ray is empty; give an address, or auto")
        require_libraries("maskdet batch --ray", "ray")
        return 0
    n_workers: int = args.workers or count_cores()
    if n_workers > 1 and not is_installed("ray"):
        raise RuntimeError(
            "maskdet batch with several workers needs Ray: pip install 'maskdet[ray]', "
            "or use --workers 1"
        )
    return n_workers


def _parse_options(args: argparse.Namespace) -> tuple[BatchOptions, Style]:
    from maskdet.batch.analysis import BatchOptions

    image_options = parse_analyzer_options(args)
    video_options = parse_analyzer_options(args, live=True)
    check_ground_points(image_options.settings)
    for notice in dict.fromkeys((*image_options.notices, *video_options.notices)):
        print_line(notice, to_stderr=True)
    options = BatchOptions(
        image_options.analyzer,
        video_options.analyzer,
        image_options.classifier,
        image_options.refine,
        image_options.settings,
        args.tiles,
        args.rotate,
        args.every,
        not args.no_contact_sheet,
        os.environ.get(MODEL_DIR_VARIABLE, ""),
    )
    return options, image_options.style


def _print_inputs(inputs: BatchInputs) -> None:
    for path, message in inputs.problems.items():
        print_warning(f"{path}: {message}")
    if inputs.left_out:
        nouns = "file that is neither image nor video", "other files"
        print_warning(format_left_out(inputs.left_out, *nouns))


def _analyze(
    pending: Sequence[BatchFile],
    store: BatchStore,
    options: BatchOptions,
    args: argparse.Namespace,
    n_workers: int,
) -> int:
    """Analyze files and store their results; return how many failed."""
    from maskdet.batch.progress import BatchProgress
    from maskdet.batch.tasks import make_tasks

    if not pending:
        return 0
    kinds = sorted({file.kind for file in pending})
    with (
        _start_engine(options, kinds, args.ray, n_workers) as engine,
        _treat_sigterm_as_ctrl_c(),
    ):
        progress = BatchProgress(pending, engine.n_workers)
        with _show_batch_progress(progress) as show:
            for results in engine.run(make_tasks(pending, engine.n_workers)):
                store.add(results)
                progress.add(results)
                for result in results:
                    if result.record["error"] is not None:
                        print_warning(f"{result.file.path}: {result.record['error']}")
                show()
        print_line(
            f"{format_count(progress.n_done, 'file')} in "
            f"{format_elapsed(progress.elapsed_s)} with "
            f"{format_count(engine.n_workers, 'worker')}: {progress.describe_rate()}"
        )
    return progress.n_failed


@contextlib.contextmanager
def _start_engine(
    options: BatchOptions,
    kinds: Sequence[FileKind],
    address: str | None,
    n_workers: int,
) -> Iterator[BatchEngine]:
    """Start Ray, or use this process for one worker."""
    if n_workers == 1:
        from maskdet.batch.tasks import InProcessEngine

        yield InProcessEngine(options, kinds)
        return
    from maskdet.batch.ray_engine import RayEngine

    with RayEngine(
        options,
        kinds,
        n_workers=n_workers,
        address=address or "",
        on_notice=print_warning,
    ) as engine:
        yield engine


@contextlib.contextmanager
def _treat_sigterm_as_ctrl_c() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C; start Ray first, which sets a handler of its own."""
    previous_handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous_handler)


@contextlib.contextmanager
def _show_batch_progress(progress: BatchProgress) -> Iterator[Callable[[], None]]:
    """Show progress on stderr: a bar on a terminal, else a line now and then.

    Yields:
        Callback to call after each task.
    """
    if not sys.stderr.isatty():
        last_line_s = time.monotonic()

        def print_progress() -> None:
            nonlocal last_line_s
            if time.monotonic() - last_line_s >= _LINE_INTERVAL_S:
                last_line_s = time.monotonic()
                print_line(progress.describe(), to_stderr=True)

        yield print_progress
        return
    from tqdm import tqdm

    with tqdm(
        total=progress.n_files,
        bar_format="{percentage:3.0f} %|{bar}| {desc}",
        leave=False,
        file=sys.stderr,
    ) as bar:

        def update_bar() -> None:
            bar.set_description_str(progress.describe(), refresh=False)
            bar.update(progress.n_done - bar.n)

        yield update_bar


def _write_results(
    store: BatchStore, inputs: BatchInputs, options: BatchOptions, style: Style
) -> None:
    """Write JSON and report; print the summary."""
    from maskdet.batch.report import describe_classes, describe_size, write_batch_report
    from maskdet.batch.summary import summarize_batch

    store.write_json(inputs.left_out)
    summary = summarize_batch(store)
    write_batch_report(
        store, summary, rotate=options.rotate, sheet=options.keep_crops, style=style
    )
    lines = [
        describe_size(summary.total),
        *describe_classes(summary.total, style),
        *summary.describe_cost(),
    ]
    for line in lines:
        print_line(line)
    print_line(f"wrote {store.folder}", to_stderr=True)
