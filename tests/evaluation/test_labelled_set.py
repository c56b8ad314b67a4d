from __future__ import annotations

import json

import numpy as np
import pytest

from maskdet.evaluation.labelled_set import import_dataset
from maskdet.media import read_image
from maskdet.metrics.slices import crop_light
from maskdet.types import Label
from tests.helpers.zipped_datasets import (
    make_coco_json,
    make_jpeg,
    make_png_bytes,
    make_zip,
)

MASK, NO_MASK, INCORRECT, UNKNOWN = (
    Label.MASK,
    Label.NO_MASK,
    Label.INCORRECT,
    Label.UNKNOWN,
)

VOC = """<annotation><filename>{name}</filename>
<size><width>90</width><height>80</height></size>
<object><name>{word}</name><bndbox><xmin>11</xmin><ymin>21</ymin>
<xmax>30</xmax><ymax>40</ymax></bndbox></object></annotation>"""


def test_a_coco_zip_is_read() -> None:
    faces = {"b.jpg": [([10.0, 20, 30, 40], 2)], "a.jpg": [([0.0, 0, 9, 9], 3)]}
    content = make_zip(
        {
            "labels.json": make_coco_json(faces),
            "images/a.jpg": make_jpeg(1),
            "images/b.jpg": make_jpeg(2),
        }
    )
    loaded = import_dataset(content, "lobby")
    ground_truth = loaded.ground_truth
    assert ground_truth.name == "lobby"
    assert ground_truth.has_boxes
    assert ground_truth.names == ("images/b.jpg", "images/a.jpg")
    assert ground_truth.sizes_wh.tolist() == [[90, 80], [90, 80]]
    assert ground_truth.faces.image_indices.tolist() == [0, 1]
    assert ground_truth.faces.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 9, 9]]
    assert ground_truth.labels.tolist() == [NO_MASK, INCORRECT]
    assert loaded.notes == ()
    assert np.array_equal(loaded.images.load_image(1), read_image(make_jpeg(1)))


def test_light_and_sharpness_of_true_faces_are_measured() -> None:
    white = np.full((80, 90, 3), 255, np.uint8)
    faces = {"a.png": [([10.0, 10, 20, 20], 1)]}
    content = make_zip({"a.json": make_coco_json(faces), "a.png": make_png_bytes(3)})
    ground_truth = import_dataset(content).ground_truth
    crop = read_image(make_png_bytes(3))[10:30, 10:30]
    assert ground_truth.faces.lights[0] == pytest.approx(crop_light(crop), abs=2)
    assert 0 < ground_truth.faces.sharpness[0] < np.inf
    assert crop_light(white) == 255


def test_kaggles_voc_zip_is_read() -> None:
    content = make_zip(
        {
            "annotations/a.xml": VOC.format(name="a.png", word="with_mask"),
            "annotations/b.xml": VOC.format(name="", word="mask_weared_incorrect"),
            "images/a.png": make_png_bytes(1),
            "images/b.png": make_png_bytes(2),
        }
    )
    ground_truth = import_dataset(content).ground_truth
    assert ground_truth.names == ("images/a.png", "images/b.png")
    assert ground_truth.faces.boxes.tolist() == [[10, 20, 30, 40]] * 2
    assert ground_truth.labels.tolist() == [MASK, INCORRECT]


@pytest.mark.parametrize("list_name", ["data.yaml", "classes.txt", "obj.names"])
def test_a_yolo_zip_is_read(list_name: str) -> None:
    words = "no_mask\nmask\n"
    text = (
        "names: [no_mask, mask]\ntrain: train/images\n"
        if "yaml" in list_name
        else words
    )
    content = make_zip(
        {
            f"top/{list_name}": text,
            "top/train/images/a.jpg": make_jpeg(1),
            "top/train/labels/a.txt": "1 0.5 0.5 0.2 0.5\n0 0.1 0.1 0.2 0.2\n",
            "top/train/images/b.jpg": make_jpeg(2),
        }
    )
    loaded = import_dataset(content)
    assert loaded.ground_truth.labels.tolist() == [MASK, NO_MASK]
    assert np.allclose(
        loaded.ground_truth.faces.boxes, [[36, 20, 54, 60], [0, 0, 18, 16]]
    )
    assert loaded.ground_truth.names == (
        "top/train/images/a.jpg",
        "top/train/images/b.jpg",
    )
    assert loaded.notes == (
        "1 image without a label file (top/train/images/b.jpg): treated as an image "
        "without faces",
    )


