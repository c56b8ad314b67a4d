"""Round trips of COCO files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.datasets import Example, read_dataset
from maskdet.datasets.coco import build_coco
from maskdet.types import Label
from tests.helpers.datasets import write_image


def scene(folder: Path) -> Example:
    return Example(
        write_image(folder / "set" / "mask" / "a.jpg"),
        np.array([[10, 20, 40.5, 60], [0, 0, 5, 5]], np.float32),
        (Label.INCORRECT, Label.NO_MASK),
        "town",
        "val",
        "twins",
        np.array([[50, 50, 70, 80]], np.float32),
    )


def written(folder: Path, *scenes: Example) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "boxed.json"
    sized = [(one, (90, 80)) for one in scenes]
    path.write_text(json.dumps(build_coco(sized, folder)))
    return path


def test_a_scene_is_read_back_unchanged(tmp_path):
    before = scene(tmp_path)
    (after,) = read_dataset(written(tmp_path / "elsewhere", before))
    assert after.path.resolve() == before.path.resolve()
    for field in ("boxes", "ignore_boxes"):
        np.testing.assert_allclose(getattr(after, field), getattr(before, field))
    for field in ("labels", "source", "split", "group"):
        assert getattr(after, field) == getattr(before, field)


def test_names_are_relative_to_the_file_and_links_are_resolved(tmp_path):
    before = scene(tmp_path)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    path = written(tmp_path / "link", before)
    names = [row["file_name"] for row in json.loads(path.read_text())["images"]]
    assert names == ["../../set/mask/a.jpg"]
    assert read_dataset(path)[0].path.is_file()


def test_faces_of_unknown_class_are_marked_for_every_reader(tmp_path):
    content = build_coco([(scene(tmp_path), (90, 80))], tmp_path)
    rows = content["annotations"]
    assert [row["iscrowd"] for row in rows] == [0, 0, 1]
    assert [row.get("ignore") for row in rows] == [None, None, 1]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert rows[0]["bbox"] == [10, 20, 30.5, 40]
    assert rows[0]["area"] == 1220


@pytest.mark.parametrize("mark", ["iscrowd", "ignore"])
def test_iscrowd_or_ignore_is_enough(tmp_path, mark):
    path = written(tmp_path, scene(tmp_path))
    content = json.loads(path.read_text())
    content["annotations"] = [
        {**row, "iscrowd": 0, "ignore": 0, mark: int(row["id"] == 2)}
        for row in content["annotations"]
    ]
    path.write_text(json.dumps(content))
    (after,) = read_dataset(path)
    assert after.ignore_boxes.tolist() == [[0, 0, 5, 5]]
    assert after.labels == (Label.INCORRECT, Label.INCORRECT)


def test_a_scene_without_faces_is_read_back(tmp_path):
    empty = dataclasses.replace(
        scene(tmp_path),
        boxes=np.zeros((0, 4), np.float32),
        labels=(),
        ignore_boxes=np.zeros((0, 4), np.float32),
    )
    (after,) = read_dataset(written(tmp_path, empty))
    assert (after.labels, after.boxes.shape, after.ignore_boxes.shape) == (
        (),
        (0, 4),
        (0, 4),
    )
