"""Pascal VOC: corners that count from 1, images in several places, safe XML."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskdet.datasets import Example, read_dataset
from maskdet.types import Label
from tests.helpers.datasets import write_image, write_text

SIZE = "<size><width>90</width><height>80</height><depth>3</depth></size>"


def xml(faces: list[tuple[str, list[float]]], size: str = SIZE, file: str = "") -> str:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in faces
    )
    named = f"<filename>{file}</filename>" if file else ""
    return f"<annotation>{named}{size}{objects}</annotation>"


def read_one(folder: Path, text: str) -> Example:
    write_image(folder / "a.jpg")
    (only,) = read_dataset(write_text(folder / "a.xml", text))
    return only


def test_corners_count_pixels_from_one_and_belong_to_the_box(tmp_path):
    faces = [("with_mask", [1, 1, 90, 80]), ("without_mask", [11, 21, 30, 60])]
    found = read_one(tmp_path, xml(faces))
    assert found.boxes.tolist() == [[0, 0, 90, 80], [10, 20, 30, 60]]
    assert found.labels == (Label.MASK, Label.NO_MASK)
    assert found.path == tmp_path / "a.jpg"
    assert found.source == tmp_path.name


def test_boxes_are_clipped_and_may_be_one_pixel(tmp_path):
    faces = [("mask", [0, 70, 200, 99]), ("mask", [5, 5, 5, 5])]
    found = read_one(tmp_path, xml(faces))
    assert found.boxes.tolist() == [[0, 69, 90, 80], [4, 4, 5, 5]]


def test_an_image_without_faces_is_a_scene(tmp_path):
    found = read_one(tmp_path, xml([]))
    assert found.boxes.shape == (0, 4)
    assert not found.is_crop


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size/>"]
)
def test_a_missing_size_is_read_from_the_image(tmp_path, size):
    found = read_one(tmp_path, xml([("mask", [1, 1, 999, 999])], size))
    assert found.boxes.tolist() == [[0, 0, 90, 80]]


def test_the_size_of_a_broken_image_does_not_stop_the_others(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"broken")
    (only,) = read_dataset(
        write_text(tmp_path / "a.xml", xml([("mask", [1, 1, 9, 9])], ""))
    )
    assert only.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("images/a.png", ""),
        ("JPEGImages/other.png", "other.png"),
        ("Annotations/other.png", r"C:\photos\other.png"),
    ],
)
def test_images_are_found_in_the_folders_of_common_tools(tmp_path, place, file):
    write_image(tmp_path / place)
    write_text(tmp_path / "Annotations" / "a.xml", xml([], file=file))
    (only,) = read_dataset(tmp_path)
    assert only.path == tmp_path / place


def test_an_image_of_any_readable_format_is_found_by_the_name_of_its_labels(tmp_path):
    write_image(tmp_path / "a.tiff")
    text = xml([("mask", [1, 1, 20, 20])])
    (only,) = read_dataset(write_text(tmp_path / "a.xml", text))
    assert only.path == tmp_path / "a.tiff"


def test_splits_come_from_folders_and_from_lists(tmp_path):
    for name in ("train/a", "valid/b"):
        write_image(tmp_path / "folders" / f"{name}.jpg")
        write_text(tmp_path / "folders" / f"{name}.xml", xml([]))
    assert [one.split for one in read_dataset(tmp_path / "folders")] == ["train", "val"]
    lists = tmp_path / "lists"
    for name in "abc":
        write_image(lists / "JPEGImages" / f"{name}.jpg")
        write_text(lists / "Annotations" / f"{name}.xml", xml([]))
    write_text(lists / "ImageSets" / "Main" / "val.txt", "a\n")
    write_text(lists / "ImageSets" / "Main" / "mask_train.txt", "b 1\n")
    write_text(lists / "ImageSets" / "Main" / "test.txt", "b -1\n")
    assert [one.split for one in read_dataset(lists)] == ["val", "test", ""]


BOMB = """<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]>
<annotation><filename>&y;</filename></annotation>"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/hostname"><annotation/>', "document type"),
        ("<annotation>", "not valid XML"),
        ("", "not valid XML"),
        ("<html/>", "expected <annotation>"),
        (xml([("scarf", [1, 1, 9, 9])]), r"\(scarf\): unknown class"),
        (xml([("mask", [95, 1, 99, 9])]), "outside the image"),
        (xml([("mask", [30, 1, 20, 9])]), "empty"),
        (xml([("mask", [1, 1, 9, float("nan")])]), "empty"),
        ("<annotation><object><name>mask</name></object></annotation>", "xmin"),
    ],
)
def test_broken_files_are_rejected_by_name(tmp_path, text, says):
    with pytest.raises(ValueError, match=says) as refused:
        read_one(tmp_path, text)
    assert "a.xml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.xml"):
        read_dataset(tmp_path / "nowhere.xml")
    with pytest.raises(ValueError, match="no image found; supported are"):
        read_dataset(tmp_path)
    file = write_text(tmp_path / "a.xml", xml([], file="lost.jpg"))
    with pytest.raises(FileNotFoundError, match=r"lost\.jpg"):
        read_dataset(file)
