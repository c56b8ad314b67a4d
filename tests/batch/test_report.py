"""Counts by folder, day and class; the cases of the contact sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from maskdet.batch.analysis import FileResult, make_error_result
from maskdet.batch.inputs import collect_files
from maskdet.batch.report import describe_classes, describe_size, write_batch_report
from maskdet.batch.store import BatchStore
from maskdet.batch.summary import N_CASES, summarize_batch
from maskdet.media import encode_jpeg, encode_png, read_image
from maskdet.types import Label
from maskdet.video import VideoReport
from tests.batch.batch_files import make_face, make_file, make_image_result
from tests.helpers.fakes import make_grey_image

MASK = make_face("mask", 0.97, 0.02, 0.01)
NO_MASK = make_face("no_mask", 0.1, 0.9, 0.0)
UNSURE = make_face("unknown", 0.45, 0.4, 0.15)


@pytest.fixture
def store(tmp_path: Path):
    with BatchStore(tmp_path / "out") as store:
        yield store


def make_video_result(path: str, crop: bytes) -> FileResult:
    file = make_file(path, "video", day=3)
    person = {
        "person": 1,
        "first_s": 2.0,
        "last_s": 9.0,
        "seen_s": 7.0,
        "label": "incorrect",
        "confidence": 0.8,
        "label_s": dict.fromkeys(("mask", "no_mask", "incorrect", "unknown"), 0.0),
    }
    record = VideoReport(path, n_frames=300, analyzed_s=30.0).to_dict()
    record["people"] = [person]
    return FileResult(file, record, "2020-02-02", {1: crop}, cpu_s=6.0)


def test_files_are_counted_by_folder_day_and_class(store: BatchStore) -> None:
    store.add(
        [
            make_image_result(make_file("a/1.jpg"), [MASK, NO_MASK], cpu_s=0.03),
            make_image_result(make_file("b/2.jpg", day=1), [MASK], cpu_s=0.05),
            make_error_result(make_file("b/3.jpg", day=1), "broken"),
            make_video_result("b/v.mp4", encode_jpeg(make_grey_image())),
        ]
    )
    summary = summarize_batch(store)
    assert describe_size(summary.total) == (
        "3 images with 3 faces, 1 video of 0.5 min with 1 person, 1 file with an error"
    )
    assert describe_classes(summary.total) == [
        "faces: Mask 2, No mask 1, Incorrect 0, Unsure 0",
        "people: Mask 0, No mask 0, Incorrect 1, Unsure 0",
    ]
    assert {name: c.n_images for name, c in summary.folders.items()} == {"a": 1, "b": 2}
    assert summary.folders["b"].people[Label.INCORRECT] == 1
    assert sorted(summary.days) == ["1970-01-01", "1970-01-02", "2020-02-02"]
    assert summary.errors == {"b/3.jpg": "broken"}
    assert summary.describe_cost() == [
        "cost: 26.7 ms of a core per image",
        "cost: 12.0 s of a core per minute of video, 20.0 ms per analyzed frame",
    ]


def test_worst_and_unsure_cases_are_selected(store: BatchStore) -> None:
    confident = [make_face("no_mask", 0, n / 100, 0) for n in range(80, 100)]
    store.add([make_image_result(make_file("a.jpg"), [MASK, UNSURE, *confident])])
    store.add([make_video_result("v.mp4", b"jpeg")])
    cases = summarize_batch(store).cases
    assert [case.confidence for case in cases["no_mask"]] == [
        n / 100 for n in range(99, 99 - N_CASES, -1)
    ]
    (incorrect,) = cases["incorrect"]
    assert (incorrect.path, incorrect.time_s, incorrect.crop) == ("v.mp4", 2.0, b"jpeg")
    (unsure,) = cases["unsure"]
    assert (unsure.likeliest, unsure.confidence) == (Label.MASK, 0.45)


def test_the_contact_sheet_shows_the_faces(store: BatchStore, tmp_path: Path) -> None:
    image = make_grey_image(100, 100)
    image[2:40, 1:30] = (0, 0, 255)
    path = tmp_path / "<b>.png"
    path.write_bytes(encode_png(image))
    crop = np.full((90, 70, 3), (255, 0, 0), np.uint8)
    (file,) = collect_files([str(path)]).files
    missing = make_image_result(make_file("gone.jpg"), [NO_MASK])
    store.add([make_image_result(file, [NO_MASK]), missing])
    store.add([make_video_result("v.mp4", encode_jpeg(crop))])
    store.add([make_error_result(make_file("c.jpg"), "it is <broken>")])
    write_batch_report(store, summarize_batch(store))
    sheet = read_image(store.folder / "contact-sheet.jpg").astype(int)
    blue, red = (sheet[..., 0] - sheet[..., 2], sheet[..., 2] - sheet[..., 0])
    assert (red > 200).sum() > 500
    assert (blue > 200).sum() > 500
    page = (store.folder / "report.html").read_text()
    assert "&lt;b&gt;.png" in page
    assert "it is &lt;broken&gt;" in page
    assert "<b>.png" not in page
    assert page.count('src="data:image/jpeg;base64,') == 2


def test_faces_can_be_left_out(store: BatchStore) -> None:
    store.add([make_video_result("v.mp4", encode_jpeg(make_grey_image()))])
    summary = summarize_batch(store)
    write_batch_report(store, summary)
    assert (store.folder / "contact-sheet.jpg").exists()
    write_batch_report(store, summary, sheet=False)
    assert not (store.folder / "contact-sheet.jpg").exists()
    assert "<img" not in (store.folder / "report.html").read_text()
