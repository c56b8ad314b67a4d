"""Reading and writing images in all supported formats, and finding them in folders."""

from __future__ import annotations

import errno
import io
import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.media import (
    IMAGE_SUFFIXES,
    DecodedImage,
    decode_image,
    encode_jpeg,
    encode_png,
    find_images,
    read_image,
    write_image,
)
from maskdet.types import Faces, Image, Scene
from tests.media.image_files import (
    encode_16_bit,
    encode_image,
    make_animation,
    make_corners_image,
    make_png,
    make_tiff,
    mean_difference,
    to_pillow,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("kind", "options", "limit"),
    [
        ("PNG", {}, 0),
        ("JPEG", {"quality": 95}, 1.5),
        ("JPEG", {"quality": 95, "progressive": True}, 1.5),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 2),
        ("AVIF", {"quality": 95}, 2),
        ("BMP", {}, 0),
        ("GIF", {}, 3),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("TIFF", {"compression": "jpeg", "quality": 95}, 1.5),
        ("TIFF", {"big_tiff": True}, 0),
        ("PPM", {}, 0),
    ],
)
def test_all_formats_are_read_as_bgr(
    kind: str, options: dict[str, object], limit: float
) -> None:
    image = make_corners_image()
    result = read_image(encode_image(to_pillow(image), kind, **options))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert mean_difference(result, image) <= limit


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "a.jfif", "a.jpe", "wrong.png", "none", "b.txt", "ünï cödé 圖.jpeg"],
)
def test_the_format_is_detected_from_the_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encode_image(to_pillow(make_corners_image()), "JPEG", quality=95))
    assert mean_difference(read_image(path), make_corners_image()) < 1.5
    assert np.array_equal(read_image(str(path)), read_image(path.read_bytes()))


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF", "PNG 16", "TIFF 16"]
)
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        # How a camera stores an upright image: rows and columns of the Exif standard.
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
    upright = make_corners_image(96, 64)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    turned = to_pillow(stored(upright))  # type: ignore[operator]
    options = {"quality": 95} if kind in {"JPEG", "WEBP", "AVIF"} else {}
    if kind == "TIFF 16":
        deep = np.asarray(turned).astype(np.uint16) * 257
        data = make_tiff(deep, t274=orientation)
    elif kind == "PNG 16":
        # Copy the EXIF chunk of the 8-bit file after the header of the 16-bit one.
        small = encode_image(turned, "PNG", exif=exif)
        at = small.index(b"eXIf") - 4
        chunk = small[at : at + 12 + int.from_bytes(small[at : at + 4])]
        deep = np.asarray(turned)[..., ::-1].astype(np.uint16) * 257
        plain = cv2.imencode(".png", deep)[1].tobytes()
        data = plain[:33] + chunk + plain[33:]
    else:
        data = encode_image(turned, kind, exif=exif, **options)
    assert mean_difference(read_image(data), upright) < 3


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_impossible_orientation_counts_as_upright(value: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = value
    data = encode_image(to_pillow(make_corners_image()), "PNG", exif=exif)
    assert np.array_equal(read_image(data), make_corners_image())


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow
def test_an_image_with_damaged_metadata_is_read() -> None:
    good = encode_image(to_pillow(make_corners_image()), "JPEG", quality=95)
    exif = b"Exif\x00\x00MM\x00*\xff\xff\xff\xff\x00\x01garbage"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    assert (
        mean_difference(read_image(good[:2] + segment + good[2:]), make_corners_image())
        < 1.5
    )


def test_damaged_metadata_prints_nothing(tmp_path: Path) -> None:
    good = encode_image(to_pillow(make_corners_image()), "JPEG")
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03"
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path = tmp_path / "a.jpg"
    path.write_bytes(good[:2] + segment + good[2:])
    code = f"from maskdet.media import read_image; read_image({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT
    )
    assert done.stdout + done.stderr == b""


