from __future__ import annotations

from pathlib import Path

import pytest

from maskdet.evaluation import labelled_set
from maskdet.evaluation.labelled_set import import_dataset
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


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"a.txt": "hello"}, "no image found; supported are"),
        ({"a.jpg": make_jpeg()}, "no labels found; supported are index.csv"),
        (
            {"photos/a.jpg": make_jpeg()},
            r"no labels found \(if the folders photos are classes, map them, as in",
        ),
        ({"mask/a.jpg": b"x"}, "no image can be read; 1 image .mask/a.jpg"),
        (
            {"a.json": make_coco_json({"a.jpg": []}), "a.jpg": make_jpeg()},
            "the labels have no face",
        ),
        ({"a.json": "{" * 9000, "a.jpg": make_jpeg()}, "no labels found"),
        ({"a.json": "[" * 90000, "a.jpg": make_jpeg()}, "no labels found"),
        (
            {"index.csv": "a,b\n1,2", "a.jpg": make_jpeg()},
            "the column 'path' is missing",
        ),
        (
            {"index.csv": "path,label\n" + "x" * 200_000, "a.jpg": make_jpeg()},
            "not a CSV",
        ),
        ({"index.csv": b"\xff\xfe\xfd", "a.jpg": make_jpeg()}, "not a text file"),
        (
            {
                "a.json": make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)]}, ("cap",)),
                "a.jpg": make_png_bytes(),
            },
            r"no face of mask, no_mask, incorrect is labelled: 1 face \(cap\)",
        ),
    ],
)
def test_unusable_sets_give_a_one_line_error(
    contents: dict[str, bytes | str], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        import_dataset(make_zip(contents))
    assert str(caught.value).isprintable()


def test_labels_cannot_refer_to_files_outside_the_zip(tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(make_jpeg())
    faces = {
        str(secret): [([1.0, 1, 9, 9], 1)],
        f"../../{secret}": [([1.0, 1, 9, 9], 1)],
        "a.jpg": [([1.0, 1, 9, 9], 2)],
    }
    loaded = import_dataset(
        make_zip({"x.json": make_coco_json(faces), "a.jpg": make_jpeg()})
    )
    assert loaded.ground_truth.names == ("a.jpg",)


def test_too_many_faces_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_set, "MAX_SET_FACES", 2)
    text = make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)] * 3})
    with pytest.raises(ValueError, match="more than 2 faces; split the data set"):
        import_dataset(make_zip({"x.json": text, "a.jpg": make_jpeg()}))
