"""Malicious files and files that are not images are rejected with one line."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.media import ImageReadError, decode_image, read_image
from tests.media.image_files import (
    encode_image,
    make_animation,
    make_corners_image,
    make_jpeg_with_size,
    make_png,
    make_tiff,
    mean_difference,
    to_pillow,
)

ROOT = Path(__file__).resolve().parents[2]


def read_error(source: str | Path | bytes, **limits: int) -> str:
    with pytest.raises(ImageReadError) as error_info:
        read_image(source, **limits)
    message = str(error_info.value)
    assert "\n" not in message
    assert 10 < len(message) < 160
    return message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello, I am a text\n" * 40, "not an image"),
        (b"\x00" * 5000, "not an image"),
        (b"GIF89a" + b"\x00" * 50, "damaged"),
        (b"BM" + b"\x00" * 50, "not an image"),
        (b"BM" + b"\x00" * 12 + b"\x28" + b"\x00" * 50, "damaged"),
        (b"BMW, a list of cars\n" * 9, "not an image"),
        (b"P5 is a road", "damaged"),
        (b"%PDF-1.7", "a PDF; accepted are JPEG"),
        (b"II*\x00" + b"\x00" * 50, "damaged"),
        (b"\x00\x00\x00\x18ftypheic", "a HEIC photo; save it as JPEG"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00heic", "a HEIC photo"),
        (b"\x00\x00\x00\x18ftypavif", "damaged"),
        (b"\x00\x00\x00\x18ftypisom", "a video"),
        (b"\x1aE\xdf\xa3" + b"\x00" * 50, "a video"),
        (b"8BPS\x00\x01", "a Photoshop file; save it as JPEG"),
        (b"\x00\x00\x00\x0cJXL \r\n", "JPEG XL"),
        (b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000"),
        (b"FUJIFILMCCD-RAW 0201", "raw file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "not an image"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"RIFF\x00\x00\x00\x00WEBP", "damaged"),
    ],
)
def test_unsupported_content_is_rejected_by_name(content: bytes, message: str) -> None:
    assert message in read_error(content)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_animations_are_rejected(kind: str) -> None:
    assert "this is an animation" in read_error(make_animation(kind))


def test_several_pages_and_raw_files_are_rejected() -> None:
    assert "several pages" in read_error(make_animation("TIFF"))
    rgb = make_corners_image(20, 10)
    # A preview before the raw image, whose format is not supported.
    assert "raw file; save it as JPEG" in read_error(make_tiff(rgb, t254=1))
    assert "raw file; save it as JPEG" in read_error(
        make_tiff(rgb, t50706=[1, 4, 0, 0])
    )
    assert read_image(make_tiff(rgb, t254=2)).shape == (10, 20, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size_wh", [(20000, 20000), (8500, 6001), (12000, 9000)])
def test_huge_images_are_rejected_by_their_header(size_wh: tuple[int, int]) -> None:
    """The file is only a header, so decoding it would report damage."""
    header = struct.pack(">IIBBBBB", *size_wh, 8, 2, 0, 0, 0)
    line = read_error(make_png(header, b""))
    assert "51 megapixels" in line
    assert "make it smaller" in line


def test_a_huge_jpeg_and_webp_are_rejected_by_their_header() -> None:
    assert "20000 x 20000 pixels; at most 51" in read_error(
        make_jpeg_with_size(20000, 20000)
    )
    with pytest.raises(ImageReadError, match="20000 x 20000 pixels; at most 204"):
        decode_image(make_jpeg_with_size(20000, 20000))
    data = bytearray(
        encode_image(to_pillow(make_corners_image()), "WEBP", lossless=True)
    )
    at = data.index(b"VP8L") + 9
    data[at : at + 4] = struct.pack("<I", 16382 | 16382 << 14)
    assert "51 megapixels" in read_error(bytes(data))


def test_the_limits_are_parameters() -> None:
    data = encode_image(to_pillow(make_corners_image(100, 100)), "PNG")
    assert read_image(data, max_pixels=10_000, max_bytes=len(data)).shape[0] == 100
    assert "0.009999 megapixels" in read_error(data, max_pixels=9_999)
    assert "larger than" in read_error(data, max_bytes=len(data) - 1)


def test_a_large_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(300_000_000)
    assert "larger than 100 MB" in read_error(path)


def test_a_jpeg_with_too_many_scans_is_rejected() -> None:
    data = encode_image(to_pillow(make_corners_image()), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert read_image(data).shape == (120, 160, 3)
    slow = data[:last] + data[last:-2] * 200 + data[-2:]
    assert "more than 100 scans" in read_error(slow)


def test_data_after_a_photo_is_not_counted_as_scans() -> None:
    """The video after a motion photo can contain the marker of a scan."""
    photo = encode_image(to_pillow(make_corners_image()), "JPEG", quality=95)
    video = b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda\x00\x0c" * 500
    assert mean_difference(read_image(photo + video), make_corners_image()) < 1.5


def test_a_progressive_jpeg_with_too_many_coefficients_is_rejected() -> None:
    for size_wh in ((12000, 9000), (16000, 12000)):
        with pytest.raises(ImageReadError, match=r"progressive JPEG of .* baseline"):
            decode_image(make_jpeg_with_size(*size_wh, progressive=True))


def make_file_with_size(kind: str, width: int, height: int) -> bytes:
    """Return a small file with a huge size in its header."""
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return make_png(header, b"\x00" * 1000)
    if kind == "BMP":
        sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + sizes + b"\x00" * 1000
    if kind == "PNM":
        return b"P5 %d %d 255\n" % (width, height) + b"\x00" * 1000
    if kind == "GIF":
        screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
        place = struct.pack("<BHHHHB", 0x2C, 0, 0, width, height, 0)
        return b"GIF89a" + screen + place + b"\x02\x02\x44\x01\x00;"
    dtype = np.float32 if kind == "float TIFF" else np.uint8
    return make_tiff(np.zeros((2, 2, 3), dtype), t256=width, t257=height)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("kind", ["PNG", "BMP", "PNM", "TIFF", "float TIFF"])
@pytest.mark.parametrize("size_wh", [(1, 40_000_000), (40_000_000, 1), (700, 65_501)])
def test_a_long_side_is_rejected_before_decoding(
    kind: str, size_wh: tuple[int, int]
) -> None:
    """A file of 58 kB took 1.05 GB: decoders allocate memory for each row."""
    data = make_file_with_size(kind, *size_wh)
    line, megabytes = peak_megabytes(data)
    assert f"{size_wh[0]} x {size_wh[1]} pixels; a side may have at most 65500" in line
    assert "crop it" in line
    assert megabytes < 60


def test_a_gif_with_the_longest_side_is_rejected() -> None:
    assert "65535 x 700 pixels; a side may" in read_error(
        make_file_with_size("GIF", 65535, 700)
    )


def peak_megabytes(data: bytes) -> tuple[str, float]:
    """Return the result of reading, and its peak memory in a process of its own."""
    code = """if True:
        import io, sys
        from maskdet.media import decode_image
        from tests.media.image_files import make_png  # import before measuring
        import PIL.Image, PIL.JpegImagePlugin, PIL.TiffImagePlugin
        def peak():
            lines = open("/proc/self/status").read().splitlines()
            return int(next(a for a in lines if a.startswith("VmHWM")).split()[1]) / 1e3
        data = sys.stdin.buffer.read()
        before = peak()
        try:
            image = decode_image(data)
            print(image.width, image.height, *image.pixels.shape)
        except ValueError as error:
            print(error)
        print(peak() - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    line, megabytes = done.stdout.decode().splitlines()
    return line, float(megabytes)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_largest_photo_of_a_phone_takes_bounded_memory() -> None:
    """200 megapixels take 600 MB decoded, and 1.5 GB with intermediate copies."""
    data = encode_image(Pillow.new("RGB", (16320, 12240), "grey"), "JPEG")
    line, megabytes = peak_megabytes(data)
    assert line == "16320 12240 6120 8160 3"
    assert megabytes < 480


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "GIF"]
)
def test_a_truncated_image_is_rejected_and_leaks_no_data(kind: str) -> None:
    """OpenCV 4.10 filled the missing part with the previously decoded image."""
    red = np.zeros((120, 160, 3), np.uint8)
    red[..., 2] = 255
    noise = np.random.default_rng(3).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    whole = encode_image(to_pillow(noise), kind)
    before = encode_image(to_pillow(red), kind)
    for fraction in (0.05, 0.2, 0.5, 0.8, 0.95, 0.99):
        read_image(before)
        read_error(whole[: int(fraction * len(whole))])


