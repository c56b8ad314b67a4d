"""Reading of COCO files, index files and class folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import (
    Example,
    count_faces_by_class,
    label_from_name,
    read_dataset,
    select_split,
)
from maskdet.types import Label

CATEGORIES = [
    {"id": 7, "name": "mask"},
    {"id": 8, "name": "without_mask"},
    {"id": 9, "name": "mask_weared_incorrect"},
]


def coco(folder: Path, boxes: list[tuple[int, list[float], int]], **changes) -> Path:
    """Write a COCO file of two 100 x 80 images; `boxes` are (image, bbox, class)."""
    (folder / "images").mkdir(exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        (folder / "images" / name).write_bytes(b"not read")
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 100, "height": 80},
            {"id": 2, "file_name": "b.jpg", "width": 100, "height": 80},
        ],
        "annotations": [
            {"image_id": image, "bbox": bbox, "category_id": category}
            for image, bbox, category in boxes
        ],
        "categories": CATEGORIES,
    }
    path = folder / "town-val.json"
    path.write_text(json.dumps(content | changes))
    return path


def index(folder: Path, text: str) -> Path:
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(b"")
    path = folder / "index.csv"
    path.write_text(text)
    return path


def test_coco_gives_corners_labels_source_and_split(tmp_path):
    path = coco(tmp_path, [(1, [10, 20, 30, 40], 9), (1, [0, 0, 5, 5], 8)])
    first, second = read_dataset(path)
    assert first.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert first.boxes.dtype == np.float32
    assert first.labels == (Label.INCORRECT, Label.NO_MASK)
    assert (first.source, first.split) == ("town", "val")
    assert first.path == tmp_path / "images" / "a.jpg"
    assert second.boxes.shape == (0, 4)
    assert second.labels == ()
    assert not second.is_crop


def test_coco_boxes_are_clipped(tmp_path):
    path = coco(tmp_path, [(1, [-10, 70, 30, 30], 7)])
    assert read_dataset(path)[0].boxes.tolist() == [[0, 70, 20, 80]]


def test_coco_boxes_outside_are_rejected_by_name(tmp_path):
    path = coco(tmp_path, [(2, [200, 10, 30, 30], 7)])
    with pytest.raises(ValueError, match=r"b\.jpg"):
        read_dataset(path)


def test_coco_with_an_unknown_class_is_refused(tmp_path):
    rows = [{"id": 1, "name": "helmet"}, {"id": 2, "name": "vest"}]
    path = coco(tmp_path, [(1, [0, 0, 5, 5], 1)], categories=rows)
    option = r'1 face \(helmet\): unknown class; .* --classes "helmet=ignore"'
    with pytest.raises(ValueError, match=option):
        read_dataset(path)


def test_unused_classes_are_ignored(tmp_path):
    rows = [*CATEGORIES, {"id": 1, "name": "helmet"}]
    path = coco(tmp_path, [(1, [0, 0, 5, 5], 8)], categories=rows)
    assert read_dataset(path)[0].labels == (Label.NO_MASK,)


def test_coco_with_a_missing_image_is_rejected(tmp_path):
    path = coco(tmp_path, [])
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"b\.jpg"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "JSON object"),
        ('{"images": []}', "annotations"),
        ('{"images": [{"x": 1}], "annotations": [], "categories": []}', "id"),
        (
            '{"images": [], "annotations": [{"image_id": 5, "bbox": [1, 2, 3, 4], '
            '"category_id": 1}], "categories": [{"id": 1, "name": "mask"}]}',
            "5",
        ),
    ],
)
def test_files_that_are_not_coco_are_rejected(tmp_path, text, says):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_dataset(path)


def test_coco_files_in_split_folders_are_read(tmp_path):
    folder = tmp_path / "town" / "valid"
    folder.mkdir(parents=True)
    above = {"id": 0, "name": "town-x1", "supercategory": "none"}
    rows = [above, *({**row, "supercategory": "town-x1"} for row in CATEGORIES)]
    path = coco(folder, [(1, [0, 0, 5, 5], 7)], categories=rows)
    path = path.rename(folder / "_annotations.coco.json")
    (folder / "images" / "a.jpg").rename(folder / "a.jpg")
    first, _ = read_dataset(path)
    assert first.path == folder / "a.jpg"
    assert (first.source, first.split) == ("town", "val")
    assert first.labels == (Label.MASK,)


def test_a_missing_file_is_named(tmp_path):
    for read in (read_dataset, read_dataset, read_dataset):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            read(tmp_path / "nowhere")


def test_index_has_splits_and_accepts_class_synonyms(tmp_path):
    path = index(
        tmp_path,
        "path,label,split,source,group\n"
        "a.jpg,with_mask,train,real,g1\nb.jpg,no_mask,test,drawn,g2\n",
    )
    (only,) = select_split(read_dataset(path), "test", path)
    assert only.labels == (Label.NO_MASK,)
    assert (only.source, only.split, only.group) == ("drawn", "test", "g2")
    assert only.is_crop
    assert count_faces_by_class(read_dataset(path)) == {
        Label.MASK: 1,
        Label.NO_MASK: 1,
        Label.INCORRECT: 0,
    }


def test_identical_index_rows_count_once(tmp_path):
    path = index(tmp_path, "path,label\na.jpg,mask\na.jpg,mask\nb.jpg,no_mask\n")
    assert len(read_dataset(path)) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path\na.jpg\n", "label"),
        ("path,label\na.jpg,scarf\n", "scarf"),
        ("path,label\n", "it lists no image"),
        ("path,label\na.jpg,mask\na.jpg,no_mask\n", "two labels"),
        ("path,label,split\na.jpg,mask,val\na.jpg,mask,test\n", "two splits"),
        (
            "path,label,split\na.jpg,mask,tset\n",
            "tset.: unknown split; expected train, val or test",
        ),
    ],
)
def test_an_invalid_index_is_rejected(tmp_path, text, says):
    with pytest.raises(ValueError, match=says):
        read_dataset(index(tmp_path, text))


def test_folders_give_classes_and_splits(tmp_path):
    for name in ("train/with_mask/a.jpg", "val/incorrect/b.PNG", "val/mask/note.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    train, val = read_dataset(tmp_path)
    assert (train.labels, train.split) == ((Label.MASK,), "train")
    assert (val.labels, val.split) == ((Label.INCORRECT,), "val")


def test_class_folders_without_splits_or_images(tmp_path):
    (tmp_path / "no_mask").mkdir()
    with pytest.raises(ValueError, match="no image"):
        read_dataset(tmp_path)
    (tmp_path / "no_mask" / "a.webp").write_bytes(b"")
    (only,) = read_dataset(tmp_path)
    assert (only.labels, only.split) == ((Label.NO_MASK,), "")
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 face \(cats\): unknown class"):
        read_dataset(tmp_path)


def test_an_example_needs_a_label_for_each_box():
    box = np.array([[0, 0, 4, 4]], np.float32)
    with pytest.raises(ValueError, match="1 boxes need as many labels, got 2"):
        Example(Path("a.jpg"), box, (Label.MASK, Label.MASK))


def test_hidden_files_are_not_images(tmp_path):
    for name in ("mask/a.jpg", "mask/._a.jpg", "mask/.old/a.jpg", ".trash/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [one.path.name for one in read_dataset(tmp_path)] == ["a.jpg"]


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["with_mask", "face_mask", "Mask", "masked"], Label.MASK),
        (["face", "nomask", "no-mask", " Without Mask "], Label.NO_MASK),
        (["mask_weared_incorrect", "improper", "Incorrect Mask"], Label.INCORRECT),
    ],
)
def test_class_names_of_public_sets_are_known(names, label):
    assert [label_from_name(name) for name in names] == [label] * len(names)
