"""Read and write still images; the format is detected from the content of a file."""

from __future__ import annotations

import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.media.image_formats import (
    ImageReadError,
    format_unsupported,
    identify_format,
)
from maskdet.types import Image, Scene, check_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile
    from PIL.JpegImagePlugin import JpegImageFile

MAX_PIXELS: Final = 51_000_000
MAX_JPEG_PIXELS: Final = 4 * MAX_PIXELS
MAX_SIDE_PX: Final = 65_500
MAX_BYTES: Final = 100_000_000
"""Limits of one image. 51 megapixels is the usual largest photo of a phone; decoded, it
takes 153 MB. A JPEG of up to four times as many pixels is decoded at half its width and
height, and so takes no more. No JPEG has a side above 65,500 pixels; an image one pixel
wide and millions high takes a decoder far more memory than its pixels."""

_MAX_JPEG_BUFFER_BYTES: Final = 260_000_000
"""The decoder of a progressive JPEG buffers all coefficients, two bytes each, whatever
the output size."""

_MAX_SCANS: Final = 100
"""Progressive JPEGs of cameras have about 10 scans. A scan of a few bytes takes a pass
over all pixels, so thousands of them keep a processor busy for hours."""

_MAX_PAGES: Final = 20
"""Maximum number of TIFF pages that are checked for another full image."""

_TAG_ORIENTATION: Final = 0x0112  # Exif 2.32, tag 274
# TIFF 6.0, sections 4 and 8; DNG 1.7, section 4.
(
    _TAG_SUBFILE_TYPE,
    _TAG_BITS_PER_SAMPLE,
    _TAG_PHOTOMETRIC,
    _TAG_SAMPLES_PER_PIXEL,
    _TAG_DNG_VERSION,
) = 254, 258, 262, 277, 50706
# Bits of the subfile type: not a page, but a reduced copy or a mask of one.
_SUBFILE_REDUCED, _SUBFILE_MASK = 1, 4
_PHOTOMETRIC_WHITE_IS_ZERO, _PHOTOMETRIC_RGB = 0, 2

_BIT_DEPTHS: Final = (8, 10, 12, 14, 16)
"""Bit depths of sensors; see `read_image`."""

_URL: Final = re.compile(r"(?i)[a-z][a-z0-9+.-]+:/")
"""Beginning of a URL; a Windows drive has only one letter."""

_ENCODER_MAX_SIDE_PX: Final = {".jpg": 65_500, ".webp": 16_383}
"""Maximum side of an image by format, in pixels."""

_StoredImage = tuple[Image, int, tuple[int, int]]
"""Pixels as stored, EXIF orientation, and width and height as stored."""

_JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""A marker with a segment, or the end marker; not stuffing, restart or fill."""

# Pillow warns about damaged tags and large sizes. Sizes are checked here, and users
# cannot do anything about damaged tags.
for _category in (UserWarning, RuntimeWarning):
    warnings.filterwarnings("ignore", category=_category, module=r"PIL\.")


def rotate_image(image: Image, rotate: int) -> Image:
    """Return an image rotated clockwise by `rotate` degrees, one of `ROTATIONS`."""
    if rotate == 0:
        return image
    result: Image = np.ascontiguousarray(np.rot90(image, -rotate // 90))
    return result


def resize_image(image: Image, scale: float) -> Image:
    """Return an image resized by a factor, or the same image if no side changes."""
    size_wh = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    if size_wh == [*image.shape[1::-1]]:
        return image
    resampling = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size_wh, interpolation=resampling), np.uint8)


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """The pixels of an image, and its original size.

    Attributes:
        pixels: `(h, w, 3)` uint8 BGR, upright; a very large JPEG has half its width and
            height.
        width: width of the upright original in pixels; by default, that of `pixels`.
        height: height of the upright original in pixels; by default, that of `pixels`.
        format: format name of Pillow, for example `JPEG`; empty for an array.
    """

    pixels: Image
    width: int = 0
    height: int = 0
    format: str = ""

    def __post_init__(self) -> None:
        """Set the original size to that of the pixels if it is not given."""
        if not self.width:
            object.__setattr__(self, "height", self.pixels.shape[0])
            object.__setattr__(self, "width", self.pixels.shape[1])

    @property
    def scale_factors(self) -> tuple[float, float]:
        """Original size divided by the size of `pixels`: width and height."""
        height, width = self.pixels.shape[:2]
        return self.width / width, self.height / height

    def rotate(self, rotate: int) -> DecodedImage:
        """Return the image rotated clockwise by `rotate` degrees (`ROTATIONS`)."""
        width, height = self.width, self.height
        if rotate % 180:
            width, height = height, width
        return DecodedImage(
            rotate_image(self.pixels, rotate), width, height, self.format
        )

    def scale_scene(self, scene: Scene) -> Scene:
        """Return a scene of the original with its boxes in pixels of `pixels`."""
        across, down = self.scale_factors
        if across == down == 1:
            return scene
        return scene.scale(1 / across, 1 / down)


def read_image(
    source: str | Path | bytes,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Image:
    """Read an image upright and in its full size.

    Examples:
        >>> image = maskdet.read_image("group.jpg")
        >>> image.shape, image.dtype.name  # height, width, BGR
        ((480, 960, 3), 'uint8')

    Reads JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF and PNM, whatever the file name.
    Transparent parts become white; grey, palette and CMYK images become 8-bit BGR.
    Animations, TIFFs with several pages and truncated files are rejected.

    Images with more than 8 bits are scaled by the bits they use, because values of 10,
    12 or 14-bit sensors are often stored in 16 bits without scaling: white is the
    largest value of the smallest of 8, 10, 12, 14 and 16 bits that holds all values.
    Floating-point values range from 0 to 1, or to the largest value if that is higher.

    Args:
        source: path of a file, or its content.
        max_pixels: larger images are rejected before they are decoded, and so are those
            with a side above 65,500 pixels.
        max_bytes: larger files are rejected before they are read.

    Raises:
        FileNotFoundError: there is no such file.
        ImageReadError: the file is not an image, or it is rejected; the message gives
            the reason and what to do.
    """
    return _read_source(source, max_pixels, max_pixels, max_bytes).pixels


def decode_image(source: object) -> DecodedImage:
    """Decode an image that is given as an array, a path, or the content of a file.

    Args:
        source: `(h, w, 3)` uint8 BGR or `(h, w)` grey array; path of a file; or its
            content. A JPEG of more than `MAX_PIXELS` is decoded at half its width and
            height, which takes a quarter of the memory.

    Raises:
        FileNotFoundError: there is no such file.
        ImageReadError: the file cannot be read as an image.
        TypeError: `source` has another type, or the array is not uint8.
        ValueError: the array is empty or has another shape.
    """
    if isinstance(source, str | Path | bytes):
        return _read_source(source, MAX_PIXELS, MAX_JPEG_PIXELS, MAX_BYTES)
    return DecodedImage(check_image(source))


def write_image(path: str | Path, image: Image) -> None:
    """Write an image file; the suffix chooses the format.

    Examples:
        >>> maskdet.write_image("copy.webp", maskdet.read_image("group.jpg"))

    Args:
        path: the file: .png, .jpg, .jpeg (quality 95) or .webp (lossless); an existing
            file is replaced.
        image: `(h, w, 3)` uint8 BGR, or `(h, w)` grey.

    Raises:
        ValueError: the suffix is not supported, or the image is empty or too large for
            the format.
        TypeError: `image` is not a uint8 array.
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
    """Return the image as a PNG file without metadata."""
    return _encode(".png", image, [])


