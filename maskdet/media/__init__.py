"""Pictures and films in and out; nothing else decodes what a stranger sent."""

from __future__ import annotations

from maskdet.media.addresses import public_name
from maskdet.media.films import (
    ROTATIONS,
    Film,
    FilmLimits,
    VideoInfo,
    VideoReadError,
    VideoSource,
    checked_rotation,
    film_paths,
    open_video_file,
    rotated,
)
from maskdet.media.live import Live, Patience, open_video
from maskdet.media.mixing import NO_SOUND, Sound
from maskdet.media.pictures import (
    MAX_BYTES,
    MAX_PIXELS,
    SUFFIXES,
    ImageReadError,
    as_image,
    encode_jpeg,
    encode_png,
    image_paths,
    read_image,
    write_image,
)
from maskdet.media.writing import FilmWriter, checked_target

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "NO_SOUND",
    "ROTATIONS",
    "SUFFIXES",
    "Film",
    "FilmLimits",
    "FilmWriter",
    "ImageReadError",
    "Live",
    "Patience",
    "Sound",
    "VideoInfo",
    "VideoReadError",
    "VideoSource",
    "as_image",
    "checked_rotation",
    "checked_target",
    "encode_jpeg",
    "encode_png",
    "film_paths",
    "image_paths",
    "open_video",
    "open_video_file",
    "public_name",
    "read_image",
    "rotated",
    "write_image",
]
