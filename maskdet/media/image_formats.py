"""Image formats: signatures of those that are read, and names of others."""

from __future__ import annotations

import re
from typing import Final

IMAGE_SUFFIXES: Final = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".gif"),
    *(".bmp", ".dib", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"),
)
"""Usual suffixes of image files, in lower case. Dataset readers search for them; a file
that is named explicitly can have any suffix."""

IMAGE_FORMATS: Final = "JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and PNM"
"""Readable formats, for messages and help."""

SIGNATURE_BYTES: Final = 64
"""Length of the beginning of a file that is compared with the signatures."""

# Format name of Pillow, and the signature of its files.
READABLE_FORMATS: Final[dict[str, re.Pattern[bytes]]] = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    # The major brand can be a general one; compatible brands follow.
    "AVIF": re.compile(
        rb"....ftyp(?:avi[fs]|(?:mif1|miaf|msf1).{4,40}avi[fs])", re.DOTALL
    ),
    "GIF": re.compile(rb"GIF8[79]a"),
    # Two letters alone match many texts, so the header size is checked too.
    "BMP": re.compile(
        rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00", re.DOTALL
    ),
    "TIFF": re.compile(rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]"),
    "PPM": re.compile(rb"P[1-6][\s#]"),
}

# Image formats that cannot be read, with a name for the message.
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

# Other formats that are often sent by mistake.
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


def looks_like_image(name: str, head: bytes) -> bool:
    """Return whether a file is an image by its suffix or its content.

    Args:
        name: its name.
        head: its first `SIGNATURE_BYTES` bytes, or fewer.
    """
    if name.lower().endswith(IMAGE_SUFFIXES):
        return True
    signatures = (*READABLE_FORMATS.values(), *UNREADABLE_FORMATS.values())
    return any(signature.match(head) for signature in signatures)


def identify_format(data: bytes) -> str:
    """Return the format of the content of a file, by its name in Pillow.

    Raises:
        ImageReadError: the format cannot be read; the message names it if it is known.
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
    """Return the message for an image format that cannot be read."""
    return f"this is {name}; save it as JPEG or PNG (accepted are {IMAGE_FORMATS})"
