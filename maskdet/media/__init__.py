"""Pictures and films in and out; nothing else decodes what a stranger sent."""

from __future__ import annotations

from maskdet.media.films import UnreadableFilm, read_video
from maskdet.media.pictures import (
    MAX_BYTES,
    MAX_PIXELS,
    SUFFIXES,
    UnreadableImage,
    encode_jpeg,
    encode_png,
    image_paths,
    read_image,
)

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "UnreadableFilm",
    "UnreadableImage",
    "encode_jpeg",
    "encode_png",
    "image_paths",
    "read_image",
    "read_video",
]