def test_class_folders_are_read_as_whole_images() -> None:
    content = make_zip(
        {
            "set/with_mask/a.jpg": make_jpeg(1),
            "set/val/without_mask/b.jpg": make_jpeg(2, 40, 30),
            "set/cats/c.jpg": make_jpeg(3),
            "set/readme.txt": "hello",
        }
    )
    loaded = import_dataset(content)
    assert not loaded.ground_truth.has_boxes
    assert loaded.ground_truth.names[0] == "set/cats/c.jpg"
    assert loaded.ground_truth.labels.tolist() == [UNKNOWN, NO_MASK, MASK]
    assert loaded.ground_truth.faces.boxes.tolist()[1] == [0, 0, 40, 30]
    assert len(loaded.notes) == 1
    assert loaded.notes[0].startswith("1 face (cats): unknown class; ignored")


def test_an_index_is_read() -> None:
    rows = "path,label\nx/a.jpg,mask\nx/b.jpg,bare\nx/gone.jpg,mask\n"
    content = make_zip(
        {"index.csv": rows, "x/a.jpg": make_jpeg(1), "x/b.jpg": make_jpeg(2)}
    )
    loaded = import_dataset(content)
    assert loaded.ground_truth.labels.tolist() == [MASK, NO_MASK]
    assert not loaded.ground_truth.has_boxes
    assert loaded.notes == (
        "1 image (x/gone.jpg): listed in index.csv, but the image does not exist; left "
        "out",
    )


def test_unknown_classes_are_named_and_neither_right_nor_wrong() -> None:
    faces = {"a.jpg": [([1.0, 1, 9, 9], kind) for kind in (1, 2, 2, 3, 9)]}
    text = make_coco_json(faces, classes=("mask", "helmet", "hat\n\x1b[31m"))
    loaded = import_dataset(make_zip({"a.json": text, "a.jpg": make_jpeg()}))
    assert loaded.ground_truth.labels.tolist() == [MASK, *[UNKNOWN] * 4]
    assert len(loaded.notes) == 1
    start = "4 faces (helmet, hat\\n\\x1b[31m, class 9): unknown class"
    assert loaded.notes[0].startswith(start)


def test_faces_marked_as_crowd_are_unknown_without_a_note() -> None:
    content = json.loads(
        make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1), ([2.0, 2, 9, 9], 2)]})
    )
    content["annotations"][0]["iscrowd"] = 1
    loaded = import_dataset(
        make_zip({"a.json": json.dumps(content), "a.jpg": make_jpeg()})
    )
    assert loaded.ground_truth.labels.tolist() == [UNKNOWN, NO_MASK]
    assert loaded.notes == ()


def test_boxes_outside_the_image_are_clipped_or_left_out() -> None:
    boxes = [[-20.0, 10, 40, 20], [100.0, 10, 5, 5], [1.0, 1, 0, 9], [0.0, 0, 90.5, 9]]
    boxes += [[float("nan"), 0, 5, 5], [1e300, 0, 5, 5], [-1e9, -1e9, 2e9, 2e9]]
    text = make_coco_json({"a.jpg": [(box, 1) for box in boxes]})
    loaded = import_dataset(make_zip({"a.json": text, "a.jpg": make_jpeg()}))
    assert loaded.ground_truth.faces.boxes.tolist() == [
        [0, 10, 20, 30],
        [0, 0, 90, 9],
        [0, 0, 90, 80],
    ]
    assert set(loaded.notes) == {
        "2 boxes (a.json: a.jpg): partly outside the image; clipped to its border",
        "4 boxes (a.json: a.jpg): empty or outside the image; left out",
    }


def test_unreadable_images_are_left_out() -> None:
    faces = {f"{name}.jpg": [([1.0, 1, 9, 9], 1)] for name in "abcd"}
    content = make_zip(
        {
            "x.json": make_coco_json(faces),
            "a.jpg": make_jpeg()[:300],
            "b.jpg": b"hello",
            "c.jpg": make_jpeg(),
        }
    )
    loaded = import_dataset(content)
    assert loaded.ground_truth.names == ("c.jpg",)
    assert len(loaded.images) == 1
    lines = "\n".join(loaded.notes)
    assert (
        "1 image (d.jpg): listed in x.json, but the image does not exist; left out"
        in lines
    )
    assert "(a.jpg): the image is damaged" in lines
    assert "(b.jpg): this is not an image" in lines


