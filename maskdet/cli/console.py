"""Output of all commands: lines, progress bars and files."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias, TypeVar

from maskdet.atomic_file import write_file
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import Estimate
from maskdet.results_io import escape_unprintable
from maskdet.wording import format_count

if TYPE_CHECKING:
    from maskdet.video import VideoProgress

_Item = TypeVar("_Item")

_MAX_SHOWN_NAMES: Final = 3
"""Maximum number of skipped files named in a line; JSON lists all."""

VideoProgressCallback: TypeAlias = "Callable[[VideoProgress], None]"

STDOUT = "-"
"""Stands for standard output where an option takes a file."""


TITLE_WIDTH = 34
"""Width of the first column of a table, in characters."""

CELL_WIDTH = 22
"""Width of a column of numbers with intervals, in characters."""


def configure_output() -> None:
    """Write UTF-8 regardless of the locale; escape what cannot be encoded."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def format_left_out(paths: Sequence[Path], singular: str, plural: str) -> str:
    """Return how many files are left out, and the names of the first.

    Args:
        paths: the files.
        singular: what one of them is, such as `file that is not an image`.
        plural: the same for several.
    """
    names = ", ".join(str(path) for path in paths[:_MAX_SHOWN_NAMES])
    n_more = len(paths) - _MAX_SHOWN_NAMES
    more_text = f" and {n_more:,} more" if n_more > 0 else ""
    return f"left out {format_count(len(paths), singular, plural)}: {names}{more_text}"


def print_warning(line: str) -> None:
    """Print one line on stderr, above a progress bar if there is one.

    It starts with the name of the program, unless it already starts with a command.
    """
    has_program_name = line.startswith("maskdet ")
    _write_line(
        escape_unprintable(line)
        if has_program_name
        else f"maskdet: {escape_unprintable(line)}",
        sys.stderr,
    )


def print_line(line: str, *, to_stderr: bool = False) -> None:
    """Print one line on stdout, or on stderr if stdout is for data only."""
    _write_line(escape_unprintable(line), sys.stderr if to_stderr else sys.stdout)


def display_width(text: str) -> int:
    """Return the width of text on a terminal: wide characters 2, combining ones 0."""
    return sum(
        0
        if unicodedata.category(char) in {"Mn", "Me", "Cf"}
        else 1 + (east_asian_width in "WF")
        for char, east_asian_width in (
            (char, unicodedata.east_asian_width(char)) for char in text
        )
    )


def pad_text(text: str, width: int, *, align_right: bool = False) -> str:
    """Pad text with spaces to a width in `display_width`, as a table cell.

    Args:
        text: text in any script.
        width: width of the cell; wider text is returned unchanged.
        align_right: whether to align the text to the right.
    """
    spaces = " " * (width - display_width(text))
    return spaces + text if align_right else text + spaces


def format_row(title: str, cells: Iterable[str]) -> str:
    """Return a row of a table: a title, then columns of `CELL_WIDTH`."""
    padded = (pad_text(cell, CELL_WIDTH) for cell in cells)
    return f"{pad_text(title, TITLE_WIDTH)}{''.join(padded)}".rstrip()


def format_cell(estimate: Estimate) -> str:
    """Return value and interval, as far as they are defined."""
    if math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def format_line(title: str, estimate: Estimate) -> str:
    """Return a title, and the estimate with its number of items."""
    return f"{pad_text(title, TITLE_WIDTH)}{estimate}"


def _write_line(line: str, stream: TextIO) -> None:
    # tqdm can print above its own bar; if it is not loaded, there is no bar.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, file=stream)
    else:
        tqdm.tqdm.write(line, file=stream)


def iterate_with_progress_bar(items: Sequence[_Item], unit: str) -> Iterator[_Item]:
    """Iterate over `items` with a progress bar on stderr if that is a terminal."""
    if len(items) < 2 or not sys.stderr.isatty():
        return iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, unit=f" {unit}", leave=False, file=sys.stderr))


def check_output_path(
    option: str, path_text: str | None, inputs: Iterable[Path]
) -> None:
    """Check before the work that a file can be written.

    Args:
        option: option of the file, for the message.
        path_text: the file; `-` and None are always accepted.
        inputs: files that must not be overwritten.

    Raises:
        ValueError: it is a folder, its folder does not exist, or it is an input.
    """
    if path_text is None or path_text == STDOUT:
        return
    path = Path(path_text)
    if path.is_dir():
        raise ValueError(f"{option} {path_text}: is a folder, not a file")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path_text}: there is no folder {path.parent}")
    if path.resolve() in {source.resolve() for source in inputs}:
        raise ValueError(f"{option} {path_text}: would overwrite an input file")


def output_results(lines: Iterable[str], json_path: str | None, content: Json) -> None:
    """Print lines, unless JSON goes to stdout, and write the JSON if it has a path."""
    if json_path != STDOUT:
        for line in lines:
            print_line(line)
    if json_path is not None:
        write_json(json_path, content)


def write_json(path_text: str, content: object) -> None:
    """Write JSON with `write_text`."""
    write_text(path_text, json.dumps(content, indent=2) + "\n")


def write_text(path_text: str, text: str) -> None:
    """Write to stdout if `path_text` is `-`, else to a file, reported on stderr."""
    if path_text == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_file(Path(path_text), text.encode("utf-8"))
        print_line(f"wrote {path_text}", to_stderr=True)


@contextlib.contextmanager
def show_progress(
    title: str, unit: str, *, unit_scale: bool = False
) -> Iterator[Callable[[int, int], None] | None]:
    """Show how much of a known total is done on stderr if that is a terminal.

    Args:
        title: title of the bar.
        unit: what is counted.
        unit_scale: whether to count in thousands and millions.

    Yields:
        Callback for the number of finished items and the total, or None if stderr is
        not a terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(
        desc=title, unit=unit, unit_scale=unit_scale, leave=False, file=sys.stderr
    ) as bar:

        def update_bar(n_done: int, n: int) -> None:
            bar.total = n
            bar.update(n_done - bar.n)

        yield update_bar


@contextlib.contextmanager
def show_video_progress(
    name: str, duration_s: float
) -> Iterator[VideoProgressCallback | None]:
    """Show the progress of a video on stderr if that is a terminal.

    Args:
        name: name of the video.
        duration_s: length of the video; 0 if unknown, as for a camera.

    Yields:
        Callback to call after each frame, or None if stderr is not a terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    timed_format = "{desc} {percentage:3.0f} %|{bar}| {remaining} left"
    with tqdm(
        total=duration_s or None,
        desc=escape_unprintable(Path(name).name)[:30],
        unit=" s",
        bar_format=timed_format if duration_s else "{desc} {postfix}, {elapsed}",
        leave=False,
        file=sys.stderr,
    ) as bar:

        def update_bar(video_progress: VideoProgress) -> None:
            n = video_progress.n_frames
            bar.set_postfix_str(f"{n} frame{'s' * (n != 1)}", refresh=False)
            bar.update(max(0.0, video_progress.time_s - bar.n))

        yield update_bar
