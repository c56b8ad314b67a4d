"""Listed and actual image sizes: rotated, swapped, resized, missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.datasets import Issues, read_dataset
from maskdet.media import read_image
from tests.datasets.test_voc import xml
from tests.helpers.datasets import write_image, write_text

UPRIGHT_WH = (90, 60)
FACE = (60, 10, 84, 40)
"""A bright face that fits into the upright image, but not into the stored one."""

LEFT = (4, 10, 28, 40)
"""A face that fits into both the upright and the stored image."""

# How to store an upright image for each EXIF orientation (Exif 2.32, tag 274).
STORED = {
    1: None,
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_90,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_270,
}


def turned(
    path: Path, orientation: int, face: tuple[int, int, int, int] = FACE
) -> tuple[list[int], tuple[int, int]]:
    """Write an image of one bright face; return its box and size as stored."""
    pixels = np.zeros((UPRIGHT_WH[1], UPRIGHT_WH[0]), np.uint8)
    pixels[face[1] : face[3], face[0] : face[2]] = 255
    image = Pillow.fromarray(pixels)
    turn = STORED[orientation]
    stored = image if turn is None else image.transpose(turn)
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    stored.convert("RGB").save(path, exif=exif, quality=95)
    box = stored.getbbox()
    assert box is not None
    return list(box), stored.size


def coco(path: Path, images: list[tuple[str, tuple, list[int]]]) -> Path:
    """Write a COCO file; `images` are (name, listed size, corners)."""
    rows, faces = [], []
    for number, (name, size, (x1, y1, x2, y2)) in enumerate(images):
        listed = dict(zip(("width", "height"), size, strict=True))
        rows.append({"id": number, "file_name": name, **listed})
        bbox = [x1, y1, x2 - x1, y2 - y1]
        faces.append({"image_id": number, "category_id": 1, "bbox": bbox})
    classes = [{"id": 1, "name": "mask"}]
    table = {"images": rows, "annotations": faces, "categories": classes}
    return write_text(path, json.dumps(table))


def brightness(path: Path, box: np.ndarray) -> float:
    x1, y1, x2, y2 = box.astype(int)
    return float(read_image(path)[y1:y2, x1:x2].mean())


@pytest.mark.parametrize("orientation", STORED)
def test_boxes_of_the_stored_image_are_rotated(
    tmp_path: Path, orientation: int
) -> None:
    # The first image is rotated by 90 degrees and decides the frame of the boxes.
    images = []
    for name, turn in (("a.jpg", 6), ("b.jpg", orientation)):
        box, size_wh = turned(tmp_path / name, turn, LEFT)
        images.append((name, size_wh, box))
    issues = Issues()
    for one in read_dataset(coco(tmp_path / "set.json", images), issues=issues):
        assert one.boxes[0].tolist() == pytest.approx(LEFT, abs=1)
        assert brightness(one.path, one.boxes[0]) > 240
    assert "before its EXIF rotation" in issues.notes()[0]


@pytest.mark.parametrize("size", ["stored", "upright", "none"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_of_the_upright_image_are_not_changed(
    tmp_path: Path, orientation: int, size: str
) -> None:
    _, stored_wh = turned(tmp_path / "a.jpg", orientation)
    listed = {"stored": stored_wh, "upright": UPRIGHT_WH, "none": (None, None)}[size]
    issues = Issues()
    path = coco(tmp_path / "set.json", [("a.jpg", listed, list(FACE))])
    (only,) = read_dataset(path, issues=issues)
    assert only.boxes[0].tolist() == list(FACE)
    assert brightness(only.path, only.boxes[0]) > 240
    assert len(issues.notes()) == (size != "upright")


def test_undecided_frames_are_taken_as_upright_with_a_note(
    tmp_path: Path,
) -> None:
    _, stored_wh = turned(tmp_path / "a.jpg", 6)
    issues = Issues()
    path = coco(tmp_path / "set.json", [("a.jpg", stored_wh, [10, 10, 30, 30])])
    (only,) = read_dataset(path, issues=issues)
    assert only.boxes.tolist() == [[10, 10, 30, 30]]
    (note,) = issues.notes()
    assert note.startswith("1 image (a.jpg): rotated by EXIF; boxes are assumed")


def test_sideways_faces_refer_to_the_stored_image(
    tmp_path: Path,
) -> None:
    _, stored_wh = turned(tmp_path / "a.jpg", 6)
    issues = Issues()
    path = coco(tmp_path / "set.json", [("a.jpg", stored_wh, [20, 20, 44, 40])])
    (only,) = read_dataset(path, issues=issues)
    assert only.boxes.tolist() == [[50, 20, 70, 44]]
    assert "before its EXIF rotation" in issues.notes()[0]


def test_boxes_of_an_upside_down_image_are_not_changed(tmp_path) -> None:
    turned(tmp_path / "a.jpg", 3)
    path = coco(tmp_path / "set.json", [("a.jpg", UPRIGHT_WH, [20, 20, 44, 40])])
    assert read_dataset(path)[0].boxes.tolist() == [[20, 20, 44, 40]]


def test_normalized_boxes_refer_to_the_upright_image_with_a_note(
    tmp_path: Path,
) -> None:
    turned(tmp_path / "images" / "a.jpg", 8)
    write_text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    write_text(tmp_path / "classes.txt", "mask\n")
    issues = Issues()
    (only,) = read_dataset(tmp_path, issues=issues)
    assert only.boxes.tolist() == [[0, 0, *UPRIGHT_WH]]
    assert "boxes are assumed to refer to the upright image" in issues.notes()[0]


def test_swapped_width_and_height_are_noted(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", width=90, height=60)
    issues = Issues()
    path = coco(tmp_path / "set.json", [("a.jpg", (60, 90), list(FACE))])
    assert read_dataset(path, issues=issues)[0].boxes.tolist() == [list(FACE)]
    assert "the labels swap width and height" in issues.notes()[0]


def resized_coco(folder: Path) -> None:
    images = [(f"{n}.jpg", (180, 120), [1, 1, 20, 20]) for n in range(2)]
    coco(folder / "set.json", images)


def resized_voc(folder: Path) -> None:
    size = "<size><width>180</width><height>120</height></size>"
    for n in range(2):
        write_text(folder / f"{n}.xml", xml([("mask", [1, 1, 20, 20])], size))


@pytest.mark.parametrize("labels", [resized_coco, resized_voc])
def test_images_resized_after_labelling_stop_and_are_counted(tmp_path, labels) -> None:
    for n in range(2):
        write_image(tmp_path / f"{n}.jpg", n, width=90, height=60)
    labels(tmp_path)
    line = r"2 images \(0\.jpg: 90 x 60, annotated as 180 x 120, .*\): size differs"
    with pytest.raises(ValueError, match=line):
        read_dataset(tmp_path)
    issues = Issues()
    assert len(read_dataset(tmp_path, issues=issues, strict=False)) == 2
    assert len(issues.errors()) == 1


@pytest.mark.parametrize("listed", [(None, None), (0, 0), ("", ""), (90, None)])
def test_a_missing_size_is_read_from_the_image(tmp_path, listed) -> None:
    write_image(tmp_path / "a.jpg", width=90, height=60)
    path = coco(tmp_path / "set.json", [("a.jpg", listed, [0, 0, 900, 900])])
    assert read_dataset(path)[0].boxes.tolist() == [[0, 0, 90, 60]]


@pytest.mark.parametrize("listed", [("x", "y"), (-5, 9), (10**400, 9), ([], {})])
def test_an_invalid_size_is_reported_in_one_line(tmp_path, listed) -> None:
    write_image(tmp_path / "a.jpg", width=90, height=60)
    path = coco(tmp_path / "set.json", [("a.jpg", listed, [0, 0, 9, 9])])
    with pytest.raises(ValueError, match=r"a\.jpg\): width and height are not"):
        read_dataset(path)
