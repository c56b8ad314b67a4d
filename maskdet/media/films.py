"""Reading films, one upright picture at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from maskdet.media.pictures import MAX_PIXELS
from maskdet.types import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_FORMATS: Final = "mov,mp4,matroska,webm,avi,mpeg,mpegts,flv,ogg,asf"
"""What may be opened. Playlists are left out: they make the reader fetch other
files and addresses."""

_NO_FILM: Final = (
    "this is no film, or it is damaged; please use a whole MP4, MOV, MKV or WebM"
)


class UnreadableFilm(ValueError):  # noqa: N818 - says what, not that it is an error
    """A film that cannot be used; the message is one line, without its path."""


def read_video(path: str | Path) -> Iterator[tuple[Image, float]]:
    """Read a film picture by picture.

    Args:
        path: a file; MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG or WMV.

    Yields:
        `(h, w, 3)` BGR pictures, turned upright, and the time at which each is
        shown, in seconds from the first; times never fall.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableFilm: it is no film, holds no pictures, or breaks off; what could
            be read before a break has been yielded by then.
    """
    # Imported here: `import maskdet` would take longer, pictures need no films.
    import av

    if not Path(path).is_file():
        raise FileNotFoundError("there is no such file")
    try:
        # Titles in old encodings are no reason to refuse a film.
        with av.open(
            str(Path(path).resolve()),
            options={"format_whitelist": _FORMATS},
            metadata_errors="replace",
        ) as film:
            stream = _pictures(list(film.streams.video))
            yield from _timed(film.decode(stream), stream)
    except av.error.FFmpegError:
        raise UnreadableFilm(_NO_FILM) from None


def _pictures(streams: list[VideoStream]) -> VideoStream:
    """Return the stream to decode, if it is safe to."""
    if not streams:
        raise UnreadableFilm(_NO_FILM)
    stream = streams[0]
    # Decoding a stream without a codec ends the process with a memory fault
    # (PyAV issue 2344, seen with version 18.0.0).
    if stream.codec_context is None:
        raise UnreadableFilm(_NO_FILM)
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise UnreadableFilm(
            f"the film has more than {MAX_PIXELS / 1e6:g} megapixels; "
            "please make it smaller"
        )
    stream.thread_type = "AUTO"
    return stream


def _timed(
    frames: Iterator[VideoFrame], stream: VideoStream
) -> Iterator[tuple[Image, float]]:
    """Yield pixels and time of each frame, counting from the first."""
    step_s = 1 / float(stream.average_rate or 25)
    start_s: float | None = None
    time_s = -step_s
    for frame in frames:
        # A frame without a time stamp comes one usual step after the last one.
        stamp_s = frame.time
        if stamp_s is not None:
            start_s = stamp_s if start_s is None else start_s
            time_s = max(time_s, 0.0, stamp_s - start_s)
        else:
            time_s += step_s
        yield _upright(frame), time_s
    if time_s < 0:
        raise UnreadableFilm(_NO_FILM)


def _upright(frame: VideoFrame) -> Image:
    """Return the pixels, turned as the camera held upright would show them."""
    image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