def encode_jpeg(image: Image, quality: int = 90) -> bytes:
    """Return the image as a JPEG file of quality 1 to 100, without metadata."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be a number from 1 to 100, not {quality!r}")
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


_ENCODERS: Final[dict[str, Callable[[Image], bytes]]] = {
    ".png": encode_png,
    ".jpg": lambda image: encode_jpeg(image, 95),
    ".jpeg": lambda image: encode_jpeg(image, 95),
    ".webp": lambda image: _encode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101]),
}


def _encode(suffix: str, image: Image, options: list[int]) -> bytes:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image must be (h, w, 3) uint8, not {image.shape} {image.dtype}"
        )
    height, width = image.shape[:2]
    max_side = _ENCODER_MAX_SIDE_PX.get(suffix)
    if max_side is not None and max(width, height) > max_side:
        raise ValueError(
            f"an image of {width} x {height} pixels is too large for a {suffix} file, "
            f"whose sides are at most {max_side}; write a .png file"
        )
    content: NDArray[np.uint8] = cv2.imencode(suffix, image, options)[1]
    return content.tobytes()


def _read_file_bytes(source: str | Path, max_bytes: int) -> bytes:
    """Return the content of a file, at most `max_bytes` + 1 bytes."""
    path = Path(source)
    try:
        if path.is_dir():
            raise ImageReadError("this is a folder, not an image")
        if not path.exists() and _URL.match(str(source)):
            raise ImageReadError(
                "this is a URL, which is not downloaded: save the image and pass its "
                "file (`maskdet video` reads cameras and streams)"
            )
        if path.exists() and not path.is_file():
            # Reading a pipe or a device could block forever.
            raise ImageReadError("this is not a file that can be read")
        with path.open("rb") as file:
            # Python reserves as much memory as it is asked to read. Some file systems
            # report no size.
            size = os.fstat(file.fileno()).st_size
            return file.read(min(max_bytes + 1, size or max_bytes + 1))
    except FileNotFoundError:
        raise FileNotFoundError("there is no such file") from None
    except ImageReadError:
        raise
    except PermissionError:
        raise ImageReadError("the file may not be opened: permission denied") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
        raise ImageReadError(f"the file cannot be read: {reason.lower()}") from None


def _read_source(
    source: str | Path | bytes, max_pixels: int, max_jpeg_pixels: int, max_bytes: int
) -> DecodedImage:
    data = source if isinstance(source, bytes) else _read_file_bytes(source, max_bytes)
    if len(data) > max_bytes:
        raise ImageReadError(
            f"the file is larger than {max_bytes / 1e6:g} MB; make the image smaller"
        )
    format_ = identify_format(data)
    try:
        if format_ == "JPEG":
            pixels, orientation, size_wh = _decode_jpeg(
                data, max_pixels, max_jpeg_pixels
            )
        else:
            pixels, orientation, size_wh = _decode_other(data, format_, max_pixels)
    except ImageReadError:
        raise
    # Malformed files make decoders raise many types of errors (OSError, SyntaxError,
    # struct.error, zlib.error, MemoryError...), with the same meaning for the caller.
    except Exception:
        raise ImageReadError(
            "the image is damaged or incomplete; save or send it again"
        ) from None
    # Rotate only now: the decoder has released its own copy of the pixels.
    width, height = size_wh if orientation < 5 else size_wh[::-1]
    return DecodedImage(_apply_orientation(pixels, orientation), width, height, format_)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise an error for an image that is too large, from its header alone."""
    size = f"the image has {width} x {height} pixels"
    if max(width, height) > MAX_SIDE_PX:
        raise ImageReadError(f"{size}; a side may have at most {MAX_SIDE_PX}: crop it")
    if width * height > max_pixels:
        raise ImageReadError(
            f"{size}; at most {max_pixels / 1e6:g} megapixels are read: make it smaller"
        )


