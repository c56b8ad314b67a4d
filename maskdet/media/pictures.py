"""Reading and writing still pictures: JPEG, PNG and WebP."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.types import Image, check_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
"""What picture files in a folder end in; case does not matter."""

MAX_PIXELS: Final = 40_000_000
MAX_BYTES: Final = 64_000_000
"""Limits of one picture: 40 megapixels take 120 MB of memory once decoded, and no
camera's JPEG, PNG or WebP of that size is larger than 64 MB."""

_MAX_SCANS: Final = 100
"""A progressive JPEG of any camera has about 10 scans. Each costs a pass over all
pixels but only a few bytes, so thousands keep a processor busy for hours."""

_ALLOWED: Final = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WEBP": b"RIFF",
}

# Where, what, name: other types that people send, so that the refusal can name them.
_OTHERS: Final = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"II*\x00", "a TIFF"),
    (0, b"MM\x00*", "a TIFF"),
    (0, b"%PDF", "a PDF"),
    (4, b"ftyphei", "a HEIC photo"),
    (4, b"ftypmif1", "a HEIC photo"),
    (4, b"ftypavi", "an AVIF"),
    (4, b"ftyp", "a film"),
)
_USE_INSTEAD: Final = "please use JPEG, PNG or WebP"

_ORIENTATION: Final = 0x0112  # Exif 2.32, tag 274

# Pillow warns of damaged tags and of sizes on the terminal; both are judged here,
# and who reads a folder of photos can do nothing about their tags.
for _kind_of_warning in (UserWarning, RuntimeWarning):
    warnings.filterwarnings("ignore", category=_kind_of_warning, module=r"PIL\.")


class ImageReadError(ValueError):
    """An image that cannot be read; the message is one line, without its path.

    Examples:
        >>> try:
        ...     maskdet.read_image(b"GIF89a")
        ... except maskdet.ImageReadError as error:
        ...     print(error)
        this is a GIF; please use JPEG, PNG or WebP
    """


def read_image(
    source: str | Path | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Image:
    """Read a JPEG, PNG or WebP image, turned upright.

    Examples:
        >>> image = maskdet.read_image("group.jpg")
        >>> image.shape, image.dtype.name  # height, width, BGR
        ((480, 960, 3), 'uint8')

    The content decides, not the name. Transparent parts become white; grey, 16-bit,
    palette and CMYK images become 8-bit BGR. An animation is refused rather than
    reduced to its first frame, and so is a truncated file.

    Args:
        source: path of a file, or its content.
        max_pixels: larger images are refused before they are decoded.
        max_bytes: larger files are refused before they are read.

    Raises:
        FileNotFoundError: there is no such file.
        ImageReadError: it is not an image, or one that is refused; the message says
            what is wrong and what to do.
    """
    data = source if isinstance(source, bytes) else _file_bytes(source, max_bytes)
    if len(data) > max_bytes:
        raise ImageReadError(_too_large(max_bytes))
    kind = _kind(data)
    try:
        return _decoded(data, kind, max_pixels)
    except ImageReadError:
        raise
    # Hostile bytes make decoders raise nearly anything (OSError, SyntaxError,
    # struct.error, zlib.error, MemoryError...): all mean the same to the caller.
    except Exception:
        raise ImageReadError(
            "the picture is damaged or incomplete; please save or send it again"
        ) from None


def image_paths(folder: str | Path) -> list[Path]:
    """Return the picture files directly in a folder, sorted by name.

    Hidden files are left out: some systems put unreadable twins beside pictures.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError("there is no such folder")
    return sorted(
        path
        for path in Path(folder).iterdir()
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def as_image(source: object) -> Image:
    """Return an image that is given as an array, as a path, or as file content.

    Args:
        source: `(h, w, 3)` uint8 BGR or `(h, w)` grey array; path of a JPEG, PNG or
            WebP file; or the bytes of one.

    Returns:
        `(h, w, 3)` uint8 BGR.

    Raises:
        FileNotFoundError: there is no such file.
        ImageReadError: the file is not an image that can be read.
        TypeError: `source` is none of these, or an array of other numbers than uint8.
        ValueError: the array is empty or has another shape.
    """
    if isinstance(source, str | Path | bytes):
        return read_image(source)
    return check_image(source)


def write_image(path: str | Path, image: Image) -> None:
    """Write an image file; the ending chooses the format.

    Examples:
        >>> maskdet.write_image("copy.webp", maskdet.read_image("group.jpg"))

    Args:
        path: the file, ending in .png, .jpg, .jpeg (quality 95) or .webp (lossless);
            a file that is there is replaced.
        image: `(h, w, 3)` uint8 BGR, or `(h, w)` grey.

    Raises:
        ValueError: the ending is another one, or the image is empty.
        TypeError: `image` is not an array of uint8 numbers.
        OSError: the file cannot be written.
    """
    path = Path(path)
    encode = _ENCODERS.get(path.suffix.lower())
    if encode is None:
        raise ValueError(
            f"{path}: the ending must be {', '.join(_ENCODERS)}, not {path.suffix!r}"
        )
    path.write_bytes(encode(check_image(image)))


def encode_png(image: Image) -> bytes:
    """Return the picture as a PNG file, without any metadata."""
    return _encoded(".png", image, [])


def encode_jpeg(image: Image, quality: int = 90) -> bytes:
    """Return the picture as a JPEG file of quality 1 to 100, without metadata."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be a number from 1 to 100, not {quality!r}")
    return _encoded(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


_ENCODERS: Final[dict[str, Callable[[Image], bytes]]] = {
    ".png": encode_png,
    ".jpg": lambda image: encode_jpeg(image, 95),
    ".jpeg": lambda image: encode_jpeg(image, 95),
    ".webp": lambda image: _encoded(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101]),
}


