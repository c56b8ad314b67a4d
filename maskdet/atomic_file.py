"""Write files atomically: the target is replaced only by a complete file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self, TextIO


class TextWriter(Protocol):
    """Protocol of a text stream."""

    def write(self, text: str, /) -> object:
        """Write text."""


class AtomicFile:
    """A file that replaces its target only when it is committed.

    Use it as a context manager: without `commit`, or after an error, the target does
    not change. A device or pipe is written to directly, because it must not be
    replaced.

    Attributes:
        stream: text stream in UTF-8; its `buffer` takes bytes.
    """

    def __init__(self, target: str | Path, kind: str = "whole") -> None:
        """Open the temporary file.

        Args:
            target: path of the final file.
            kind: part of the temporary file's name, to keep writers apart.

        Raises:
            OSError: the folder cannot be written to.
        """
        self._name = str(target)
        self._target = Path(target)
        self._part_path: Path | None = None
        if self._target.is_file() or not self._target.exists():
            # Write through a symbolic link instead of replacing it.
            self._target = Path(os.path.realpath(target))
            name = f".maskdet-{os.getpid()}-{kind}.part"
            self._part_path = self._target.with_name(name)
        with self.report_target_errors():
            self.stream: TextIO = (self._part_path or self._target).open(
                "w", encoding="utf-8", newline=""
            )

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the temporary file unless it was committed."""
        try:
            with self.report_target_errors():
                self.stream.close()
        finally:
            if self._part_path is not None:
                self._part_path.unlink(missing_ok=True)

    def write(self, text: str) -> None:
        """Write text, as to `stream`, but with the target in errors.

        Raises:
            OSError: the file cannot be written, for example on a full disk.
        """
        with self.report_target_errors():
            self.stream.write(text)

    def commit(self) -> None:
        """Close the file and move it to its target.

        Raises:
            OSError: the file could not be written.
        """
        with self.report_target_errors():
            self.stream.close()
            if self._part_path is not None:
                os.replace(self._part_path, self._target)

    def discard(self) -> None:
        """Close the file and ignore errors; the target does not change."""
        with contextlib.suppress(OSError):
            self.stream.close()

    @contextlib.contextmanager
    def report_target_errors(self) -> Iterator[None]:
        """Replace the temporary file's name by the target's in errors."""
        try:
            yield
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, error.strerror, self._name) from None


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically: an interrupted run leaves no partial file.

    Raises:
        OSError: it cannot be written.
    """
    with AtomicFile(path) as file, file.report_target_errors():
        file.stream.buffer.write(content)
        file.commit()
