"""Formats of image files: which are read, and how their content begins."""

from __future__ import annotations

import re
from typing import Final

IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"),
)
"""Usual endings of image files, in lower case. Readers of data sets search for them; a
file of another name is read all the same where it is named."""

IMAGE_FORMATS: Final = "JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and PNM"
"""What can be read, for messages and help."""

SIGNATURE_BYTES: Final = 64
"""So much of a file tells what it is."""

# Format as Pillow calls it, and how its files begin.
READABLE_FORMATS: Final[dict[str, re.Pattern[bytes]]] = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    # The major brand may be a general one; the compatible ones follow.
    "AVIF": re.compile(
        rb"....ftyp(?:avi[fs]|(?:mif1|miaf|msf1).{4,40}avi[fs])", re.DOTALL
    ),
    "GIF": re.compile(rb"GIF8[79]a"),
    # Two letters alone would be many a text: the size of the header follows.
    "BMP": re.compile(
        rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL
    ),
    "TIFF": re.compile(rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]"),
    "PPM": re.compile(rb"P[1-6][\s#]"),
}

# Images of other kinds, which a message can name.
UNREADABLE_FORMATS: Final[dict[str, re.Pattern[bytes]]] = {
    "a HEIC photo": re.compile(
        rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL
    ),
    "a JPEG XL image": re.compile(rb"\xff\x0a|\x00\x00\x00\x0cJXL "),
    "a JPEG 2000 image": re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"),
    "a Photoshop file": re.compile(rb"8BPS"),
    "an icon": re.compile(rb"\x00\x00[\x01\x02]\x00[\x01-\x40]\x00"),
    "an OpenEXR image": re.compile(rb"\x76\x2f\x31\x01"),
    "a camera's raw file": re.compile(
        rb"FUJIFILMCCD-RAW|IIU\x00|II\x1a\x00\x00\x00HEAP|....ftypcrx |FOVb", re.DOTALL
    ),
}

# What is no image but often sent for one.
_NON_IMAGE_FORMATS: Final[dict[str, re.Pattern[bytes]]] = {
    "a PDF": re.compile(rb"%PDF"),
    "a video": re.compile(
        rb"....(?:ftyp|moov|mdat)|\x1aE\xdf\xa3|RIFF....AVI |\x00\x00\x01[\xb3\xba]",
        re.DOTALL,
    ),
}


class ImageReadError(ValueError):
    """An image that cannot be read; the message is one line, without its path.

    Examples:
        >>> try:
        ...     maskdet.read_image(b"%PDF-1.7")
        ... except maskdet.ImageReadError as error:
        ...     print(error)
        this is a PDF; accepted are JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and PNM
    """


def identify_format(data: bytes) -> str:
    """Return which readable format the content of a file has, as Pillow calls it.

    Raises:
        ImageReadError: it has none; the message says what it is, if that is known.
    """
    if not data:
        raise ImageReadError("the file is empty")
    head = data[:SIGNATURE_BYTES]
    for format_, signature in READABLE_FORMATS.items():
        if signature.match(head):
            return format_
    for name, signature in UNREADABLE_FORMATS.items():
        if signature.match(head):
            raise ImageReadError(format_unsupported(name))
    for name, signature in _NON_IMAGE_FORMATS.items():
        if signature.match(head):
            raise ImageReadError(f"this is {name}; accepted are {IMAGE_FORMATS}")
    raise ImageReadError(f"this is not an image; accepted are {IMAGE_FORMATS}")


def format_unsupported(name: str) -> str:
    """Return a line on a kind of image that cannot be read."""
    return f"this is {name}; save it as JPEG or PNG (accepted are {IMAGE_FORMATS})"
