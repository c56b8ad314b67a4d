from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets.coco import build_coco
from maskdet.datasets.reading import read_dataset
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.types import Label
from tests.helpers.zipped_datasets import make_coco_json, make_jpeg, make_zip

MASK, NO_MASK, INCORRECT, UNKNOWN = (
    Label.MASK,
    Label.NO_MASK,
    Label.INCORRECT,
    Label.UNKNOWN,
)


def test_nothing_of_an_upload_is_written_to_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = make_zip({"mask/a.jpg": make_jpeg(1), "no_mask/b.jpg": make_jpeg(2)})
    import builtins
    import io
    import os
    import tempfile

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    import_dataset(content)  # imports what is imported late
    for owner, name in (
        (builtins, "open"),
        (io, "open"),
        (os, "open"),
        (tempfile, "mkdtemp"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    loaded = import_dataset(content)
    assert loaded.images.load_image(0).shape == (80, 90, 3)


def test_a_folder_a_file_and_a_zip_give_the_same_set(tmp_path: Path) -> None:
    folder = tmp_path / "town"
    (folder / "images").mkdir(parents=True)
    contents = {
        "town-val.json": make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 2)]}),
        "images/a.jpg": make_jpeg(),
    }
    (folder / "town-val.json").write_text(contents["town-val.json"])
    (folder / "images" / "a.jpg").write_bytes(make_jpeg())
    (tmp_path / "town.zip").write_bytes(make_zip(contents))
    for source, name in (
        (folder, "town"),
        (folder / "town-val.json", "town-val"),
        (tmp_path / "town.zip", "town"),
    ):
        ground_truth = import_dataset(source).ground_truth
        assert ground_truth.name == name
        assert ground_truth.names == ("images/a.jpg",)
        assert ground_truth.labels.tolist() == [NO_MASK]


def test_a_local_coco_file_may_refer_to_images_in_other_folders(
    tmp_path: Path,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "town").mkdir()
    (tmp_path / "elsewhere" / "a.jpg").write_bytes(make_jpeg())
    labels = tmp_path / "town" / "x.json"
    labels.write_text(make_coco_json({"../elsewhere/a.jpg": [([1.0, 1, 9, 9], 1)]}))
    ground_truth = import_dataset(labels).ground_truth
    assert ground_truth.names == ("a.jpg",)


def test_a_yolo_data_file_is_read(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(make_jpeg())
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .2 .5")
    (tmp_path / "data.yaml").write_text("names: [incorrect]\nval: images\n")
    ground_truth = import_dataset(tmp_path / "data.yaml").ground_truth
    assert ground_truth.names == ("images/a.jpg",)
    assert ground_truth.labels.tolist() == [INCORRECT]


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone", "there is no such file or folder"), ("a.pdf", "not a data set")],
)
def test_the_error_names_a_path_that_is_not_a_dataset(
    name: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises((FileNotFoundError, ValueError), match=message) as caught:
        import_dataset(tmp_path / name)
    assert str(caught.value).count(str(tmp_path / name)) == 1


def test_the_import_agrees_with_the_strict_reader(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(make_jpeg())
    faces = {"a.jpg": [([1.25, 2.5, 9, 9], 2), ([30.0, 40, 11, 12], 3)]}
    (tmp_path / "x.json").write_text(make_coco_json(faces))
    strict = read_dataset(tmp_path)
    again = json.dumps(
        build_coco([(example, (90, 80)) for example in strict], tmp_path)
    )
    (tmp_path / "x.json").write_text(again)
    ground_truth = import_dataset(tmp_path).ground_truth
    assert np.array_equal(ground_truth.faces.boxes, strict[0].boxes)
    assert ground_truth.labels.tolist() == [int(label) for label in strict[0].labels]