def outcome(data: bytes) -> str:
    try:
        result = read_image(data, max_pixels=1_000_000)
    except ImageReadError as error:
        return "two lines" if "\n" in str(error) else "rejected"
    return "read" if result.dtype == np.uint8 and result.ndim == 3 else "nonsense"


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow about damaged EXIF
@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "GIF"]
)
@pytest.mark.parametrize("seed", range(4))
def test_mutated_images_are_read_or_rejected(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    exif = {"exif": Pillow.Exif()} if kind in {"JPEG", "PNG", "WEBP"} else {}
    whole = encode_image(to_pillow(make_corners_image(64, 48)), kind, **exif)
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), int(rng.integers(1, 12))):
            data[at] = int(rng.integers(0, 256))
        if rng.random() < 0.3:
            data = data[: int(rng.integers(1, len(data)))]
        outcomes.add(outcome(bytes(data)))
    assert outcomes <= {"rejected", "read"}
    assert "rejected" in outcomes


def test_a_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "no.jpg", tmp_path / "no" / "no.jpg"):
        with pytest.raises(FileNotFoundError, match="no such file") as error_info:
            read_image(path)
        assert str(tmp_path) not in str(error_info.value)


def test_folders_and_invalid_names_are_rejected(tmp_path: Path) -> None:
    assert "folder" in read_error(tmp_path)
    assert "cannot be read" in read_error("a\x00b.jpg")
    assert "cannot be read" in read_error("x" * 5000)


@pytest.mark.skipif(sys.platform != "linux", reason="needs pipes and /proc")
def test_a_url_is_not_downloaded_and_has_its_own_message() -> None:
    for url in ("http://host/a.jpg", "rtsp://u:p@host/live", Path("https://h/a")):
        line = read_error(url)
        assert "this is a URL, which is not downloaded" in line
        assert "maskdet video" in line
        assert "u:p" not in line
    with pytest.raises(FileNotFoundError):
        read_image("c:/a.jpg")


def test_pipes_devices_and_unreadable_files_are_rejected(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert "not a file" in read_error(pipe)
    assert "not a file" in read_error("/dev/zero")
    assert "cannot be read" in read_error("/proc/self/mem")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="root can read everything",
)
def test_a_file_without_permission_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    path.chmod(0)
    assert "permission denied" in read_error(path)
