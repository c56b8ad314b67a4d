"""Loading of training data: splits, checks and report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskdet.datasets import TrainingData, load_training_data
from tests.helpers.datasets import write_image, write_text


def folder(root: Path, split: str, classes: str, n: int, seed: int = 0) -> Path:
    """Write `n` images of each class with different seeds."""
    for number, name in enumerate(classes.split()):
        for i in range(n):
            place = root / split / name / f"{name}-{i}.jpg"
            write_image(place, seed * 1000 + number * 100 + i)
    return root


def town(folder: Path, name: str, seeds: list[int]) -> Path:
    """Write a COCO file with one masked and one unmasked face per image."""
    for seed in seeds:
        write_image(folder / "images" / f"{seed}.jpg", seed)
    box = {"bbox": [0, 0, 40, 40]}
    table = {
        "images": [
            {"id": s, "file_name": f"{s}.jpg", "width": 90, "height": 80} for s in seeds
        ],
        "annotations": [
            {"image_id": s, "category_id": c, **box} for s in seeds for c in (0, 1)
        ],
        "categories": [{"id": 0, "name": "mask"}, {"id": 1, "name": "no_mask"}],
    }
    return write_text(folder / name, json.dumps(table))


def names(data: TrainingData) -> dict[str, list[str]]:
    parts = {"train": data.train, "val": data.validation, "test": data.test}
    return {
        part: sorted(one.path.name for one in examples)
        for part, examples in parts.items()
    }


def test_splits_of_folders_are_used(tmp_path):
    for seed, split in enumerate(("train", "valid", "test")):
        folder(tmp_path, split, "mask no_mask", 2, seed)
    data = load_training_data([tmp_path], seed=1)
    assert [len(part) for part in names(data).values()] == [4, 4, 4]
    assert {one.split for one in data.validation} == {"val"}
    assert data.report.leakage.n_groups == 0


def test_files_next_to_a_train_file_are_its_splits(tmp_path):
    train = town(tmp_path, "town-train.json", [1, 2])
    town(tmp_path, "town-val.json", [3])
    town(tmp_path, "town-test.json", [4])
    assert names(load_training_data([train], seed=1)) == {
        "train": ["1.jpg", "2.jpg"],
        "val": ["3.jpg"],
        "test": ["4.jpg"],
    }
    own = town(tmp_path / "own", "own.json", [5])
    assert names(load_training_data([train], [own], seed=1))["val"] == ["5.jpg"]


def test_validation_paths_are_used_as_a_whole_without_a_val_split(tmp_path):
    own = folder(tmp_path / "own", ".", "mask no_mask", 2)
    held = folder(tmp_path / "held", "train", "mask no_mask", 1, 1)
    folder(held, "val", "mask no_mask", 2, 2)
    data = load_training_data([own], [held], seed=1)
    assert (len(data.train), len(data.validation)) == (4, 4)
    assert {one.source for one in data.validation} == {"held"}


def test_data_without_validation_are_split_with_a_note(tmp_path):
    folder(tmp_path, ".", "mask no_mask incorrect", 20)
    data = load_training_data([tmp_path], seed=1)
    assert [len(part) for part in names(data).values()] == [42, 12, 6]
    assert any("seed 1 (train 70%, val 20%" in note for note in data.report.notes)
    assert names(load_training_data([tmp_path], seed=1)) == names(data)
    assert names(load_training_data([tmp_path], seed=2)) != names(data)
    halves = load_training_data([tmp_path], seed=1, fractions=(0.5, 0.5, 0))
    assert [len(part) for part in names(halves).values()] == [30, 30, 0]


def test_an_existing_test_split_is_not_changed(tmp_path):
    folder(tmp_path, "train", "mask no_mask", 9)
    folder(tmp_path, "test", "mask no_mask", 2, 1)
    data = load_training_data([tmp_path], seed=1)
    assert [len(part) for part in names(data).values()] == [14, 4, 4]
    assert {one.path.parent.parent.name for one in data.test} == {"test"}


def test_near_duplicates_of_validation_are_removed_from_train(tmp_path):
    folder(tmp_path, "train", "mask no_mask", 3)
    folder(tmp_path, "val", "mask no_mask", 2, 1)
    write_image(tmp_path / "train" / "mask" / "copy.png", 1000)  # as val's first mask
    data = load_training_data([tmp_path], seed=1)
    assert "copy.png" not in names(data)["train"]
    assert (len(data.train), len(data.validation)) == (6, 4)
    assert [path.name for path in data.report.leakage.dropped] == ["copy.png"]
    assert "1 group; 1 image removed from train" in "\n".join(data.report.lines())


def test_groups_of_different_folders_are_different(tmp_path):
    rows = ["path,label,split,group"]
    for i, (split, group) in enumerate(
        [("train", "g"), ("train", "h"), ("train", "i"), ("val", "g"), ("val", "k")]
    ):
        write_image(tmp_path / "one" / f"{i}.jpg", i)
        rows.append(f"{i}.jpg,{'mask' if i % 2 else 'no_mask'},{split},{group}")
    one = write_text(tmp_path / "one" / "index.csv", "\n".join(rows))
    write_image(tmp_path / "two" / "9.jpg", 9)
    two = write_text(
        tmp_path / "two" / "index.csv", "path,label,split,group\n9.jpg,mask,train,g"
    )
    assert names(load_training_data([one, two], seed=1))["train"] == [
        "1.jpg",
        "2.jpg",
        "9.jpg",
    ]


def test_one_source_can_be_kept(tmp_path):
    a, b = (
        folder(tmp_path / name, split, "mask no_mask", 1, seed)
        for name, split, seed in (("a", "train", 0), ("b", "train", 1))
    )
    folder(a, "val", "mask no_mask", 1, 2)
    assert len(load_training_data([a, b], seed=1).train) == 4
    assert len(load_training_data([a, b], seed=1, source="a").train) == 2
    with pytest.raises(ValueError, match="source 'c'; available are a, b"):
        load_training_data([a, b], seed=1, source="c")


def test_corrections_are_applied_and_counted(tmp_path):
    folder(tmp_path, "train", "mask no_mask", 3)
    folder(tmp_path, "val", "mask no_mask", 1, 1)
    rows = (
        "train/mask/mask-0.jpg,-,no_mask,unmasked\ntrain/mask/mask-1.jpg,-,drop,a cat\n"
    )
    path = write_text(tmp_path / "list.csv", f"file,face,label,reason\n{rows}")
    data = load_training_data([tmp_path], seed=1, corrections=path)
    assert [one.labels[0].key for one in data.train].count("no_mask") == 4
    assert len(data.train) == 5
    assert any("changed 1, dropped 1" in note for note in data.report.checked.notes)


def test_unreadable_images_are_left_out_and_listed(tmp_path):
    folder(tmp_path, "train", "mask no_mask", 2)
    folder(tmp_path, "val", "mask no_mask", 1, 1)
    (tmp_path / "train" / "mask" / "broken.jpg").write_bytes(b"broken")
    report = load_training_data([tmp_path], seed=1).report
    assert [path.name for path in report.checked.unreadable] == ["broken.jpg"]
    text = "\n".join(report.lines())
    assert "unreadable: 1 image, left out" in text
    assert "broken.jpg: this is not an image" in text
    assert json.loads(json.dumps(report.to_json()))["unreadable"][0]["reason"]


def test_a_repeated_path_counts_once(tmp_path):
    folder(tmp_path, "train", "mask no_mask", 2)
    folder(tmp_path, "val", "mask no_mask", 1, 1)
    data = load_training_data([tmp_path, tmp_path / "train" / ".."], seed=1)
    assert len(data.train) == 4
    assert data.report.checked.n_repeated == 6
    assert "repeated: 6 images" in "\n".join(data.report.lines())


def test_the_report_counts_faces_and_their_sizes(tmp_path):
    train = town(tmp_path, "town-train.json", [1, 2])
    town(tmp_path, "town-val.json", [3])
    report = load_training_data([train], seed=1).report
    first, second = report.balance
    assert (first["split"], first["source"], first["images"]) == ("train", "town", 2)
    assert first["faces"] == {"mask": 2, "no_mask": 2, "incorrect": 0}
    assert second["sizes_px"] == [40, 40, 40]
    assert "40 to 40 px" in report.lines()[1]
    assert "train has no face of: incorrect" in report.notes


@pytest.mark.parametrize(
    ("classes", "n", "says"),
    [
        ("mask", 10, "no training face of no_mask; the images have mask 7"),
        ("no_mask incorrect", 10, "no training face of mask"),
        ("mask", 1, "no validation images"),
    ],
)
def test_insufficient_data_are_rejected(tmp_path, classes, n, says):
    with pytest.raises(ValueError, match=says):
        load_training_data([folder(tmp_path, ".", classes, n)], seed=1)


def test_data_without_training_images_are_rejected(tmp_path):
    folder(tmp_path, "val", "mask no_mask", 1)
    with pytest.raises(ValueError, match="no training images"):
        load_training_data([tmp_path], seed=1)
    (tmp_path / "val" / "mask" / "mask-0.jpg").write_bytes(b"")
    (tmp_path / "val" / "no_mask" / "no_mask-0.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="unreadable images: 2"):
        load_training_data([tmp_path], seed=1)
