"""YOLO: normalized boxes, class names from a data file or a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from maskdet.datasets import Example, read_dataset
from maskdet.types import Label
from tests.helpers.datasets import make_textured_image, write_image, write_text

NAMES = "names: [mask, no_mask, incorrect]\n"


def read_one(folder: Path, rows: str, names: str = NAMES) -> Example:
    write_image(folder / "images" / "a.png")
    write_text(folder / "labels" / "a.txt", rows)
    write_text(folder / "data.yaml", names)
    (only,) = read_dataset(folder)
    return only


def test_normalized_boxes_become_corners(tmp_path):
    found = read_one(tmp_path, "2 0.5 0.5 1 1\n0 0.25 0.5 0.5 0.25\n")
    assert found.boxes.tolist() == [[0, 0, 90, 80], [0, 30, 45, 50]]
    assert found.labels == (Label.INCORRECT, Label.MASK)
    assert found.source == tmp_path.name


def test_round_trip_of_corners(tmp_path):
    truth = np.array([[3, 7, 41, 66], [50.5, 0, 90, 12.25]])
    size = np.array([90, 80])
    normalized = np.concatenate(
        [
            (truth[:, :2] + truth[:, 2:]) / 2 / size,
            (truth[:, 2:] - truth[:, :2]) / size,
        ],
        axis=1,
    )
    rows = "\n".join("1 " + " ".join(f"{v:.6f}" for v in row) for row in normalized)
    np.testing.assert_allclose(read_one(tmp_path, rows).boxes, truth, atol=1e-3)


def test_boxes_are_fractions_of_the_upright_image(tmp_path):
    exif = Pillow.Exif()
    exif[0x0112] = 6  # rotated: 90 x 80 stored, 80 x 90 upright
    (tmp_path / "images").mkdir()
    shown = Pillow.fromarray(make_textured_image(0)[..., ::-1])
    shown.save(tmp_path / "images" / "a.jpg", exif=exif)
    write_text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    write_text(tmp_path / "data.yaml", NAMES)
    assert read_dataset(tmp_path)[0].boxes.tolist() == [[0, 0, 80, 90]]


def test_an_image_without_labels_is_a_scene_without_faces(tmp_path):
    assert read_one(tmp_path / "empty", "\n").labels == ()
    write_image(tmp_path / "none" / "images" / "b.png")
    write_text(tmp_path / "none" / "classes.txt", "with_mask\nwithout_mask\n")
    (only,) = read_dataset(tmp_path / "none")
    assert (only.labels, only.is_crop) == ((), False)


def test_labels_may_be_next_to_the_image_and_classes_next_to_the_labels(tmp_path):
    write_image(tmp_path / "a.png")
    write_text(tmp_path / "a.txt", "1 0.5 0.5 1 1\n")
    write_text(tmp_path / "labels" / "classes.txt", "face_mask\nface\n")
    assert read_dataset(tmp_path)[0].labels == (Label.NO_MASK,)


@pytest.mark.parametrize(
    "text",
    [
        "path: .\ntrain: images/train\nval: images/val  # held out\ntest:\n"
        "names:\n  0: with_mask\n  1: no-mask\n",
        "train: ../images/train\nval: ['images/val']\nnc: 2\nnames: ['mask', 'nomask']",
        "path: /where/it/was/made\ntrain:\n  - images/train\nval: lists/val.txt\n"
        'names:\n- "Mask"\n- improper\n',
    ],
)
def test_data_files_name_splits_in_several_ways(tmp_path, text):
    for split in ("train", "val"):
        write_image(tmp_path / "images" / split / "a.jpg")
        write_text(tmp_path / "labels" / split / "a.txt", "1 0.5 0.5 0.5 0.5\n")
    write_text(tmp_path / "lists" / "val.txt", "../images/val/a.jpg\n")
    train, val = read_dataset(write_text(tmp_path / "set.yaml", text))
    assert (train.split, val.split) == ("train", "val")
    assert train.labels[0] is not Label.MASK
    assert val.path.samefile(tmp_path / "images" / "val" / "a.jpg")
    assert len(val.boxes) == 1
    assert len(read_dataset(tmp_path)) == 2


def test_split_folders_are_used_without_a_data_file(tmp_path):
    for place in ("train/images", "valid/images"):
        write_image(tmp_path / place / "a.jpg")
    write_text(tmp_path / "valid" / "labels" / "a.txt", "0 0.5 0.5 0.5 0.5\n")
    write_text(tmp_path / "classes.txt", "mask\n")
    train, val = read_dataset(tmp_path)
    assert [train.split, val.split] == ["train", "val"]
    assert [len(train.boxes), len(val.boxes)] == [0, 1]


def test_augmented_copies_have_the_same_group(tmp_path):
    for name in ("a_jpg.rf.11.jpg", "a_jpg.rf.22.jpg", "b.jpg"):
        write_image(tmp_path / "images" / name)
    write_text(tmp_path / "classes.txt", "mask\n")
    assert [one.group for one in read_dataset(tmp_path)] == ["a_jpg", "a_jpg", ""]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("0 0.5 0.5 1", r"a\.txt line 1\): expected class cx cy w h"),
        ("0 0.5 0.5 1 1\n0.5 0 0 1 1", "line 2"),
        ("0 0.1 0.1 0.2 0.1 0.2 2", "line 1"),
        ("7 0.5 0.5 1 1", r"\(class 7\): unknown class"),
        ("-1 0.5 0.5 1 1", r"\(class -1\): unknown class"),
        ("0 45 40 20 20", "outside the image"),
        ("0 0.5 0.5 0 0.5", "empty"),
        ("0 0.5 nan 1 1", "empty"),
    ],
)
def test_broken_labels_are_rejected_by_name(tmp_path, rows, says):
    with pytest.raises(ValueError, match=says) as refused:
        read_one(tmp_path, rows)
    assert "a.txt" in str(refused.value)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("names: {a: mask}", "numbered from 0"),
        ("names: [mask", "not valid YAML"),
        ("just words", "invalid, expected lines"),
        ("nc: 2", "expected names"),
    ],
)
def test_broken_class_names_are_rejected_by_file(tmp_path, names, says):
    with pytest.raises(ValueError, match=says):
        read_dataset(write_text(tmp_path / "set.yaml", names))


def test_missing_files_are_named(tmp_path):
    write_image(tmp_path / "images" / "a.jpg")
    with pytest.raises(ValueError, match=r"not a data set: no labels found"):
        read_dataset(tmp_path)
    write_text(tmp_path / "classes.txt", "mask\n")
    write_text(tmp_path / "labels" / "lost.txt", "0 0.5 0.5 1 1\n")
    with pytest.raises(FileNotFoundError, match=r"lost\.txt"):
        read_dataset(tmp_path)
    file = write_text(tmp_path / "set.yaml", f"train: nowhere\n{NAMES}")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_dataset(file)
    file = write_text(tmp_path / "set.yaml", f"train: list.txt\n{NAMES}")
    write_text(tmp_path / "list.txt", "images/gone.jpg\n")
    with pytest.raises(FileNotFoundError, match=r"gone\.jpg"):
        read_dataset(file)
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_dataset(tmp_path / "nothing.yaml")
    (tmp_path / "empty").mkdir()
    write_text(tmp_path / "empty" / "classes.txt", "mask\n")
    with pytest.raises(ValueError, match="no image"):
        read_dataset(tmp_path / "empty")


def test_a_broken_image_does_not_stop_the_others(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"broken")
    write_text(tmp_path / "labels" / "a.txt", "0 0.5 0.5 1 1\n")
    write_text(tmp_path / "classes.txt", "mask\n")
    assert read_dataset(tmp_path)[0].boxes.shape == (0, 4)
