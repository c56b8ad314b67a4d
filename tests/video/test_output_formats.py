"""The CSV and JSON forms of videos."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction
from pathlib import Path

import pytest

from maskdet.media import VideoInfo
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
from maskdet.video.summary import ContactAggregator, PersonAggregator, Timeline
from tests.video.scenes import make_people_pair, make_people_scene

MASK, BARE = Label.MASK, Label.NO_MASK


def test_each_person_of_each_picture_is_a_row() -> None:
    text = io.StringIO()
    written = VideoCsvWriter(text)
    written.add("=a.mp4", make_people_scene(0.0))
    near = [
        make_people_pair(0, 1, 0.61234, exceeds_limit=True),
        make_people_pair(1, 2, 1.5, is_near=False),
    ]
    who = [(4, MASK), (2, BARE), (3, MASK)]
    written.add(
        "=a.mp4",
        make_people_scene(0.04, who, seconds_unseen=[0, 0, 1.25], person_pairs=near),
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
    nearest = [first[name] for name in ("nearest", "distance", "unit", "near")]
    assert nearest == ["2", "0.61", "m", "2"]
    assert (second["nearest"], second["time_s"]) == ("4", "0.040")
    assert (third["nearest"], third["near"], third["seen_s"]) == ("2", "0", "1.25")


def test_every_column_is_described() -> None:
    for column in VIDEO_COLUMNS:
        assert f" {column} " in rows.__doc__, column
    assert rows.VIDEO_CSV_VERSION == 1


def test_a_row_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with VideoCsvFile(path) as written:
        written.add("a", make_people_scene(0.0, [(1, MASK)]))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []
    with VideoCsvFile(path) as written:
        written.add("a", make_people_scene(0.0, [(1, MASK)]))
        written.commit()
    assert [one.name for one in tmp_path.iterdir()] == ["a.csv"]
    assert len(path.read_text().splitlines()) == 2
    with pytest.raises(OSError, match="No such file") as caught:
        VideoCsvFile(tmp_path / "no" / "a.csv")
    assert caught.value.filename == str(tmp_path / "no" / "a.csv")


def found() -> VideoReport:
    timeline, people, contacts = Timeline(), PersonAggregator(), ContactAggregator()
    for time_s, label in ((0.0, MASK), (1.0, MASK), (2.0, BARE)):
        seen = make_people_scene(
            time_s, [(1, label), (2, MASK)], person_pairs=[make_people_pair(0, 1, 0.7)]
        )
        timeline.add(seen, 1.0)
        people.add(seen, None, 1.0)
        contacts.add(seen, 1.0)
    return VideoReport(
        "a.mp4",
        VideoInfo(64, 48, 3.0, Fraction(30000, 1001)),
        90,
        3.0,
        timeline.get_bins(),
        people.get_people(),
        contacts.get_contacts(),
        is_complete=True,
    )


def test_the_json_is_as_described() -> None:
    content = json.loads(
        reports_to_json([found(), VideoReport("b.mp4", error="no video")])
    )
    assert content["version"] == report.REPORT_JSON_VERSION == 2
    whole, broken = content["videos"]
    assert (whole["video"], whole["error"], whole["whole"]) == ("a.mp4", None, True)
    assert (whole["width"], whole["frame_rate"]) == (64, 29.97)
    assert whole["seconds"] == {
        "mask": 5.0,
        "no_mask": 1.0,
        "incorrect": 0,
        "unknown": 0,
    }
    assert whole["share_masked"] == 0.833
    assert [one["person"] for one in whole["people"]] == [1, 2]
    assert whole["people"][0]["label"] == "mask"
    assert whole["contacts"][0]["people"] == [1, 2]
    assert (whole["contacts"][0]["near_s"], whole["contacts"][0]["bare_s"]) == (3, 1)
    assert [one["start_s"] for one in whole["timeline"]] == [0, 1, 2]
    assert whole["timeline"][2]["share_masked"] == 0.5
    assert (broken["error"], broken["width"], broken["people"]) == (
        "no video",
        None,
        [],
    )
    assert broken["share_masked"] is None
    for key in (*whole, *whole["people"][0], *whole["contacts"][0]):
        assert f'"{key}"' in report.__doc__, key
    for key in whole["timeline"][0]:
        assert f'"{key}"' in report.__doc__, key


def test_a_name_that_is_no_utf_8_can_be_written() -> None:
    text = reports_to_json(
        [VideoReport("bad\udcff.mp4", error="bad\udcff: is no video")]
    )
    (film,) = json.loads(text.encode("utf-8"))["videos"]
    assert film["video"] == r"bad\udcff.mp4"
    assert film["error"] == r"bad\udcff: is no video"
