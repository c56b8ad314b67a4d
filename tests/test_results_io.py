from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from maskdet.results_io import (
    CSV_COLUMNS,
    error_record,
    escape_unprintable,
    format_results_csv,
    format_results_json,
    image_record,
)
from maskdet.settings import Settings
from maskdet.types import Faces, Scene


def scene(*, min_confidence=0.0):
    boxes = np.array([[10.04, 20.06, 50, 70], [0, 0, 12.345, 9]], np.float32)
    faces = Faces(boxes, np.array([0.98768, 0.5], np.float32))
    probs = np.array([[0.97, 0.02, 0.01], [0.3, 0.45, 0.25]], np.float32)
    return Scene(faces, probs).filter(
        Settings(min_score=0, min_face_px=1, min_confidence=min_confidence)
    )


def test_an_image_record_has_the_documented_fields():
    record = image_record(Path("a.jpg"), (640, 480), scene())
    assert record == {
        "path": "a.jpg",
        "width": 640,
        "height": 480,
        "error": None,
        "faces": [
            {
                "box": [10.0, 20.1, 50.0, 70.0],
                "score": 0.9877,
                "label": "mask",
                "probs": {"mask": 0.97, "no_mask": 0.02, "incorrect": 0.01},
            },
            {
                "box": [0.0, 0.0, 12.3, 9.0],
                "score": 0.5,
                "label": "no_mask",
                "probs": {"mask": 0.3, "no_mask": 0.45, "incorrect": 0.25},
            },
        ],
    }


def test_a_low_confidence_face_has_the_label_unknown():
    record = image_record("a.jpg", (160, 120), scene(min_confidence=0.6))
    assert [face["label"] for face in record["faces"]] == ["mask", "unknown"]


def test_json_is_version_1_and_parses_to_the_records():
    records = [
        image_record("a.jpg", (160, 120), scene()),
        image_record("empty.jpg", (160, 120), Scene.empty()),
        error_record("broken.jpg", "not an image"),
    ]
    content = json.loads(format_results_json(records))
    assert content == {"version": 1, "images": records}
    assert content["images"][2] == {
        "path": "broken.jpg",
        "width": None,
        "height": None,
        "error": "not an image",
        "faces": [],
    }
    assert json.loads(format_results_json([])) == {"version": 1, "images": []}
    with_skipped = json.loads(format_results_json(records, [Path("a/notes.txt")]))
    assert with_skipped == {
        "version": 1,
        "images": records,
        "left_out": ["a/notes.txt"],
    }


def parse_rows(records):
    return list(csv.DictReader(io.StringIO(format_results_csv(records))))


def test_csv_has_a_row_per_face_and_one_for_an_image_without_faces():
    records = [
        image_record("a.jpg", (640, 480), scene()),
        image_record("empty.jpg", (160, 120), Scene.empty()),
        error_record("broken.jpg", "not an image, sorry"),
    ]
    rows = parse_rows(records)
    assert [row["path"] for row in rows] == [
        "a.jpg",
        "a.jpg",
        "empty.jpg",
        "broken.jpg",
    ]
    assert tuple(rows[0]) == CSV_COLUMNS
    assert list(rows[1].values()) == [
        *["a.jpg", "640", "480", "", "2", "0.0", "0.0", "12.3", "9.0"],
        *["0.5", "no_mask", "0.3", "0.45", "0.25"],
    ]
    assert rows[2]["face"] == rows[2]["mask"] == ""
    assert rows[3]["error"] == "not an image, sorry"
    assert rows[3]["width"] == ""


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_file_names_are_escaped_against_csv_injection(first):
    name = f"{first}cmd|' /C calc'!A0.jpg"
    records = [
        error_record(name, f"{name}: no"),
        image_record(name, (160, 120), scene()),
    ]
    rows = list(csv.reader(io.StringIO(format_results_csv(records), newline="")))
    assert {len(row) for row in rows} == {len(CSV_COLUMNS)}
    for row in rows:
        assert not row[0].startswith(first)
        assert not row[3].startswith(first)
    assert json.loads(format_results_json(records))["images"][0]["path"] == name


def test_control_characters_are_escaped():
    assert escape_unprintable("a\x1b[31m b\n口罩.jpg") == r"a\x1b[31m b\n口罩.jpg"


def test_file_names_of_any_script_and_invalid_bytes_can_be_written():
    invalid_name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    records = [
        error_record(invalid_name, f"{invalid_name}: no"),
        image_record("口罩.jpg", (160, 120), scene()),
    ]
    assert "口罩.jpg".encode() in format_results_json(records).encode("utf-8")
    assert (
        json.loads(format_results_json(records))["images"][0]["path"]
        == r"caf\udce9.jpg"
    )
    assert rb"caf\udce9.jpg" in format_results_csv(records).encode("utf-8")
