"""The annotated film beside a report, and what is left where a file finds no room."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from maskdet.films.report import VideoReport
from maskdet.media import NO_SOUND, FilmWriter, Sound, VideoSource

Part: TypeAlias = Literal["film", "rows"]


class Unwritten(OSError):  # noqa: N818 - says what happened
    """A file could not be written, so the film was not looked at any further.

    Attributes:
        part: which one: the annotated film, or everybody in every picture.
        report: what was found until then.
    """

    def __init__(self, error: OSError, part: Part) -> None:
        """Say the same as the error that it was."""
        if error.errno is None:
            super().__init__(*error.args)
        elif error.filename is None:
            super().__init__(error.errno, error.strerror)
        else:
            super().__init__(error.errno, error.strerror, error.filename)
        self.part = part
        self.report: VideoReport | None = None


@contextlib.contextmanager
def writing(part: Part) -> Iterator[None]:
    """Tell errors of what is written from all others."""
    try:
        yield
    except OSError as error:
        raise Unwritten(error, part) from error


def film_writer(out: Path, frames: VideoSource) -> FilmWriter:
    """Begin the annotated film, like its source in size, rate and sound."""
    info = frames.info
    sound = Sound(info.source, info.start_s) if info.has_sound and info.source else None
    size_wh = (info.width, info.height)
    return FilmWriter(out, size_wh, frame_rate=info.frame_rate, sound=sound)


def lost_sound(frames: VideoSource) -> str:
    """Return that sound was left out; that of an address is read no second time."""
    return NO_SOUND if frames.info.has_sound and not frames.info.source else ""