def test_grey_images_get_three_equal_channels() -> None:
    grey = make_corners_image()[:, :, 1]
    for kind, mode in (("PNG", "L"), ("JPEG", "L"), ("PNG", "1")):
        result = read_image(encode_image(Pillow.fromarray(grey).convert(mode), kind))
        assert (result == result[:, :, :1]).all()
        assert result.min() < 40
        assert result.max() > 210


def test_transparent_parts_become_white() -> None:
    clear = np.zeros((4, 6, 4), np.uint8)
    clear[:, :3] = (0, 0, 200, 255)
    clear[:, 3:5] = (0, 0, 200, 0)
    clear[:, 5:] = (0, 0, 0, 128)
    for kind in ("PNG", "WEBP"):
        result = read_image(encode_image(Pillow.fromarray(clear), kind, lossless=True))
        assert result[0, 0].tolist() == [200, 0, 0]
        assert result[0, 3].tolist() == [255, 255, 255]
        assert result[0, 5].tolist() == pytest.approx([127, 127, 127], abs=1)


def test_grey_with_alpha_and_palettes_with_alpha_are_read() -> None:
    grey = Pillow.merge("LA", [Pillow.new("L", (3, 3), 80), Pillow.new("L", (3, 3), 0)])
    assert (read_image(encode_image(grey, "PNG")) == 255).all()
    palette = Pillow.new("P", (3, 3), 1)
    palette.putpalette([0, 0, 0, 250, 128, 7])
    assert read_image(encode_image(palette, "PNG"))[1, 1].tolist() == [7, 128, 250]
    assert (read_image(encode_image(palette, "PNG", transparency=1)) == 255).all()


@pytest.mark.parametrize(
    ("colour_type", "pixel", "bgr"),
    [
        (0, [0x8040], [0x80, 0x80, 0x80]),
        (2, [0x1080, 0x8040, 0xF000], [0xF0, 0x80, 0x10]),
        (4, [0x8040, 0xFFFF], [0x80, 0x80, 0x80]),
        (6, [0x1080, 0x8040, 0xF000, 0xFFFF], [0xF0, 0x80, 0x10]),
    ],
)
def test_16_bit_images_keep_their_brightness(
    colour_type: int, pixel: list[int], bgr: list[int]
) -> None:
    header = struct.pack(">IIBBBBB", 5, 4, 16, colour_type, 0, 0, 0)
    row = b"\x00" + struct.pack(f">{len(pixel)}H", *pixel) * 5
    result = read_image(make_png(header, row * 4))
    assert result.shape == (4, 5, 3)
    assert result[2, 2].tolist() == pytest.approx(bgr, abs=1)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", ["png", "tiff", "ppm"])
def test_images_above_8_bits_are_scaled_by_the_bits_they_use(
    form: str, bits: int
) -> None:
    """Infrared cameras give 10, 12 or 14 bits; scaled as 16 they would be black."""
    image = make_corners_image()
    grey = image[..., 1]
    result = read_image(
        encode_16_bit(grey, "pgm" if form == "ppm" else form, bits=bits)
    )
    assert mean_difference(result, np.repeat(grey[..., None], 3, axis=2)) < 1
    assert mean_difference(read_image(encode_16_bit(image, form, bits=bits)), image) < 1
    if form != "ppm":
        data = encode_16_bit(image, form, bits=bits, alpha=True)
        assert mean_difference(read_image(data), image) < 1