def _encoded(suffix: str, image: Image, options: list[int]) -> bytes:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image must be (h, w, 3) uint8, not {image.shape} {image.dtype}"
        )
    content: NDArray[np.uint8] = cv2.imencode(suffix, image, options)[1]
    return content.tobytes()


def _file_bytes(source: str | Path, max_bytes: int) -> bytes:
    """Return the content of a file, at most one byte more than is allowed."""
    path = Path(source)
    try:
        if path.is_dir():
            raise ImageReadError("this is a folder, not a picture")
        if path.exists() and not path.is_file():
            # A pipe or a device could keep its reader waiting for ever.
            raise ImageReadError("this is not a file that can be read")
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise FileNotFoundError("there is no such file") from None
    except ImageReadError:
        raise
    except PermissionError:
        raise ImageReadError("the file may not be opened: permission denied") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
        raise ImageReadError(f"the file cannot be read: {reason.lower()}") from None


def _too_large(max_bytes: int) -> str:
    megabytes = f"{max_bytes / 1e6:g} MB"
    return f"the file is larger than {megabytes}; please make the picture smaller"


def _kind(data: bytes) -> str:
    """Return which allowed type the content is."""
    if not data:
        raise ImageReadError("the file is empty")
    for kind, magic in _ALLOWED.items():
        if data.startswith(magic) and (kind != "WEBP" or data[8:12] == b"WEBP"):
            return kind
    for offset, magic, name in _OTHERS:
        if data.startswith(magic, offset):
            raise ImageReadError(f"this is {name}; {_USE_INSTEAD}")
    raise ImageReadError(f"this is not a picture; {_USE_INSTEAD}")


def _decoded(data: bytes, kind: str, max_pixels: int) -> Image:
    """Return the upright BGR pixels; the header is judged before they are decoded."""
    # Imported here: `import maskdet` would take 80 ms longer.
    from PIL import Image as Pillow

    too_many = ImageReadError(
        f"the picture has more than {max_pixels / 1e6:g} megapixels; "
        "please make it smaller"
    )
    if kind == "JPEG" and data.count(b"\xff\xda") > _MAX_SCANS:
        raise ImageReadError("the picture is built to be slow; it is not opened")
    try:
        opened = Pillow.open(io.BytesIO(data), formats=[kind])
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        raise too_many from None
    with opened as picture:
        if picture.width * picture.height > max_pixels:
            raise too_many
        # A JPEG may carry a second picture (depth, HDR gain): that is no film.
        if kind != "JPEG" and getattr(picture, "n_frames", 1) > 1:
            raise ImageReadError(
                "this is a moving picture; please send one frame of it, or a film"
            )
        picture.load()
        return _upright(_pixels(picture), _orientation(picture))


def _pixels(picture: PillowImage) -> Image:
    """Return decoded pixels of any mode as 8-bit BGR."""
    from PIL import Image as Pillow

    if picture.mode.startswith("I"):  # 16-bit grey; Pillow would clip it at 255
        grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255)
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Pillow.new("RGBA", picture.size, "white")
        picture = Pillow.alpha_composite(white, clear)
    rgb = np.asarray(picture.convert("RGB"))
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def _orientation(picture: PillowImage) -> int:
    """Return the EXIF orientation, 1 to 8; damaged metadata counts as upright."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    # EXIF is parsed from hostile bytes too, but the pixels are fine without it.
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _upright(image: Image, orientation: int) -> Image:
    """Undo an EXIF orientation (Exif 2.32, section 4.6.4 A)."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
