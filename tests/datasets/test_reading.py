"""Detection of data set formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskdet.datasets import read_dataset
from tests.helpers.datasets import write_image, write_text


def index(folder: Path) -> Path:
    write_image(folder / "a.jpg")
    return write_text(folder / "index.csv", "path,label\na.jpg,mask\n")


def coco(folder: Path, name: str = "town-train.json") -> Path:
    write_image(folder / "images" / "a.jpg")
    table = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 90, "height": 80}],
        "annotations": [{"image_id": 1, "bbox": [0, 0, 90, 80], "category_id": 1}],
        "categories": [{"id": 1, "name": "mask"}],
    }
    return write_text(folder / name, json.dumps(table))


def voc(folder: Path) -> Path:
    write_image(folder / "images" / "a.jpg")
    face = (
        "<object><name>mask</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>90</xmax><ymax>80</ymax></bndbox></object>"
    )
    text = f"<annotation>{face}</annotation>"
    return write_text(folder / "annotations" / "a.xml", text)


def yolo(folder: Path) -> Path:
    write_image(folder / "images" / "a.jpg")
    write_text(folder / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    return write_text(folder / "data.yaml", "names: [mask]\ntrain: images\n")


def classes(folder: Path) -> Path:
    return write_image(folder / "mask" / "a.jpg").parent.parent


@pytest.mark.parametrize("make", [index, coco, voc, yolo])
def test_a_file_and_its_folder_give_the_same_examples(tmp_path, make):
    file = make(tmp_path / "set")
    for path in (file, tmp_path / "set"):
        (only,) = read_dataset(path)
        assert [label.key for label in only.labels] == ["mask"]
        assert only.path.name == "a.jpg"
        if make is not index:
            assert only.boxes.tolist() == [[0, 0, 90, 80]]


def test_a_folder_for_each_class_is_read(tmp_path):
    (only,) = read_dataset(classes(tmp_path))
    assert only.is_crop


def test_all_coco_files_of_a_folder_are_read_and_other_json_is_not(tmp_path):
    coco(tmp_path)
    coco(tmp_path, "town-val.json")
    write_text(tmp_path / "settings.json", "{}")
    assert [one.split for one in read_dataset(tmp_path)] == ["train", "val"]


def test_settings_of_other_tools_are_not_yolo(tmp_path):
    write_text(tmp_path / "ci.yaml", "on: push\n")
    write_text(tmp_path / "broken.yml", "words\n")
    assert len(read_dataset(classes(tmp_path))) == 1


def test_an_unknown_format_is_rejected_with_the_supported_ones(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", write_text(tmp_path / "notes.txt", "")):
        with pytest.raises(ValueError, match=r"COCO.*Pascal VOC.*YOLO.*each class"):
            read_dataset(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_dataset(tmp_path / "nowhere")
