"""Files that are no pictures, or that are made to do harm, are refused in a line."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.media import ImageReadError, read_image
from tests.media.files import pillow, png_of, saved, scenery


def refusal(source: str | Path | bytes, **limits: int) -> str:
    with pytest.raises(ImageReadError) as caught:
        read_image(source, **limits)
    message = str(caught.value)
    assert "\n" not in message
    assert 10 < len(message) < 100
    return message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello, I am a text\n" * 40, "not a picture"),
        (b"\x00" * 5000, "not a picture"),
        (b"GIF89a" + b"\x00" * 50, "GIF"),
        (b"BM" + b"\x00" * 50, "BMP"),
        (b"%PDF-1.7", "PDF"),
        (b"II*\x00" + b"\x00" * 50, "TIFF"),
        (b"\x00\x00\x00\x18ftypheic", "HEIC"),
        (b"\x00\x00\x00\x18ftypavif", "AVIF"),
        (b"\x00\x00\x00\x18ftypisom", "film"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not a picture"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"RIFF\x00\x00\x00\x00WEBP", "damaged"),
    ],
)
def test_what_is_no_allowed_picture_is_refused_by_name(
    content: bytes, words: str
) -> None:
    assert words in refusal(content)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_moving_pictures_are_refused(kind: str) -> None:
    frames = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert ("GIF" if kind == "GIF" else "moving picture") in refusal(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size_wh", [(20000, 20000), (8000, 5001), (12000, 9000)])
def test_huge_pictures_are_refused_from_the_header(size_wh: tuple[int, int]) -> None:
    """The file holds a header only: whoever decodes it first would say damaged."""
    header = struct.pack(">IIBBBBB", *size_wh, 8, 2, 0, 0, 0)
    assert "40 megapixels" in refusal(png_of(header, b""))


def test_a_huge_jpeg_and_a_huge_webp_are_refused_from_the_header() -> None:
    data = bytearray(saved(pillow(scenery()), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 20000, 20000)
    assert "40 megapixels" in refusal(bytes(data))
    data = bytearray(saved(pillow(scenery()), "WEBP", lossless=True))
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", 16382 | 16382 << 14)
    assert "40 megapixels" in refusal(bytes(data))


def test_the_limits_can_be_chosen() -> None:
    data = saved(pillow(scenery(100, 100)), "PNG")
    assert read_image(data, max_pixels=10_000, max_bytes=len(data)).shape[0] == 100
    assert "0.009999 megapixels" in refusal(data, max_pixels=9_999)
    assert "larger than" in refusal(data, max_bytes=len(data) - 1)


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(300_000_000)
    assert "larger than 64 MB" in refusal(path)


def test_a_jpeg_built_to_be_slow_is_refused() -> None:
    data = saved(pillow(scenery()), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert read_image(data).shape == (120, 160, 3)
    slow = data[:last] + data[last:-2] * 200 + data[-2:]
    assert "slow" in refusal(slow)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_refused_and_leaks_nothing(kind: str) -> None:
    """OpenCV 4.10 filled the missing part with the picture decoded before."""
    red = np.zeros((120, 160, 3), np.uint8)
    red[..., 2] = 255
    noise = np.random.default_rng(3).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    whole = saved(pillow(noise), kind)
    before = saved(pillow(red), kind)
    for share in (0.05, 0.2, 0.5, 0.8, 0.95, 0.99):
        read_image(before)
        refusal(whole[: int(share * len(whole))])


def outcome(data: bytes) -> str:
    try:
        result = read_image(data, max_pixels=1_000_000)
    except ImageReadError as error:
        return "two lines" if "\n" in str(error) else "refused"
    return "read" if result.dtype == np.uint8 and result.ndim == 3 else "nonsense"


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of damaged EXIF
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("seed", range(4))
def test_mutated_pictures_are_read_or_refused(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = saved(pillow(scenery(64, 48)), kind, exif=Pillow.Exif())
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), int(rng.integers(1, 12))):
            data[at] = int(rng.integers(0, 256))
        if rng.random() < 0.3:
            data = data[: int(rng.integers(1, len(data)))]
        outcomes.add(outcome(bytes(data)))
    assert outcomes <= {"refused", "read"}
    assert "refused" in outcomes


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "no.jpg", tmp_path / "no" / "no.jpg"):
        with pytest.raises(FileNotFoundError, match="no such file") as caught:
            read_image(path)
        assert str(tmp_path) not in str(caught.value)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    assert "folder" in refusal(tmp_path)
    assert "cannot be read" in refusal("a\x00b.jpg")
    assert "cannot be read" in refusal("x" * 5000)


@pytest.mark.skipif(sys.platform != "linux", reason="needs pipes and /proc")
def test_pipes_devices_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert "not a file" in refusal(pipe)
    assert "not a file" in refusal("/dev/zero")
    assert "cannot be read" in refusal("/proc/self/mem")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="an administrator may read everything",
)
def test_a_forbidden_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    path.chmod(0)
    assert "permission denied" in refusal(path)
