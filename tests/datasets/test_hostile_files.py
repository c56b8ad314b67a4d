"""Malicious and broken files are rejected early with one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from maskdet.datasets import DatasetError, Issues, files, read_dataset
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.evaluation.predictions import decode_predictions
from tests.datasets.test_layouts import LAYOUTS, lay
from tests.helpers.zipped_datasets import make_coco_json, make_jpeg, make_zip

MANY = 2_001
FACE = "<object><name>mask</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>"
FACE += "<ymax>9</ymax></bndbox></object>"

CROWDED = {
    "coco": {"x.json": make_coco_json({"a.jpg": [([1.0, 1, 9, 9], 1)] * MANY})},
    "voc": {"a.xml": f"<annotation>{FACE * MANY}</annotation>"},
    "yolo": {"classes.txt": "mask", "a.txt": "0 .5 .5 .2 .2\n" * MANY},
}


@pytest.mark.parametrize("kind", CROWDED)
def test_an_image_with_too_many_boxes_is_rejected_unopened(tmp_path, kind) -> None:
    contents = {**CROWDED[kind], "a.jpg": b"never opened"}
    line = "2,001 boxes in one image; the maximum is 2,000"
    with pytest.raises(DatasetError, match=line):
        import_dataset(make_zip(contents))
    with pytest.raises(DatasetError, match=line):
        read_dataset(lay(tmp_path, contents))


def test_a_data_set_with_too_many_boxes_is_rejected(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(files, "MAX_FACES", 3)
    lay(tmp_path, {"classes.txt": "mask"})
    for name in "ab":
        lines = "0 .5 .5 .2 .2\n" * 2
        lay(tmp_path, {f"{name}.txt": lines, f"{name}.jpg": make_jpeg()})
    with pytest.raises(DatasetError, match="more than 3 faces"):
        list(files.limit_faces(_rows(), 3))


def _rows():
    for name in "ab":
        yield files.ImageAnnotations(f"{name}.jpg", ("mask",) * 2)


def test_a_json_file_of_nothing_but_brackets_is_not_parsed(monkeypatch) -> None:
    monkeypatch.setattr("maskdet.datasets.coco.MAX_ELEMENTS", 50)
    text = json.dumps({"images": [[]] * 60, "annotations": [], "categories": []})
    with pytest.raises(ValueError, match="JSON lists and objects"):
        import_dataset(make_zip({"x.json": text, "a.jpg": make_jpeg()}))


@pytest.mark.parametrize(
    "table",
    [
        {"images": [None], "annotations": [None], "categories": [None]},
        {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 10**400}],
            "annotations": [{"image_id": 1, "category_id": 1, "bbox": [10**400] * 4}],
            "categories": [{"id": 1, "name": "mask"}],
        },
    ],
)
def test_invalid_tables_are_reported_in_one_line(tmp_path, table) -> None:
    lay(tmp_path, {"x.json": json.dumps(table), "a.jpg": make_jpeg()})
    for path in (tmp_path, tmp_path / "x.json"):
        with pytest.raises(DatasetError, match=r"x\.json") as stopped:
            read_dataset(path)
        assert str(stopped.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "names: " + "[" * 5000,
        "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]",
        "names: !!python/object/apply:os.system [id]",
        "names: {0: mask, 0: [x]}",
        "\tnames: [mask]",
    ],
)
def test_a_malicious_data_file_is_reported_in_one_line(tmp_path, text: str) -> None:
    folder = lay(
        tmp_path, {"data.yaml": text, "a.jpg": make_jpeg(), "a.txt": "0 1 1 1 1"}
    )
    with pytest.raises(DatasetError, match=r"data\.yaml") as stopped:
        read_dataset(folder / "data.yaml")
    assert str(stopped.value).isprintable()


def test_stored_predictions_with_a_deep_header_are_rejected_in_one_line() -> None:
    header = b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000
    with pytest.raises(ValueError, match="not a predictions file, or broken"):
        decode_predictions(make_zip({"version.npy": header}))


def test_damaged_files_raise_only_our_errors(tmp_path) -> None:
    rng = random.Random(5)
    tokens = ['"', "[", "]", "{", "}", "\0", "nan", "9" * 400, "<", ";", "://[", "&a;"]
    ended = 0
    for number in range(120):
        contents = dict(LAYOUTS[rng.choice(sorted(LAYOUTS))])
        name = rng.choice([one for one in contents if not one.endswith(".jpg")])
        data = bytearray(str(contents[name]).encode())
        for _ in range(rng.choice((1, 3, 9))):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.choice((0, 0, 5))] = rng.choice(tokens).encode()
        contents[name] = bytes(data)
        folder = lay(tmp_path / str(number), contents)
        tries: tuple[Callable[[], object], ...] = (
            lambda contents=contents: import_dataset(make_zip(contents)),
            lambda folder=folder: read_dataset(folder),
            lambda folder=folder: read_dataset(folder, issues=Issues(), strict=False),
        )
        for read in tries:
            line = ended_with(read)
            assert line.isprintable()
            ended += bool(line)
    assert ended > 50


def ended_with(read: Callable[[], object]) -> str:
    """Return the error message of a reader, or an empty text."""
    try:
        read()
    except (DatasetError, FileNotFoundError) as error:
        return str(error)
    return ""
