"""The annotated film beside a report, and what is left where a file finds no room."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from maskdet.films.report import VideoReport
from maskdet.media import AUDIO_LOST, AudioTrack, VideoSource, VideoWriter

OutputKind: TypeAlias = Literal["film", "rows"]


class OutputError(OSError):
    """A file could not be written, so the film was not looked at any further.

    Attributes:
        output: which one: the annotated film, or everybody in every picture.
        report: what was found until then.
    """

    def __init__(self, error: OSError, output: OutputKind) -> None:
        """Say the same as the error that it was."""
        if error.errno is None:
            super().__init__(*error.args)
        elif error.filename is None:
            super().__init__(error.errno, error.strerror)
        else:
            super().__init__(error.errno, error.strerror, error.filename)
        self.output = output
        self.report: VideoReport | None = None


@contextlib.contextmanager
def wrap_output_errors(output: OutputKind) -> Iterator[None]:
    """Tell errors of what is written from all others."""
    try:
        yield
    except OSError as error:
        raise OutputError(error, output) from error


def open_video_writer(out: Path, source: VideoSource) -> VideoWriter:
    """Begin the annotated film, like its source in size, rate and sound."""
    info = source.info
    audio = (
        AudioTrack(info.source, info.start_s)
        if info.has_sound and info.source
        else None
    )
    size_wh = (info.width, info.height)
    return VideoWriter(out, size_wh, frame_rate=info.frame_rate, audio=audio)


def describe_lost_audio(source: VideoSource) -> str:
    """Return that sound was left out; that of an address is read no second time."""
    return AUDIO_LOST if source.info.has_sound and not source.info.source else ""
