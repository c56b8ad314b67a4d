"""Small pictures and their files, for the tests of reading them."""

from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image as Pillow

from maskdet.media import encode_jpeg, encode_png
from maskdet.types import Image


def scenery(width: int = 160, height: int = 120) -> Image:
    """Return a smooth BGR picture whose four corners differ, so that turns show."""
    corners = np.array(
        [[[250, 20, 20], [20, 250, 20]], [[20, 20, 250], [240, 240, 240]]], np.uint8
    )
    return cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)


def saved(image: Pillow.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pillow(image: Image) -> Pillow.Image:
    return Pillow.fromarray(np.ascontiguousarray(image[:, :, ::-1]))


def png_of(header: bytes, rows: bytes) -> bytes:
    """Return a PNG written by hand: 13 header bytes and the unpacked rows."""

    def chunk(name: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + check

    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def difference(a: Image, b: Image) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def huge_png() -> bytes:
    """A picture whose header says 20000 x 20000; its pixels do not matter."""
    header = b"IHDR" + struct.pack(">II5B", 20000, 20000, 8, 2, 0, 0, 0)
    sealed = header + struct.pack(">I", zlib.crc32(header))
    plain = encode_png(scenery(8, 8))
    return plain[:12] + sealed + plain[33:]


def broken_files() -> dict[str, tuple[bytes, str]]:
    """Return files that are no good pictures by name, and what is said of each."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encode_jpeg(noise)
    return {
        "empty.jpg": (b"", "the file is empty"),
        "truncated.jpg": (whole[: len(whole) // 2], "damaged or incomplete"),
        "text.png": (b"I am no picture", "not a picture"),
        "moving.gif": (b"GIF89a" + bytes(40), "a GIF"),
        "huge.png": (huge_png(), "more than 40 megapixels"),
    }
