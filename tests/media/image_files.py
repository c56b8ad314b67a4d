"""Small images and image files for the tests."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from maskdet.media import encode_jpeg, encode_png
from maskdet.types import Image


def make_corners_image(width: int = 160, height: int = 120) -> Image:
    """Return a smooth BGR image with four different corners, to detect rotation."""
    corners = np.array(
        [[[250, 20, 20], [20, 250, 20]], [[20, 20, 250], [240, 240, 240]]], np.uint8
    )
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)


def encode_image(image: Pillow.Image, format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def to_pillow(image: Image) -> Pillow.Image:
    return Pillow.fromarray(np.ascontiguousarray(image[:, :, ::-1]))


def make_png(header: bytes, rows: bytes) -> bytes:
    """Return a PNG from 13 header bytes and the uncompressed rows."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def make_tiff(pixels: NDArray[Any], **tags: int | list[int]) -> bytes:
    """Return an uncompressed TIFF with further tags, such as `t274=6`.

    Args:
        pixels: `(h, w)` grey or `(h, w, 3 or 4)` RGB values of any type.
        tags: values of tags by number.
    """
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    body = np.ascontiguousarray(pixels).tobytes()
    body += b"\0" * (len(body) % 2)
    entries: dict[int, int | list[int]] = {
        **{256: width, 257: height, 258: [8 * pixels.itemsize] * channels, 259: 1},
        **{262: 1 if channels == 1 else 2, 273: 8, 277: channels, 278: height},
        **{
            279: len(body),
            339: [{"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]] * channels,
        },
        **({338: 2} if channels == 4 else {}),
        **{int(name[1:]): value for name, value in tags.items()},
    }
    begin = 8 + len(body)
    values_begin = begin + 2 + 12 * len(entries) + 4
    rows, long_values = b"", b""
    for tag, value in sorted(entries.items()):
        values = value if isinstance(value, list) else [value]
        code, kind = ("H", 3) if max(values) < 1 << 16 else ("I", 4)
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            offset = struct.pack("<I", values_begin + len(long_values))
            long_values += packed
        else:
            offset = packed.ljust(4, b"\0")
        rows += struct.pack("<HHI", tag, kind, len(values)) + offset
    table = struct.pack("<H", len(entries)) + rows + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", begin) + body + table + long_values


def encode_16_bit(
    image: Image, format_name: str = "png", *, bits: int, alpha: bool = False
) -> bytes:
    """Return an image of 16 bits a channel that uses only `bits` of them.

    Args:
        image: `(h, w)` grey or `(h, w, 3)` BGR, 8-bit.
        format_name: png, tiff, ppm or pgm.
        bits: bit depth of white.
        alpha: whether to add an opaque alpha channel.
    """
    levels = (image.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
    if alpha:
        opaque = np.full(image.shape[:2], (1 << bits) - 1, np.uint16)
        levels = np.dstack([levels, opaque])
    if format_name == "tiff":
        rgb = [2, 1, 0, 3][: levels.shape[-1]]
        return make_tiff(levels if levels.ndim == 2 else levels[..., rgb])
    return cv2.imencode(f".{format_name}", levels)[1].tobytes()


def make_jpeg_with_size(width: int, height: int, **options: object) -> bytes:
    """Return a JPEG with another size in its header; it cannot be decoded."""
    data = bytearray(
        encode_image(to_pillow(make_corners_image(64, 48)), "JPEG", **options)
    )
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def mean_difference(a: Image, b: Image) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def make_huge_png() -> bytes:
    """Return a PNG with 20000 x 20000 pixels in its header; it cannot be decoded."""
    header = b"IHDR" + struct.pack(">II5B", 20000, 20000, 8, 2, 0, 0, 0)
    chunk = header + struct.pack(">I", zlib.crc32(header))
    png = encode_png(make_corners_image(8, 8))
    return png[:12] + chunk + png[33:]


def make_animation(format_name: str = "GIF") -> bytes:
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    return encode_image(frames[0], format_name, save_all=True, append_images=frames[1:])


def make_broken_files() -> dict[str, tuple[bytes, str]]:
    """Return invalid image files by name: content, and part of the error message."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    jpeg = encode_jpeg(noise)
    return {
        "empty.jpg": (b"", "the file is empty"),
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "damaged or incomplete"),
        "text.png": (b"I am not an image", "not an image"),
        "moving.gif": (make_animation(), "an animation"),
        "photo.heic": (
            b"\0\0\0\x18ftypheic" + bytes(40),
            "a HEIC photo; save it as JPEG",
        ),
        "huge.png": (make_huge_png(), "more than 51 megapixels"),
    }
