"""Files that are seen under their name only once they are whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TextIO


class AtomicFile:
    """A file that takes the place of another only once all of it is written.

    Use it as a context manager: leaving by an error, or without `commit`, leaves none.
    A device or pipe is written to as it is, since it must not be replaced.

    Attributes:
        stream: takes the text, in UTF-8; its `buffer` takes bytes.
    """

    def __init__(self, target: str | Path, kind: str = "whole") -> None:
        """Begin the file; `kind` tells its unfinished parts from others.

        Raises:
            OSError: it cannot be written there.
        """
        self._name = str(target)
        self._target = Path(target)
        self._part_path: Path | None = None
        if self._target.is_file() or not self._target.exists():
            # A link to a file stays one.
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
        """Leave no file unless it was kept."""
        try:
            with self.report_target_errors():
                self.stream.close()
        finally:
            if self._part_path is not None:
                self._part_path.unlink(missing_ok=True)

    def commit(self) -> None:
        """End the file and put it in its place.

        Raises:
            OSError: it could not be written.
        """
        with self.report_target_errors():
            self.stream.close()
            if self._part_path is not None:
                os.replace(self._part_path, self._target)

    def discard(self) -> None:
        """Give the file up; that it cannot be ended is no news any more."""
        with contextlib.suppress(OSError):
            self.stream.close()

    @contextlib.contextmanager
    def report_target_errors(self) -> Iterator[None]:
        """Tell errors of the file that was asked for, not of its unfinished part."""
        try:
            yield
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, error.strerror, self._name) from None
