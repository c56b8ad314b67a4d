"""What every command shares: how it speaks, shows progress and writes files."""

from __future__ import annotations

import contextlib
import io
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeAlias, TypeVar

from maskdet.atomic_file import AtomicFile
from maskdet.results_io import escape_unprintable

if TYPE_CHECKING:
    from maskdet.video import VideoProgress as FilmProgress

_Item = TypeVar("_Item")

VideoProgressCallback: TypeAlias = "Callable[[FilmProgress], None]"

STDOUT = "-"
"""Stands for the standard output where a file is asked for."""


def configure_output() -> None:
    """Write UTF-8 whatever the locale says; what cannot be written is spelled out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def format_error_reason(error: Exception) -> str:
    """Return what went wrong, without Python's error numbers."""
    if isinstance(error, OSError) and error.strerror:
        prefix = f"{error.filename}: " if error.filename is not None else ""
        return f"{prefix}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error) or type(error).__name__


def print_warning(line: str) -> None:
    """Print one line on stderr, below a progress bar if there is one.

    It begins with the name of the program, unless it names a whole command anyway.
    """
    has_program_name = line.startswith("maskdet ")
    _write_line(
        escape_unprintable(line)
        if has_program_name
        else f"maskdet: {escape_unprintable(line)}",
        sys.stderr,
    )


def print_line(line: str, *, to_stderr: bool = False) -> None:
    """Print one line on stdout, or on stderr where stdout is for data only."""
    _write_line(escape_unprintable(line), sys.stderr if to_stderr else sys.stdout)


def display_width(text: str) -> int:
    """Return how wide text is on a terminal: Chinese letters take two, accents none."""
    return sum(
        0
        if unicodedata.category(char) in {"Mn", "Me", "Cf"}
        else 1 + (east_asian_width in "WF")
        for char, east_asian_width in (
            (char, unicodedata.east_asian_width(char)) for char in text
        )
    )


def pad_text(text: str, width: int, *, align_right: bool = False) -> str:
    """Return text with spaces up to a width in `display_width`, as a cell of a table.

    Args:
        text: may be the own name of a class, in any script.
        width: of the cell; wider text is left as it is.
        align_right: whether the text stands at the right end.
    """
    spaces = " " * (width - display_width(text))
    return spaces + text if align_right else text + spaces


def _write_line(line: str, stream: TextIO) -> None:
    # tqdm knows how to print above its own bar; without it, nobody drew one.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, file=stream)
    else:
        tqdm.tqdm.write(line, file=stream)


def iterate_with_progress_bar(items: Sequence[_Item], unit: str) -> Iterator[_Item]:
    """Go through `items` with a progress bar on stderr if that is a terminal."""
    if len(items) < 2 or not sys.stderr.isatty():
        return iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, unit=f" {unit}", leave=False, file=sys.stderr))


def check_output_path(
    option: str, path_text: str | None, inputs: Iterable[Path]
) -> None:
    """Refuse a file that cannot be written, before the work instead of after.

    Args:
        option: the option that names it, for the message.
        path_text: the file; `-` and None are always fine.
        inputs: files that must not be overwritten.

    Raises:
        ValueError: it is a folder, lies in no folder, or is one of the inputs.
    """
    if path_text is None or path_text == STDOUT:
        return
    path = Path(path_text)
    if path.is_dir():
        raise ValueError(f"{option} {path_text}: is a folder, wanted a file")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path_text}: there is no folder {path.parent}")
    if path.resolve() in {source.resolve() for source in inputs}:
        raise ValueError(f"{option} {path_text}: would overwrite what is read")


def write_text(path_text: str, text: str) -> None:
    """Write to stdout if `path_text` is `-`, else to that file, and say so on stderr."""
    if path_text == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_file(Path(path_text), text.encode("utf-8"))
        print_line(f"wrote {path_text}", to_stderr=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file or none: an interrupted run leaves no half of one."""
    with AtomicFile(path) as file:
        with file.report_target_errors():
            file.stream.buffer.write(content)
        file.commit()


@contextlib.contextmanager
def show_video_progress(
    name: str, duration_s: float
) -> Iterator[VideoProgressCallback | None]:
    """Show how far a video is, on stderr if that is a terminal.

    Args:
        name: of the video.
        duration_s: how long it is; 0 if that is not known, as of a camera.

    Yields:
        What to tell about each image, or None where nobody would see it.
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

        def update_bar(video_progress: FilmProgress) -> None:
            n = video_progress.n_frames
            bar.set_postfix_str(f"{n} frame{'s' * (n != 1)}", refresh=False)
            bar.update(max(0.0, video_progress.time_s - bar.n))

        yield update_bar
