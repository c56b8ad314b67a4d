"""A list of file names puts labels right, and says so when it does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import Example, corrected
from maskdet.types import Label
from tests.datasets_fakes import example, write

HEAD = "file,face,label,reason\n"


def scene(path: str) -> Example:
    boxes = np.float32([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]])
    return Example(
        Path(path), boxes, (Label.MASK, Label.NO_MASK, Label.MASK), "town", "val"
    )


def listed(folder: Path, *rows: str) -> Path:
    return write(folder / "list.csv", "# remark\n" + HEAD + "\n".join(rows) + "\n")


def test_labels_are_put_right_and_faces_and_pictures_dropped(tmp_path):
    examples = [
        example("/set/mask/a.jpg"),
        example("/set/mask/b.jpg"),
        scene("/set/images/c.jpg"),
        example("/other/a.jpg"),
    ]
    path = listed(
        tmp_path,
        'mask/a.jpg,-,no_mask,"bare, plainly"',
        "b.jpg,-,drop,a cartoon",
        "# more",
        "images/c.jpg,0,drop,a statue",
        "images/c.jpg,2,incorrect,nose is bare",
        "unknown.jpg,-,drop,not in this set",
    )
    first, crowd, last = corrected(examples, path)
    assert first.labels == (Label.NO_MASK,)
    assert crowd.labels == (Label.NO_MASK, Label.INCORRECT)
    assert crowd.boxes.tolist() == [[0, 0, 2, 2], [0, 0, 3, 3]]
    assert (crowd.source, crowd.split) == ("town", "val")
    assert last is examples[3]


def test_a_row_about_a_picture_also_means_its_only_box(tmp_path):
    box = np.float32([[3, 4, 9, 12]])
    boxed = Example(Path("mask/a.jpg"), box, (Label.MASK,), "label", "train")
    unknown = Example(
        Path("mask/b.jpg"), box, (Label.MASK,), ignored=np.float32([[0, 0, 2, 2]])
    )
    path = listed(tmp_path, "a.jpg,-,no_mask,bare", "mask/b.jpg,-,incorrect,nose")
    first, second = corrected([boxed, unknown], path)
    assert first.labels == (Label.NO_MASK,)
    assert first.boxes.tolist() == box.tolist()
    assert second.labels == (Label.INCORRECT,)
    assert second.ignored.tolist() == [[0, 0, 2, 2]]
    assert corrected([boxed], listed(tmp_path, "a.jpg,-,drop,a doll")) == []


def test_every_face_of_a_scene_may_go(tmp_path):
    path = listed(tmp_path, *(f"c.jpg,{i},drop,doll" for i in range(3)))
    (empty,) = corrected([scene("c.jpg")], path)
    assert (empty.boxes.shape, empty.labels) == ((0, 4), ())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.jpg,-,mask,", "line 3: wanted file"),
        ("a.jpg,-,mask", "line 3: wanted file"),
        ("a.jpg,first,mask,x", "face must be a number"),
        ("a.jpg,-1,mask,x", "face must be a number"),
        ("a.jpg,-,scarf,x", "unknown class 'scarf'.* or drop"),
        ("a.jpg,0,mask,x", "has one label"),
        ("c.jpg,-,mask,x", "has 3 boxes"),
        ("c.jpg,3,mask,x", "has 3 boxes"),
        ("empty.jpg,-,mask,x", "has 0 boxes"),
        ("b.jpg,-,mask,x", "means 2 pictures"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_line(tmp_path, row, says):
    examples = [example("a.jpg"), scene("c.jpg"), example("x/b.jpg"), example("b.jpg")]
    examples.append(Example(Path("empty.jpg"), np.zeros((0, 4), np.float32), ()))
    with pytest.raises(ValueError, match=says) as refused:
        corrected(examples, listed(tmp_path, row))
    assert "list.csv, line 3" in str(refused.value)


def test_a_list_needs_its_columns(tmp_path):
    with pytest.raises(ValueError, match="wanted the columns file, face"):
        corrected([], write(tmp_path / "list.csv", "file,label\n"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        corrected([], tmp_path / "nowhere.csv")
