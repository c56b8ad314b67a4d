"""What every command shares: how it speaks, shows progress and writes files."""

from __future__ import annotations

import contextlib
import io
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeAlias, TypeVar

from maskdet.part_file import PartFile
from maskdet.records import printable

if TYPE_CHECKING:
    from maskdet.films import Progress as FilmProgress

_Item = TypeVar("_Item")

FilmListener: TypeAlias = "Callable[[FilmProgress], None]"

STDOUT = "-"
"""Stands for the standard output where a file is asked for."""


def set_up_output() -> None:
    """Write UTF-8 whatever the locale says; what cannot be written is spelled out."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def reason(error: Exception) -> str:
    """Return what went wrong, without Python's error numbers."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error) or type(error).__name__


def complain(line: str) -> None:
    """Print one line on stderr, below a progress bar if there is one.

    It begins with the name of the program, unless it names a whole command anyway.
    """
    named = line.startswith("maskdet ")
    _line(printable(line) if named else f"maskdet: {printable(line)}", sys.stderr)


def say(line: str, *, quiet_stdout: bool = False) -> None:
    """Print one line on stdout, or on stderr where stdout is for data only."""
    _line(printable(line), sys.stderr if quiet_stdout else sys.stdout)


def columns(text: str) -> int:
    """Return how wide text is on a terminal: Chinese letters take two, accents none."""
    return sum(
        0 if unicodedata.category(one) in {"Mn", "Me", "Cf"} else 1 + (wide in "WF")
        for one, wide in ((one, unicodedata.east_asian_width(one)) for one in text)
    )


def padded(text: str, width: int, *, right: bool = False) -> str:
    """Return text with spaces up to a width in `columns`, as a cell of a table.

    Args:
        text: may be the own name of a class, in any script.
        width: of the cell; wider text is left as it is.
        right: whether the text stands at the right end.
    """
    spaces = " " * (width - columns(text))
    return spaces + text if right else text + spaces


def _line(line: str, stream: TextIO) -> None:
    # tqdm knows how to print above its own bar; without it, nobody drew one.
    tqdm = sys.modules.get("tqdm")
    if tqdm is None:
        print(line, file=stream)
    else:
        tqdm.tqdm.write(line, file=stream)


def progress(items: Sequence[_Item], unit: str) -> Iterator[_Item]:
    """Go through `items` with a progress bar on stderr if that is a terminal."""
    if len(items) < 2 or not sys.stderr.isatty():
        return iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, unit=f" {unit}", leave=False, file=sys.stderr))


def check_target(option: str, target: str | None, inputs: Iterable[Path]) -> None:
    """Refuse a file that cannot be written, before the work instead of after.

    Args:
        option: the option that names it, for the message.
        target: the file; `-` and None are always fine.
        inputs: files that must not be overwritten.

    Raises:
        ValueError: it is a folder, lies in no folder, or is one of the inputs.
    """
    if target is None or target == STDOUT:
        return
    path = Path(target)
    if path.is_dir():
        raise ValueError(f"{option} {target}: is a folder, wanted a file")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {target}: there is no folder {path.parent}")
    if path.resolve() in {source.resolve() for source in inputs}:
        raise ValueError(f"{option} {target}: would overwrite what is read")


def write_text(target: str, text: str) -> None:
    """Write to stdout if `target` is `-`, else to that file, and say so on stderr."""
    if target == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        write_file(Path(target), text.encode("utf-8"))
        say(f"wrote {target}", quiet_stdout=True)


def write_file(path: Path, content: bytes) -> None:
    """Write a whole file or none: an interrupted run leaves no half of one."""
    with PartFile(path) as file:
        with file.named():
            file.stream.buffer.write(content)
        file.keep()


@contextlib.contextmanager
def film_progress(name: str, duration_s: float) -> Iterator[FilmListener | None]:
    """Show how far a film is, on stderr if that is a terminal.

    Args:
        name: of the film.
        duration_s: how long it is; 0 if that is not known, as of a camera.

    Yields:
        What to tell about each picture, or None where nobody would see it.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    timed = "{desc} {percentage:3.0f} %|{bar}| {remaining} left"
    with tqdm(
        total=duration_s or None,
        desc=printable(Path(name).name)[:30],
        unit=" s",
        bar_format=timed if duration_s else "{desc} {postfix}, {elapsed}",
        leave=False,
        file=sys.stderr,
    ) as bar:

        def show(now: FilmProgress) -> None:
            n = now.n_pictures
            bar.set_postfix_str(f"{n} frame{'s' * (n != 1)}", refresh=False)
            bar.update(max(0.0, now.time_s - bar.n))

        yield show