def test_eleven_bits_are_scaled_as_twelve_and_black_stays_black() -> None:
    grey = np.full((4, 4), 2047, np.uint16)
    assert (read_image(make_tiff(grey)) == 127).all()
    assert not read_image(make_tiff(grey * 0)).any()


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_is_scaled_from_1_or_from_its_maximum(white: float) -> None:
    image = make_corners_image()
    image[0, 0] = 255
    numbers = (image / 255 * white).astype(np.float32)
    assert mean_difference(read_image(make_tiff(numbers[..., ::-1])), image) < 1
    grey = numbers[..., 1]
    expected = np.repeat(image[..., 1:2], 3, axis=2)
    assert mean_difference(read_image(make_tiff(grey)), expected) < 1
    grey[3, 3] = np.nan
    assert read_image(make_tiff(grey))[3, 3].tolist() == [0, 0, 0]
    cut = make_tiff(numbers)
    with pytest.raises(ValueError, match="damaged"):
        read_image(cut[:8] + cut[9000:])


def test_a_dark_float_image_stays_dark() -> None:
    dim = np.full((4, 4), 0.2, np.float32)
    assert (read_image(make_tiff(dim)) == 51).all()


def test_white_is_zero_images_are_inverted_at_any_depth() -> None:
    grey = make_corners_image()[..., 1]
    expected = np.repeat(255 - grey[..., None], 3, axis=2)
    assert mean_difference(read_image(make_tiff(grey, t262=0)), expected) < 1
    deep = grey.astype(np.uint16) * 257
    assert mean_difference(read_image(make_tiff(deep, t262=0)), expected) < 1


def test_16_bit_colours_with_alpha_are_blended_over_white() -> None:
    pixel = np.array([0x1000, 0x0800, 0x0000, 0x0800], np.uint16)
    image = np.tile(pixel, (3, 3, 1))
    image[0, 0, 3] = 0x0FFF
    result = read_image(make_tiff(image))
    # 13 bits count as 14; half of the alpha is white.
    assert result[0, 0].tolist() == pytest.approx([0, 32, 64], abs=1)
    assert result[1, 1].tolist() == pytest.approx([127, 143, 159], abs=2)


def test_other_colour_modes_of_tiff_are_read() -> None:
    image = make_corners_image()
    for mode, limit in (("CMYK", 1), ("LAB", 3), ("P", 30), ("YCbCr", 3), ("L", 130)):
        data = encode_image(to_pillow(image).convert(mode), "TIFF")
        assert mean_difference(read_image(data), image) < limit
    one_bit = encode_image(to_pillow(image).convert("1"), "TIFF", compression="group4")
    assert set(np.unique(read_image(one_bit))) == {0, 255}


