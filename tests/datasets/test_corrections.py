"""Corrections of labels from a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import Example, apply_corrections
from maskdet.types import Label
from tests.helpers.datasets import make_example, write_text

HEAD = "file,face,label,reason\n"


def scene(path: str) -> Example:
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]])
    return Example(
        Path(path), boxes, (Label.MASK, Label.NO_MASK, Label.MASK), "town", "val"
    )


def listed(folder: Path, *rows: str) -> Path:
    return write_text(folder / "list.csv", "# remark\n" + HEAD + "\n".join(rows) + "\n")


def test_labels_are_corrected_and_faces_and_images_dropped(tmp_path):
    examples = [
        make_example("/set/mask/a.jpg"),
        make_example("/set/mask/b.jpg"),
        scene("/set/images/c.jpg"),
        make_example("/other/a.jpg"),
    ]
    path = listed(
        tmp_path,
        'mask/a.jpg,-,no_mask,"clearly unmasked"',
        "b.jpg,-,drop,a cartoon",
        "# more",
        "images/c.jpg,0,drop,a statue",
        "images/c.jpg,2,incorrect,nose is visible",
        "unknown.jpg,-,drop,not in this set",
    )
    first, crowd, last = apply_corrections(examples, path)
    assert first.labels == (Label.NO_MASK,)
    assert crowd.labels == (Label.NO_MASK, Label.INCORRECT)
    assert crowd.boxes.tolist() == [[0, 0, 2, 2], [0, 0, 3, 3]]
    assert (crowd.source, crowd.split) == ("town", "val")
    assert last is examples[3]


def test_a_whole_image_row_also_applies_to_its_only_box(tmp_path):
    box = np.float32([[3, 4, 9, 12]])
    boxed = Example(Path("mask/a.jpg"), box, (Label.MASK,), "label", "train")
    unknown = Example(
        Path("mask/b.jpg"), box, (Label.MASK,), ignore_boxes=np.float32([[0, 0, 2, 2]])
    )
    path = listed(tmp_path, "a.jpg,-,no_mask,unmasked", "mask/b.jpg,-,incorrect,nose")
    first, second = apply_corrections([boxed, unknown], path)
    assert first.labels == (Label.NO_MASK,)
    assert first.boxes.tolist() == box.tolist()
    assert second.labels == (Label.INCORRECT,)
    assert second.ignore_boxes.tolist() == [[0, 0, 2, 2]]
    assert apply_corrections([boxed], listed(tmp_path, "a.jpg,-,drop,a doll")) == []


def test_all_faces_of_a_scene_can_be_dropped(tmp_path):
    path = listed(tmp_path, *(f"c.jpg,{i},drop,doll" for i in range(3)))
    (empty,) = apply_corrections([scene("c.jpg")], path)
    assert (empty.boxes.shape, empty.labels) == ((0, 4), ())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.jpg,-,mask,", "line 3: expected file"),
        ("a.jpg,-,mask", "line 3: expected file"),
        ("a.jpg,first,mask,x", "face must be an index"),
        ("a.jpg,-1,mask,x", "face must be an index"),
        ("a.jpg,-,scarf,x", "unknown class 'scarf'.* or drop"),
        ("a.jpg,0,mask,x", "has one label"),
        ("c.jpg,-,mask,x", "has 3 boxes"),
        ("c.jpg,3,mask,x", "has 3 boxes"),
        ("empty.jpg,-,mask,x", "has 0 boxes"),
        ("b.jpg,-,mask,x", "matches 2 images"),
    ],
)
def test_invalid_rows_are_rejected_with_their_line(tmp_path, row, says):
    examples = [
        make_example("a.jpg"),
        scene("c.jpg"),
        make_example("x/b.jpg"),
        make_example("b.jpg"),
    ]
    examples.append(Example(Path("empty.jpg"), np.zeros((0, 4), np.float32), ()))
    with pytest.raises(ValueError, match=says) as refused:
        apply_corrections(examples, listed(tmp_path, row))
    assert "list.csv, line 3" in str(refused.value)


def test_the_columns_are_required(tmp_path):
    with pytest.raises(ValueError, match="expected the columns file, face"):
        apply_corrections([], write_text(tmp_path / "list.csv", "file,label\n"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        apply_corrections([], tmp_path / "nowhere.csv")