def _decode_jpeg(data: bytes, max_pixels: int, max_jpeg_pixels: int) -> _StoredImage:
    """Decode a JPEG, at half its width and height if it has more than `max_pixels`."""
    # Imported here to save 80 ms of `import maskdet`. The class is used directly,
    # because `Image.open` has its own size limit, and takes a JPEG with a second image
    # (depth, HDR gain) for another format.
    from PIL.JpegImagePlugin import JpegImageFile

    n_scans, n_in_first = _count_scans(data)
    if n_scans > _MAX_SCANS:
        raise ImageReadError(
            f"the JPEG has more than {_MAX_SCANS} scans (possible decompression bomb)"
        )
    with JpegImageFile(io.BytesIO(data)) as image:
        width, height = image.size
        _check_size(width, height, max_jpeg_pixels)
        is_multi_scan = n_in_first < image.layers or "progressive" in image.info
        if is_multi_scan and _count_coefficient_bytes(image) > _MAX_JPEG_BUFFER_BYTES:
            raise ImageReadError(
                f"the image is a progressive JPEG of {width} x {height} pixels, too "
                "large to decode: save it as a baseline JPEG or make it smaller"
            )
        if width * height > max_pixels:
            image.draft(None, (width // 2, height // 2))
        orientation = get_exif_orientation(image)
        return _to_bgr(image), orientation, (width, height)


def _count_scans(data: bytes) -> tuple[int, int]:
    """Return the number of scans of a JPEG, and of components of the first scan.

    Counting ends at the end of the image: phones append other images and videos, whose
    bytes can look like the beginning of a scan.
    """
    n_scans, n_in_first, position = 0, 0, 2
    while n_scans <= _MAX_SCANS:
        marker = _JPEG_MARKER.search(data, position)
        if marker is None or marker[1] == b"\xd9":
            break
        position = marker.end()
        if marker[1] == b"\xda":
            n_scans += 1
            n_in_first = n_in_first or int.from_bytes(data[position + 2 : position + 3])
        position += int.from_bytes(data[position : position + 2])
    return n_scans, n_in_first


def _count_coefficient_bytes(image: JpegImageFile) -> int:
    """Return the size of all coefficients of a JPEG, two bytes each."""
    width, height = image.size
    factors = [(across, down) for _, across, down, _ in image.layer]
    max_across = max(across for across, _ in factors)
    max_down = max(down for _, down in factors)
    ratio = sum(across * down for across, down in factors) / (max_across * max_down)
    return round(2 * width * height * ratio)


def _decode_other(data: bytes, format_: str, max_pixels: int) -> _StoredImage:
    """Decode an image other than JPEG; the header is checked before decoding."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    try:
        opened = Pillow.open(io.BytesIO(data), formats=[format_])
    except Pillow.DecompressionBombError:
        # Pillow's own limit is far above ours; its error does not contain the size.
        raise ImageReadError(
            f"the image has more than {max_pixels / 1e6:g} megapixels; make it smaller"
        ) from None
    except UnidentifiedImageError:
        if format_ != "TIFF":
            raise
        pixels = _decode_unusual_tiff(data, max_pixels)
        return pixels, 1, (pixels.shape[1], pixels.shape[0])
    with opened as image:
        _check_size(*image.size, max_pixels)
        _reject_multiple_images(image, format_)
        use_opencv = format_ == "WEBP" or _is_deep_colour(data, image, format_)
        is_inverted = (
            _get_tiff_tags(image).get(_TAG_PHOTOMETRIC) == _PHOTOMETRIC_WHITE_IS_ZERO
        )
        if format_ != "WEBP":  # Pillow would hold four copies
            # This rotates a TIFF and removes its orientation tag.
            image.load()
        orientation = get_exif_orientation(image)
        if not use_opencv:
            pixels = _convert_pillow(image, is_inverted=is_inverted)
    if use_opencv:
        # Pillow has checked that it is complete; release its copy.
        image.close()
        pixels = _decode_with_opencv(data)
    return pixels, orientation, (pixels.shape[1], pixels.shape[0])


def _get_tiff_tags(image: PillowImage) -> Any:
    """Return the tags of a TIFF by number; empty for other formats."""
    return getattr(image, "tag_v2", {})


def _convert_pillow(image: PillowImage, *, is_inverted: bool) -> Image:
    """Return the pixels of a Pillow image of any mode as 8-bit BGR."""
    if image.mode[0] not in "IF":
        return _to_bgr(image)
    values = np.asarray(image)
    grey = _to_8bit(values, _get_white_level(values))
    return check_image(255 - grey if is_inverted else grey)


def _reject_multiple_images(image: PillowImage, format_: str) -> None:
    """Raise an error for animations, several pages, and raw files with a preview."""
    if format_ != "TIFF":
        if getattr(image, "is_animated", False):
            raise ImageReadError(
                "this is an animation; use one frame of it, or analyze it as a video"
            )
        return
    if (
        _TAG_DNG_VERSION in _get_tiff_tags(image)
        or _get_tiff_tags(image).get(_TAG_SUBFILE_TYPE, 0) & _SUBFILE_REDUCED
    ):
        raise ImageReadError(format_unsupported("a camera's raw file"))
    for page in range(1, _MAX_PAGES):
        try:
            image.seek(page)
        except EOFError:
            break
        if not _get_tiff_tags(image).get(_TAG_SUBFILE_TYPE, 0) & (
            _SUBFILE_REDUCED | _SUBFILE_MASK
        ):
            raise ImageReadError(
                "this TIFF has several pages; save each page as a separate image"
            )
    image.seek(0)


def _is_deep_colour(data: bytes, image: PillowImage, format_: str) -> bool:
    """Return whether an image has several channels of more than 8 bits.

    Pillow keeps only the upper 8 of 16 bits, so images that use only the lower bits
    would be black.
    """
    if format_ == "PNG":
        # The IHDR chunk is the first: depth, then colour type (0 and 3: one channel).
        return data[24] == 16 and data[25] not in (0, 3)
    if format_ == "TIFF":
        bits = _get_tiff_tags(image).get(_TAG_BITS_PER_SAMPLE, (1,))
        return len(bits) > 1 and max(bits) > 8
    if format_ == "PPM":
        # "RGB" for 8 bits; else the name of the mode and the largest value.
        args = cast("ImageFile", image).tile[0].args
        return image.mode == "RGB" and isinstance(args, tuple) and args[-1] > 255
    return False


def _decode_with_opencv(data: bytes) -> Image:
    """Return the pixels of an image of any depth as 8-bit BGR, over white.

    OpenCV applies the orientation of a TIFF, but not that of other formats.
    """
    level = cv2.utils.logging.getLogLevel()
    # Suppress warnings about files on the terminal.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        values: NDArray[Any] | None = cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        )
    finally:
        cv2.utils.logging.setLogLevel(level)
    if values is None:
        raise OSError("damaged, or of an unknown kind")
    if values.dtype == np.uint8 and values.shape[2:] == (3,):
        return check_image(values)
    if values.ndim == 2:
        return check_image(_to_8bit(values, _get_white_level(values)))
    result = np.empty((*values.shape[:2], 3), np.uint8)
    white, opaque = _get_white_level(values[..., :3]), _get_white_level(values[..., 3:])
    for rows in _iter_strips(*values.shape[:2]):
        colours = _to_8bit(values[rows, :, :3], white)
        if values.shape[2] == 4:
            alpha = cv2.cvtColor(
                _to_8bit(values[rows, :, 3], opaque), cv2.COLOR_GRAY2BGR
            )
            blended = cv2.multiply(colours, alpha, scale=1 / 255)
            colours = check_image(np.asarray(cv2.add(blended, 255 - alpha)))
        result[rows] = colours
    return result


def _iter_strips(height: int, width: int) -> Iterator[slice]:
    """Yield slices of rows; copies of the whole image would take too much memory."""
    rows = max(1, 2_000_000 // width)
    return (slice(top, min(height, top + rows)) for top in range(0, height, rows))


def _decode_unusual_tiff(data: bytes, max_pixels: int) -> Image:
    """Decode a TIFF that Pillow cannot open, such as RGB in floating point."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    file = io.BytesIO(data)
    tags = ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    _check_size(tags[256], tags[257], max_pixels)
    if tags.get(_TAG_PHOTOMETRIC) != _PHOTOMETRIC_RGB or tags.get(
        _TAG_SAMPLES_PER_PIXEL, 1
    ) not in (3, 4):
        raise ImageReadError("this kind of TIFF cannot be read; save it as 8-bit RGB")
    ends = [
        offset + count
        for offsets, counts in ((273, 279), (324, 325))
        for offset, count in zip(
            tags.get(offsets, ()), tags.get(counts, ()), strict=True
        )
    ]
    if not ends or max(ends) > len(data):
        raise EOFError("truncated")
    return _decode_with_opencv(data)


def _get_white_level(values: NDArray[Any]) -> float:
    """Return the value of white in an array of any type; see `read_image`."""
    if values.dtype.kind == "f":
        return float(np.max(values, where=np.isfinite(values), initial=1))
    max_value = int(values.max(initial=0))
    bits = next(
        (bits for bits in _BIT_DEPTHS if max_value < 1 << bits), max_value.bit_length()
    )
    return float((1 << bits) - 1)


def _to_8bit(values: NDArray[Any], white: float) -> Image:
    """Return values of any type as 8-bit, from 0 for 0 to 255 for `white`."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values.astype(np.float32), posinf=white)
    if values.dtype.kind in "fi":
        values = np.clip(values, 0, None).astype(np.float32)
    return np.asarray(cv2.convertScaleAbs(values, alpha=255 / white), np.uint8)


def _to_bgr(image: PillowImage) -> Image:
    """Return the pixels of an image with an 8-bit mode as BGR, over white."""
    from PIL import Image as Pillow

    width, height = image.size
    result = np.empty((height, width, 3), np.uint8)
    for rows in _iter_strips(height, width):
        strip = image.crop((0, rows.start, width, rows.stop))
        if strip.has_transparency_data:
            rgba = strip.convert("RGBA")
            strip = Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, "white"), rgba)
        try:
            rgb = np.asarray(strip.convert("RGB"))
        except ValueError:
            raise ImageReadError(
                f"colour mode {image.mode} cannot be read; save the image as RGB"
            ) from None
        cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR, dst=result[rows])
    return result


def get_exif_orientation(image: PillowImage) -> int:
    """Return the EXIF orientation, 1 to 8; damaged metadata counts as upright."""
    try:
        value = image.getexif().get(_TAG_ORIENTATION, 1)
    # Malformed EXIF can raise any error; the pixels are readable without it.
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _apply_orientation(image: Image, orientation: int) -> Image:
    """Undo an EXIF orientation (Exif 2.32, section 4.6.4 A)."""
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
