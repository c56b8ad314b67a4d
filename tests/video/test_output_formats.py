"""The CSV and JSON formats of videos."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import pytest

from maskdet.media import VideoInfo
from maskdet.people import PersonLog, Timeline
from maskdet.types import Label
from maskdet.video import (
    VIDEO_COLUMNS,
    VideoCsvFile,
    VideoCsvWriter,
    VideoReport,
    report,
    reports_to_json,
    rows,
)
from tests.video.scenes import make_people_pair, make_people_scene

MASK, NO_MASK = Label.MASK, Label.NO_MASK


def test_the_csv_has_a_row_per_person_and_frame() -> None:
    text = io.StringIO()
    writer = VideoCsvWriter(text)
    writer.add("=a.mp4", make_people_scene(0.0))
    pairs = [
        make_people_pair(0, 1, 0.61234, exceeds_limit=True),
        make_people_pair(1, 2, 1.5, in_contact=False),
    ]
    labels = [(4, MASK), (2, NO_MASK), (3, MASK)]
    writer.add(
        "=a.mp4",
        make_people_scene(0.04, labels, unseen_s=[0, 0, 1.25], person_pairs=pairs),
    )
    empty, first, second, third = csv.DictReader(io.StringIO(text.getvalue()))
    assert list(first) == list(VIDEO_COLUMNS)
    assert empty == {
        **dict.fromkeys(VIDEO_COLUMNS, ""),
        "video": "'=a.mp4",
        "time_s": "0.000",
    }
    box = [first[name] for name in ("x1", "y1", "x2", "y2")]
    assert box == ["0.0", "10.0", "16.0", "30.0"]
    assert (first["person"], first["label"], first["mask"]) == ("4", "mask", "0.9")
    nearest = [
        first[name] for name in ("nearest_id", "distance", "unit", "contact_level")
    ]
    assert nearest == ["2", "0.61", "m", "2"]
    assert (second["nearest_id"], second["time_s"]) == ("4", "0.040")
    assert (third["nearest_id"], third["contact_level"]) == ("2", "0")
    assert third["unseen_s"] == "1.25"


def test_every_column_is_described() -> None:
    for column in VIDEO_COLUMNS:
        assert f" {column} " in rows.__doc__, column
    assert rows.VIDEO_CSV_VERSION == 2


def test_a_csv_file_appears_only_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with VideoCsvFile(path) as writer:
        writer.add("a", make_people_scene(0.0, [(1, MASK)]))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []
    with VideoCsvFile(path) as writer:
        writer.add("a", make_people_scene(0.0, [(1, MASK)]))
        writer.commit()
    assert [file.name for file in tmp_path.iterdir()] == ["a.csv"]
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(OSError, match="No such file") as error_info:
        VideoCsvFile(tmp_path / "no" / "a.csv")
    assert error_info.value.filename == str(tmp_path / "no" / "a.csv")


def make_report() -> VideoReport:
    timeline = Timeline()
    people = PersonLog(timeline=timeline)
    for time_s, label in ((0.0, MASK), (1.0, MASK), (2.0, NO_MASK)):
        scene = make_people_scene(
            time_s, [(1, label), (2, MASK)], person_pairs=[make_people_pair(0, 1, 0.7)]
        )
        people.update(scene)
    people.end(3.0)
    return VideoReport(
        "a.mp4",
        VideoInfo(64, 48, 3.0, Fraction(30000, 1001)),
        90,
        3.0,
        timeline.get_bins(),
        people.list_people(),
        people.list_contacts(),
        is_complete=True,
    )


def test_the_json_matches_its_description() -> None:
    content = json.loads(
        reports_to_json([make_report(), VideoReport("b.mp4", error="no video")])
    )
    assert content["version"] == report.REPORT_JSON_VERSION == 3
    complete, broken = content["videos"]
    assert (complete["video"], complete["error"]) == ("a.mp4", None)
    assert (complete["is_complete"], complete["n_frames"]) == (True, 90)
    assert (complete["width"], complete["frame_rate"]) == (64, 29.97)
    assert complete["label_s"] == {
        "mask": 5.0,
        "no_mask": 1.0,
        "incorrect": 0,
        "unknown": 0,
    }
    assert complete["mask_rate"] == 0.833
    assert [person["person"] for person in complete["people"]] == [1, 2]
    assert complete["people"][0]["label"] == "mask"
    assert complete["contacts"][0]["people"] == [1, 2]
    contact = complete["contacts"][0]
    assert (contact["total_s"], contact["unmasked_s"]) == (3, 1)
    assert [time_bin["start_s"] for time_bin in complete["timeline"]] == [0, 1, 2]
    assert complete["timeline"][2]["mask_rate"] == 0.5
    assert (broken["error"], broken["width"], broken["people"]) == (
        "no video",
        None,
        [],
    )
    assert broken["mask_rate"] is None
    for key in (*complete, *complete["people"][0], *complete["contacts"][0]):
        assert f'"{key}"' in report.__doc__, key
    for key in complete["timeline"][0]:
        assert f'"{key}"' in report.__doc__, key


def test_a_name_that_is_not_utf_8_can_be_written() -> None:
    text = reports_to_json(
        [VideoReport("bad\udcff.mp4", error="bad\udcff: is not a video")]
    )
    (record,) = json.loads(text.encode("utf-8"))["videos"]
    assert record["video"] == r"bad\udcff.mp4"
    assert record["error"] == r"bad\udcff: is not a video"