def test_invalid_rows_are_left_out() -> None:
    content = json.loads(make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)]}))
    content["annotations"] += [
        7,
        {},
        {"image_id": [], "bbox": [1, 2, 3, 4], "category_id": 1},
        {"image_id": 0, "bbox": "text", "category_id": 1},
        {"image_id": 0, "bbox": [1, 2, 3], "category_id": 1},
        {"image_id": 0, "bbox": [10**400, 2, 3, 4], "category_id": 1},
        {"image_id": 0, "bbox": [1, 2, 3, 4], "category_id": {}},
    ]
    content["images"] += [None, {"id": 5}, {"id": {}, "file_name": "a.jpg"}]
    loaded = import_dataset(
        make_zip({"x.json": json.dumps(content), "a.jpg": make_jpeg()})
    )
    assert loaded.ground_truth.labels.tolist() == [MASK]
    counted = {line.partition(" (")[0]: line for line in loaded.notes}
    assert "a box needs image_id and category_id" in counted["4 rows"]
    assert "an image needs id and file_name" in counted["3 rows"]
    assert "must be four numbers: x, y, width, height" in counted["3 annotations"]


def test_broken_label_files_are_left_out() -> None:
    entities = '<!DOCTYPE a [<!ENTITY b "c">]>' + VOC.format(name="b.jpg", word="mask")
    content = make_zip(
        {
            "a.xml": VOC.format(name="a.jpg", word="mask"),
            "b.xml": entities,
            "c.xml": "<html/>",
            "d.xml": VOC.format(name="d.jpg", word="mask").replace(">11<", ">x<"),
            **{f"{name}.jpg": make_jpeg() for name in "abcd"},
        }
    )
    loaded = import_dataset(content)
    assert loaded.ground_truth.names == ("a.jpg", "d.jpg")
    assert loaded.ground_truth.labels.tolist() == [MASK]
    assert loaded.notes == (
        "1 XML file (b.xml): rejected: document type declarations are not allowed; "
        "left out",
        "1 XML file (c.xml): not a Pascal VOC file, expected <annotation>; left out",
        "1 box (d.xml): <bndbox> must have numbers in xmin, ymin, xmax, ymax; left out",
        "2 images (b.jpg, c.jpg): no valid label; left out",
    )


def test_an_image_with_a_broken_yolo_file_is_left_out() -> None:
    content = make_zip(
        {
            "classes.txt": "mask",
            "a.jpg": make_jpeg(),
            "a.txt": "0 .5 .5 .5 .5",
            "b.jpg": make_jpeg(),
            "b.txt": "0 .5 .5 .5",
            "c.jpg": make_jpeg(),
            "c.txt": "0 nan .5 .5 inf\n4 .5 .5 .1 .1",
        }
    )
    loaded = import_dataset(content)
    assert loaded.ground_truth.names == ("a.jpg", "c.jpg")
    assert loaded.ground_truth.labels.tolist() == [MASK, UNKNOWN]
    lines = "\n".join(loaded.notes)
    assert "1 label file (b.txt line 1): expected class cx cy w h" in lines
    assert "1 face (class 4)" in lines


def test_an_image_listed_twice_counts_once() -> None:
    text = make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)]})
    loaded = import_dataset(
        make_zip({"x.json": text, "y.json": text, "a.jpg": make_jpeg()})
    )
    assert loaded.ground_truth.labels.tolist() == [MASK]
    assert loaded.notes == (
        "1 image (a.jpg): listed twice; only the first entry is used",
    )


def test_a_wrong_image_size_in_the_labels_is_noted() -> None:
    text = make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)]}, size_wh=(180, 160))
    loaded = import_dataset(make_zip({"x.json": text, "a.jpg": make_jpeg()}))
    assert "size differs from the labels" in loaded.notes[0]


def test_import_reports_progress() -> None:
    content = make_zip({f"mask/{i}.jpg": make_jpeg(i) for i in range(4)})
    calls: list[tuple[int, int]] = []
    import_dataset(content, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
