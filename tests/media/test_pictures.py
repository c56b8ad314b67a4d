"""Reading and writing pictures of every kind that cameras make."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.media import encode_jpeg, encode_png, image_paths, read_image
from maskdet.types import Image
from tests.media.files import difference, pillow, png_of, saved, scenery

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("kind", "options", "limit"),
    [
        ("PNG", {}, 0),
        ("JPEG", {"quality": 95}, 1.5),
        ("JPEG", {"quality": 95, "progressive": True}, 1.5),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 2),
    ],
)
def test_the_three_types_are_read_as_bgr(
    kind: str, options: dict[str, object], limit: float
) -> None:
    image = scenery()
    result = read_image(saved(pillow(image), kind, **options))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert difference(result, image) <= limit


@pytest.mark.parametrize("name", ["a.jpg", "wrong.png", "none", "ünï cödé 圖.jpeg"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(saved(pillow(scenery()), "JPEG", quality=95))
    assert difference(read_image(path), scenery()) < 1.5
    assert np.array_equal(read_image(str(path)), read_image(path.read_bytes()))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        # How a camera stores an upright picture: rows and columns of the EXIF text.
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, 1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
def test_all_eight_orientations_come_out_upright(
    kind: str, orientation: int, stored: object
) -> None:
    upright = scenery(96, 64)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    turned = pillow(stored(upright))  # type: ignore[operator]
    options = {"quality": 95} if kind != "PNG" else {}
    result = read_image(saved(turned, kind, exif=exif, **options))
    assert difference(result, upright) < 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_counts_as_upright(value: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = value
    data = saved(pillow(scenery()), "PNG", exif=exif)
    assert np.array_equal(read_image(data), scenery())


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of it
def test_damaged_metadata_does_not_cost_the_picture() -> None:
    good = saved(pillow(scenery()), "JPEG", quality=95)
    exif = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x00\x01garbage"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    assert difference(read_image(good[:2] + segment + good[2:]), scenery()) < 1.5


def test_damaged_metadata_prints_nothing(tmp_path: Path) -> None:
    good = saved(pillow(scenery()), "JPEG")
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path = tmp_path / "a.jpg"
    path.write_bytes(good[:2] + segment + good[2:])
    code = f"from maskdet.media import read_image; read_image({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT
    )
    assert done.stdout + done.stderr == b""


def test_grey_pictures_get_three_equal_channels() -> None:
    grey = scenery()[:, :, 1]
    for kind, mode in (("PNG", "L"), ("JPEG", "L"), ("PNG", "1")):
        result = read_image(saved(Pillow.fromarray(grey).convert(mode), kind))
        assert (result == result[:, :, :1]).all()
        assert result.min() < 40
        assert result.max() > 210


def test_transparent_parts_become_white() -> None:
    clear = np.zeros((4, 6, 4), np.uint8)
    clear[:, :3] = (0, 0, 200, 255)
    clear[:, 3:5] = (0, 0, 200, 0)
    clear[:, 5:] = (0, 0, 0, 128)
    for kind in ("PNG", "WEBP"):
        result = read_image(saved(Pillow.fromarray(clear), kind, lossless=True))
        assert result[0, 0].tolist() == [200, 0, 0]
        assert result[0, 3].tolist() == [255, 255, 255]
        assert result[0, 5].tolist() == pytest.approx([127, 127, 127], abs=1)


def test_grey_with_alpha_and_palettes_with_alpha_are_read() -> None:
    grey = Pillow.merge("LA", [Pillow.new("L", (3, 3), 80), Pillow.new("L", (3, 3), 0)])
    assert (read_image(saved(grey, "PNG")) == 255).all()
    palette = Pillow.new("P", (3, 3), 1)
    palette.putpalette([0, 0, 0, 250, 128, 7])
    assert read_image(saved(palette, "PNG"))[1, 1].tolist() == [7, 128, 250]
    assert (read_image(saved(palette, "PNG", transparency=1)) == 255).all()


@pytest.mark.parametrize(
    ("colour_type", "pixel", "bgr"),
    [
        (0, [0x8040], [0x80, 0x80, 0x80]),
        (2, [0x1080, 0x8040, 0xF000], [0xF0, 0x80, 0x10]),
        (4, [0x8040, 0xFFFF], [0x80, 0x80, 0x80]),
        (6, [0x1080, 0x8040, 0xF000, 0xFFFF], [0xF0, 0x80, 0x10]),
    ],
)
def test_16_bit_pictures_keep_their_brightness(
    colour_type: int, pixel: list[int], bgr: list[int]
) -> None:
    header = struct.pack(">IIBBBBB", 5, 4, 16, colour_type, 0, 0, 0)
    row = b"\x00" + struct.pack(f">{len(pixel)}H", *pixel) * 5
    result = read_image(png_of(header, row * 4))
    assert result.shape == (4, 5, 3)
    assert result[2, 2].tolist() == pytest.approx(bgr, abs=1)


def test_cmyk_is_not_turned_into_its_negative() -> None:
    """Adobe stores CMYK inverted; OpenCV's reader, written apart, must agree."""
    data = saved(pillow(scenery()).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    result = read_image(data)
    assert difference(result, scenery()) < 4
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert difference(result, by_opencv) < 4


def test_the_smallest_picture_is_a_picture() -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        assert read_image(saved(Pillow.new("RGB", (1, 1)), kind)).shape == (1, 1, 3)


def test_a_photo_with_a_second_picture_inside_is_read() -> None:
    """Phones put depth and HDR maps behind the photo (MPO): that is no film."""
    first, second = pillow(scenery()), pillow(scenery(80, 60))
    data = saved(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert difference(read_image(data), scenery()) < 1.5


def test_a_folder_lists_its_pictures_sorted(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.webp", "d.jpeg", "notes.txt", "._a.png", "x.gif"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "deep.png").write_bytes(b"")
    names = [path.name for path in image_paths(tmp_path)]
    assert names == ["a.png", "b.JPG", "c.webp", "d.jpeg"]


def test_a_folder_without_pictures_is_an_empty_list(tmp_path: Path) -> None:
    assert image_paths(str(tmp_path)) == []
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            image_paths(path)


def test_encoding_and_reading_give_the_picture_back() -> None:
    image = scenery()
    assert np.array_equal(read_image(encode_png(image)), image)
    assert difference(read_image(encode_jpeg(image)), image) < 2
    assert len(encode_jpeg(image, 30)) < len(encode_jpeg(image, 95))


def test_encoded_files_carry_no_metadata() -> None:
    for data in (encode_png(scenery()), encode_jpeg(scenery())):
        with Pillow.open(io.BytesIO(data)) as picture:
            assert not picture.getexif()


@pytest.mark.parametrize("quality", [0, 101])
def test_an_impossible_quality_is_refused(quality: int) -> None:
    with pytest.raises(ValueError, match=f"quality .* {quality}"):
        encode_jpeg(scenery(), quality)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)],
)
def test_what_is_no_image_is_not_encoded(image: Image) -> None:
    with pytest.raises(ValueError, match=r"image must be \(h, w, 3\) uint8"):
        encode_png(image)
