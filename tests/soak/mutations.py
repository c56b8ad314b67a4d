"""Hostile files: damaged samples, bombs, and names that lead out of a zip.

Each is made from a seed, which always gives the same content.
"""

from __future__ import annotations

import functools
import io
import json
import random
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import cv2

from maskdet.media import decode_image, resize_image
from maskdet.resources import resource_path
from maskdet.serving.preferences import Preferences
from tests.helpers.zipped_datasets import make_coco_json, make_jpeg, make_zip
from tests.media.image_files import (
    encode_image,
    make_animation,
    make_huge_png,
    make_jpeg_with_size,
    make_tiff,
    to_pillow,
)
from tests.media.video_files import write_video

_SIDE_PX: Final = 240
_VIDEO_KINDS: Final = (
    ("mp4", "mpeg4"),
    ("mp4", "libx264"),
    ("avi", "mjpeg"),
    ("mkv", "mpeg4"),
    ("ts", "libx264"),
    ("webm", "libvpx"),
)
_EXTREMES: Final = (
    0,
    1,
    0x7F,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
_PATHS_OUT: Final = (
    "../escaped.jpg",
    "../../../../tmp/escaped.jpg",
    "/tmp/escaped.jpg",
    "images/../../escaped.jpg",
    "..\\escaped.jpg",
    "C:\\escaped.jpg",
    "C:escaped.jpg",
    "\\\\host\\place\\escaped.jpg",
    "./.././escaped.jpg",
    "a\0../escaped.jpg",
    "\x1b[2Jescaped.jpg",
    "\u202egpj.exe",
    "x" * 5000 + ".jpg",
    "~/escaped.jpg",
    "con.jpg",
)


def make_hostile_image(seed: int) -> bytes:
    """Return an image file that is damaged or lies about itself."""
    rng = random.Random(seed)
    samples = list_image_samples()
    if seed % 20 == 0:
        return _declare_huge_size(rng)
    return mutate(rng.choice(samples), rng, samples)


def make_hostile_video(seed: int) -> bytes:
    """Return a video file that is damaged."""
    rng = random.Random(seed)
    samples = list_video_samples()
    return mutate(rng.choice(samples), rng, samples)


def make_hostile_zip(seed: int) -> bytes:
    """Return a zip that is damaged, is a bomb, or has names that lead out of it."""
    rng = random.Random(seed)
    kinds: tuple[Callable[[random.Random], bytes], ...] = (
        _zip_of_paths_out,
        _zip_bomb,
        _zip_in_zips,
        _zip_with_links,
        _zip_of_hostile_files,
        _zip_with_wrong_sizes,
        _zip_of_many_files,
    )
    kind = kinds[seed % (len(kinds) + 3)] if seed % (len(kinds) + 3) < 7 else None
    if kind is not None:
        return kind(rng)
    samples = [_make_dataset_zip(0), _make_dataset_zip(1)]
    return mutate(rng.choice(samples), rng, samples)


def make_hostile_settings(seed: int) -> bytes:
    """Return a settings file with damaged JSON or impossible values."""
    rng = random.Random(seed)
    values = json.loads(Preferences().to_json())
    target = values["settings"] if seed % 2 else values
    if seed % 3 == 0:
        target = values["style"] if isinstance(values.get("style"), dict) else values
    target[rng.choice([*target, "x", "__class__", "settings"])] = _make_value(rng)
    text = json.dumps(values if seed % 4 else values["settings"])
    data = text.encode("utf-8", "surrogatepass")
    if seed % 5 == 0:
        tokens = (
            b"[" * 50_000,
            b"9" * 5000,
            b"NaN",
            b"\0",
            b"\xff",
            b"{",
            b'"',
            b"1e999",
        )
        at = rng.randrange(len(data))
        data = data[:at] + rng.choice(tokens) + data[at + rng.choice((0, 0, 9)) :]
    if seed % 7 == 0:
        data = rng.choice((b"\xff\xfe", b"\xef\xbb\xbf", b"")) + mutate(
            data, rng, [data]
        )
    return data


def make_hostile_link(seed: int) -> str:
    """Return the query of a link with impossible values."""
    rng = random.Random(seed)
    names = [
        *json.loads(Preferences().to_json())["settings"],
        "analyzer",
        "camera",
        "x",
    ]
    pairs = [(rng.choice(names), _make_text(rng)) for _ in range(rng.randint(1, 5))]
    query = urlencode(pairs, errors="replace")
    return (
        query if seed % 3 else quote(query) + "&%zz=%&=&&" + "a=" * rng.randint(0, 99)
    )


def mutate(data: bytes, rng: random.Random, samples: Sequence[bytes]) -> bytes:
    """Return a damaged copy of a file: one to three changes.

    Args:
        data: the file.
        rng: source of the changes.
        samples: files whose parts may be put in.
    """
    kinds = (_flip_bits, _truncate, _splice, _set_number, _repeat_part, _fill_part)
    for _ in range(rng.choice((1, 1, 2, 3))):
        data = rng.choice(kinds)(data, rng, samples)
    return data


def _flip_bits(data: bytes, rng: random.Random, samples: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    # Most decisions of a decoder depend on the header.
    end = rng.choice((64, 512, len(changed)))
    for _ in range(rng.choice((1, 4, 32)) if changed else 0):
        changed[rng.randrange(min(end, len(changed)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(data: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _splice(data: bytes, rng: random.Random, samples: Sequence[bytes]) -> bytes:
    """Put the header of another sample before the rest of this one."""
    other = rng.choice(samples)
    n_bytes = rng.choice((4, 12, 32, 100, 1000))
    return other[:n_bytes] + data[n_bytes - rng.choice((0, 0, 3)) :]


def _set_number(data: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    """Write an extreme number where a length, a size or an offset may be."""
    layout = rng.choice((">H", "<H", ">I", "<I"))
    n_bytes = struct.calcsize(layout)
    value = rng.choice(_EXTREMES) % (1 << 8 * n_bytes)
    at = rng.randrange(max(1, min(len(data), rng.choice((40, 400, len(data) + 1)))))
    return data[:at] + struct.pack(layout, value) + data[at + n_bytes :]


def _repeat_part(data: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    begin = rng.randrange(len(data) + 1)
    part = data[begin : begin + rng.choice((4, 40, 400))]
    return data[:begin] + part * rng.choice((2, 50)) + data[begin:]


def _fill_part(data: bytes, rng: random.Random, _: Sequence[bytes]) -> bytes:
    begin = rng.randrange(len(data) + 1)
    n_bytes = min(len(data) - begin, rng.choice((4, 40, 4000)))
    return (
        data[:begin] + rng.choice((b"\0", b"\xff")) * n_bytes + data[begin + n_bytes :]
    )


@functools.cache
def list_image_samples() -> list[bytes]:
    """Return small images in every format."""
    image = decode_image(resource_path("samples/group.jpg").read_bytes()).pixels
    pillow = to_pillow(resize_image(image, _SIDE_PX / max(image.shape[:2])))
    formats = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "GIF")
    return [
        *(encode_image(pillow, name) for name in formats),
        encode_image(pillow, "JPEG", progressive=True),
        encode_image(pillow.convert("P"), "PNG"),
        encode_image(pillow.convert("RGBA"), "WEBP", lossless=True),
        encode_image(pillow, "TIFF", compression="tiff_lzw"),
        make_animation(),
    ]


@functools.cache
def list_video_samples() -> list[bytes]:
    """Return short videos in several containers, and the start of a sample."""
    contents = [resource_path("samples/video.mp4").read_bytes()[:200_000]]
    with tempfile.TemporaryDirectory() as folder:
        for suffix, codec in _VIDEO_KINDS:
            path = Path(folder) / f"{codec}.{suffix}"
            contents.append(write_video(path, codec).read_bytes())
    return contents


def _declare_huge_size(rng: random.Random) -> bytes:
    width, height = rng.choice(((60_000, 60_000), (65_500, 700), (1, 65_500)))
    small = cv2.resize(decode_image(make_jpeg()).pixels, (2, 2))
    kinds: tuple[Callable[[], bytes], ...] = (
        lambda: make_jpeg_with_size(width, height),
        lambda: make_jpeg_with_size(width, height, progressive=True),
        make_huge_png,
        lambda: b"P6 %d %d 255\n" % (width, height) + bytes(900),
        lambda: make_tiff(small, t256=width, t257=height),
    )
    return rng.choice(kinds)()


def _make_dataset_zip(seed: int) -> bytes:
    labels = make_coco_json({"a.jpg": [([5.0, 5, 40, 40], 1)], "b.jpg": []})
    images = {"a.jpg": make_jpeg(seed), "b.jpg": make_jpeg(seed + 1)}
    return make_zip({"labels.json": labels, **images})


def _zip_of_paths_out(rng: random.Random) -> bytes:
    names = rng.sample(_PATHS_OUT, 6)
    labels = make_coco_json({name: [([5.0, 5, 40, 40], 1)] for name in names})
    return make_zip(
        {name: make_jpeg(number) for number, name in enumerate(names)}
        | {"labels.json": labels.encode("utf-8", "replace")}
    )


def _zip_bomb(rng: random.Random) -> bytes:
    name = rng.choice(("a.jpg", "labels.json", "classes.txt", "a.xml"))
    zeros = bytes(rng.choice((51, 60)) * 1_000_000)
    start = make_jpeg() if name == "a.jpg" else b'{"images": ['
    return make_zip({name: start + zeros, "b.jpg": make_jpeg()})


def _zip_in_zips(rng: random.Random) -> bytes:
    inner = make_zip({"a.jpg": make_jpeg()})
    for depth in range(rng.choice((1, 5, 40))):
        inner = make_zip({rng.choice((f"{depth}.zip", f"{depth}.jpg")): inner})
    return make_zip({"inner.zip": inner, "inner.jpg": inner, "a.jpg": make_jpeg()})


def _zip_with_links(rng: random.Random) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("labels.json", make_coco_json({"a.jpg": []}))
        for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFDIR):
            entry = zipfile.ZipInfo(f"{kind}.jpg")
            entry.external_attr = (kind | 0o777) << 16
            archive.writestr(entry, rng.choice(("/etc/passwd", "../..", "/dev/zero")))
    return target.getvalue()


def _zip_of_hostile_files(rng: random.Random) -> bytes:
    images = {f"{n}.jpg": make_hostile_image(rng.randrange(10**6)) for n in range(6)}
    labels = make_coco_json({name: [([5.0, 5, 40, 40], 1)] for name in images}).encode()
    if rng.random() < 0.5:
        labels = mutate(labels, rng, [labels])
    return make_zip({"labels.json": labels, **images})


def _zip_with_wrong_sizes(rng: random.Random) -> bytes:
    """Return a zip whose directory has extreme numbers."""
    data = bytearray(_make_dataset_zip(rng.randrange(9)))
    directory = data.find(b"PK\x01\x02")
    for _ in range(rng.randint(1, 4)):
        # Sizes, lengths of names, and offset (APPNOTE 6.3.10, 4.3.12).
        at = directory + rng.choice((8, 10, 20, 24, 28, 30, 32, 38, 42))
        struct.pack_into("<H", data, at, rng.choice(_EXTREMES) & 0xFFFF)
    return bytes(data)


def _zip_of_many_files(rng: random.Random) -> bytes:
    n_files = rng.choice((3_000, 25_000))
    return make_zip({f"{number}.jpg": b"" for number in range(n_files)})


def _make_value(rng: random.Random) -> object:
    """Return a JSON value that does not fit."""
    nested: object = "x"
    for _ in range(rng.choice((1, 90))):
        nested = [nested]
    return rng.choice(
        (
            *(None, True, "", "\0", "\ud800", -1, 10**400, 1e308, float("nan")),
            *(float("inf"), [], {}, nested, "x" * 100_000, [1e9] * 1000, {"a": {}}),
        )
    )


def _make_text(rng: random.Random) -> str:
    return rng.choice(
        (
            *("", "nan", "1e999", "-1", "9" * 5000, "true", "null", "[" * 3000),
            *("\0", "\u202e", "<script>alert(1)</script>", "../../etc/passwd"),
            *("x" * 20_000, '{"a": 1}', "http://host/", "0.5"),
        )
    )