def test_reading_a_16_bit_image_prints_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    # libtiff warns without the tag for the type of the fourth channel.
    pixels = np.zeros((4, 4, 4), np.uint16)
    path.write_bytes(cv2.imencode(".tiff", pixels)[1].tobytes())
    code = f"from maskdet.media import read_image; read_image({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT
    )
    assert done.stdout + done.stderr == b""


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_very_large_jpeg_is_decoded_at_half_its_size(orientation: int) -> None:
    """The limit is 51 megapixels; phones make photos of 108 and 200."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    large = cv2.resize(
        make_corners_image(), (12001, 9000), interpolation=cv2.INTER_NEAREST
    )
    data = encode_image(to_pillow(large), "JPEG", exif=exif)
    image = decode_image(data)
    turned = orientation == 6
    assert (image.width, image.height) == ((9000, 12001) if turned else (12001, 9000))
    shape = (6001, 4500, 3) if turned else (4500, 6001, 3)
    assert image.pixels.shape == shape
    assert image.scale_factors == pytest.approx((2, 2), abs=0.001)
    assert image.format == "JPEG"
    small = cv2.resize(image.pixels, shape[1::-1], interpolation=cv2.INTER_AREA)
    corner = small[100, -100] if turned else small[100, 100]
    assert corner.tolist() == pytest.approx([250, 20, 20], abs=8)
    with pytest.raises(ValueError, match="12001 x 9000 pixels; at most 51 megapixels"):
        read_image(data)


def test_a_photo_of_50_megapixels_is_read_in_full() -> None:
    data = encode_image(Pillow.new("L", (8160, 6120), 80), "JPEG")
    assert read_image(data).shape == (6120, 8160, 3)
    assert decode_image(data).scale_factors == (1, 1)


def test_arrays_and_files_give_the_same_image() -> None:
    image = make_corners_image()
    assert decode_image(image).pixels is image
    decoded = decode_image(encode_png(image))
    assert np.array_equal(decoded.pixels, image)
    assert (decoded.width, decoded.height, decoded.format) == (160, 120, "PNG")
    with pytest.raises(TypeError, match="NumPy array"):
        decode_image(None)
    scene = Scene(Faces([[10, 20, 40, 60]], [0.9]), [[1, 0, 0]])
    half = DecodedImage(image, 320, 240)
    assert half.scale_scene(scene).boxes.tolist() == [[5, 10, 20, 30]]
    assert decoded.scale_scene(scene) is scene


def test_cmyk_is_not_inverted() -> None:
    """Adobe stores CMYK inverted; the result must agree with OpenCV."""
    data = encode_image(
        to_pillow(make_corners_image()).convert("CMYK"), "JPEG", quality=95
    )
    assert b"Adobe" in data
    result = read_image(data)
    assert mean_difference(result, make_corners_image()) < 4
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert mean_difference(result, by_opencv) < 4


def test_an_image_of_one_pixel_is_read() -> None:
    for kind in ("PNG", "JPEG", "WEBP"):
        assert read_image(encode_image(Pillow.new("RGB", (1, 1)), kind)).shape == (
            1,
            1,
            3,
        )


def test_a_photo_with_a_second_image_is_read() -> None:
    """Phones append depth and HDR maps to a photo (MPO); it is not an animation."""
    first, second = (
        to_pillow(make_corners_image()),
        to_pillow(make_corners_image(80, 60)),
    )
    data = encode_image(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert mean_difference(read_image(data), make_corners_image()) < 1.5


def list_names(folder: Path, **options: Path) -> tuple[list[str], list[str]]:
    """Return the relative paths of images and of other files in a folder."""
    result = find_images(folder, **options)
    assert not result.unreadable_folders
    return tuple(  # type: ignore[return-value]
        [str(path.relative_to(folder)) for path in paths]
        for paths in (result.images, result.skipped)
    )


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_files_with_an_image_suffix_are_listed(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix.upper()}").write_bytes(b"hello")
    assert list_names(tmp_path) == ([f"a{suffix.upper()}"], [])


def test_files_in_a_folder_are_classified_by_content(tmp_path: Path) -> None:
    small = to_pillow(make_corners_image(16, 12))
    images = {
        "edge.jfif": encode_image(small, "JPEG"),
        "no ending": encode_image(small, "PNG"),
        "wrong.txt": encode_image(small, "WEBP"),
        "a.xyz": encode_image(small, "AVIF"),
        "b.dat": encode_image(small, "TIFF"),
        "c": encode_image(small, "BMP"),
        "d": encode_image(small, "GIF"),
        "e": encode_image(small, "PPM"),
        # These are listed although they cannot be read.
        "f": make_animation(),
        "photo": b"\0\0\0\x18ftypheic" + bytes(40),
        "g.psd": b"8BPS" + bytes(40),
        "h.jpg": b"this is a text",
        "i.png": b"",
    }
    others = {
        "notes.txt": b"BM, that is a car",
        "labels.json": b"{}",
        "empty": b"",
        "clip.mp4": b"\0\0\0\x18ftypisom" + bytes(40),
        "paper.pdf": b"%PDF-1.7",
    }
    for name, content in {**images, **others}.items():
        (tmp_path / name).write_bytes(content)
    assert list_names(tmp_path) == (sorted(images), sorted(others))


def test_subfolders_are_searched_except_hidden_ones(tmp_path: Path) -> None:
    for name in (
        *("b.jpg", "mask/b.jpg", "mask/a.jpg", "mask/deep/er/c.jpg", "a/z.jpg"),
        *(".hidden.jpg", ".trash/d.jpg", "__MACOSX/._b.jpg", "folder.png/e.jpg"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert list_names(tmp_path)[0] == [
        *("b.jpg", "a/z.jpg", "folder.png/e.jpg"),
        *("mask/a.jpg", "mask/b.jpg", "mask/deep/er/c.jpg"),
    ]
    assert list_names(tmp_path, exclude=tmp_path / "mask")[0] == [
        *("b.jpg", "a/z.jpg", "folder.png/e.jpg")
    ]
    assert "b.jpg" in list_names(tmp_path, exclude=tmp_path)[0]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_once_and_not_to_parent_folders(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside / "real", outside / "far"):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"")
    (outside / "b.jpg").write_bytes(b"")
    (inside / "again").symlink_to(inside / "real")
    (inside / "real" / "loop").symlink_to(inside / "real")
    (inside / "up").symlink_to(tmp_path)
    (inside / "self").symlink_to(inside)
    (inside / "far").symlink_to(outside / "far")
    (outside / "far" / "back").symlink_to(inside)
    (inside / "file.jpg").symlink_to(outside / "b.jpg")
    (inside / "gone").symlink_to(tmp_path / "nothing")
    (inside / "gone.jpg").symlink_to(tmp_path / "nothing")
    images, others = list_names(inside)
    assert images == ["file.jpg", "gone.jpg", "far/a.jpg", "real/a.jpg"]
    assert others == ["gone"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_a_folder_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert list_names(tmp_path) == ([], ["pipe"])


def test_an_unreadable_folder_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jpg", "closed/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    real = os.listdir

    def listdir(folder: Path) -> list[str]:
        if folder == tmp_path / "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    result = find_images(tmp_path)
    assert result.images == [tmp_path / "a.jpg"]
    assert list(result.unreadable_folders) == [tmp_path / "closed"]


def test_a_folder_without_images_is_empty(tmp_path: Path) -> None:
    assert list_names(tmp_path) == ([], [])
    for path in (tmp_path / "none", Path(__file__)):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            find_images(path)


def test_an_encoded_image_can_be_read_back() -> None:
    image = make_corners_image()
    assert np.array_equal(read_image(encode_png(image)), image)
    assert mean_difference(read_image(encode_jpeg(image)), image) < 2
    assert len(encode_jpeg(image, 30)) < len(encode_jpeg(image, 95))


def test_encoded_files_carry_no_metadata() -> None:
    for data in (encode_png(make_corners_image()), encode_jpeg(make_corners_image())):
        with Pillow.open(io.BytesIO(data)) as image:
            assert not image.getexif()


@pytest.mark.parametrize("quality", [0, 101])
def test_an_invalid_quality_is_rejected(quality: int) -> None:
    with pytest.raises(ValueError, match=f"quality .* {quality}"):
        encode_jpeg(make_corners_image(), quality)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)],
)
def test_arrays_of_another_shape_are_not_encoded(image: Image) -> None:
    with pytest.raises(ValueError, match=r"image must be \(h, w, 3\) uint8"):
        encode_png(image)


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16_384), (".jpg", 65_501)])
def test_an_image_too_large_for_a_format_is_rejected(
    tmp_path: Path, suffix: str, side: int
) -> None:
    path = tmp_path / f"a{suffix}"
    for shape in ((side, 1, 3), (1, side, 3)):
        with pytest.raises(ValueError, match=rf"at most {side - 1}; write a \.png"):
            write_image(path, np.zeros(shape, np.uint8))
    assert not path.exists()
    write_image(path, np.zeros((side - 1, 1, 3), np.uint8))
    assert read_image(path).shape == (side - 1, 1, 3)


def test_reading_a_file_reserves_no_more_memory_than_it_has(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"not an image")
    tracemalloc.start()
    with pytest.raises(ValueError, match="not an image"):
        read_image(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 10_000_000
