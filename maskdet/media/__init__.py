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
)
from maskdet.media.image_folder import ImageFolder, find_images
from maskdet.media.image_formats import FORMATS, SUFFIXES, ImageReadError
from maskdet.media.live import Live, Patience, open_video
from maskdet.media.mixing import NO_SOUND, Sound
from maskdet.media.pictures import (
    MAX_BYTES,
    MAX_JPEG_PIXELS,
    MAX_PIXELS,
    MAX_SIDE_PX,
    DecodedImage,
    decode_image,
    encode_jpeg,
    encode_png,
    read_image,
    rotated,
    write_image,
)
from maskdet.media.writing import FilmWriter, checked_target

__all__ = [
    "FORMATS",
    "MAX_BYTES",
    "MAX_JPEG_PIXELS",
    "MAX_PIXELS",
    "MAX_SIDE_PX",
    "NO_SOUND",
    "ROTATIONS",
    "SUFFIXES",
    "DecodedImage",
    "Film",
    "FilmLimits",
    "FilmWriter",
    "ImageFolder",
    "ImageReadError",
    "Live",
    "Patience",
    "Sound",
    "VideoInfo",
    "VideoReadError",
    "VideoSource",
    "checked_rotation",
    "checked_target",
    "decode_image",
    "encode_jpeg",
    "encode_png",
    "film_paths",
    "find_images",
    "open_video",
    "open_video_file",
    "public_name",
    "read_image",
    "rotated",
    "write_image",
]
