"""Pictures and films in and out; nothing else decodes what a stranger sent."""

from __future__ import annotations

from maskdet.media.addresses import public_name
from maskdet.media.films import (
    Film,
    FilmInfo,
    FilmLimits,
    Frames,
    UnreadableFilm,
    film_paths,
    read_film,
    read_video,
)
from maskdet.media.live import Live, Patience, open_source
from maskdet.media.mixing import NO_SOUND, Sound
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
from maskdet.media.writing import FilmWriter, checked_target

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "NO_SOUND",
    "SUFFIXES",
    "Film",
    "FilmInfo",
    "FilmLimits",
    "FilmWriter",
    "Frames",
    "Live",
    "Patience",
    "Sound",
    "UnreadableFilm",
    "UnreadableImage",
    "checked_target",
    "encode_jpeg",
    "encode_png",
    "film_paths",
    "image_paths",
    "open_source",
    "public_name",
    "read_film",
    "read_image",
    "read_video",
]
