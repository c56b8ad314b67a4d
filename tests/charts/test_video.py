"""The charts of a video: data and click selection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from maskdet.charts.video import TIME_SELECTION, video_charts
from maskdet.people import TimelineBin
from maskdet.style import Style
from maskdet.types import Label
from maskdet.video import timeline_bin_to_dict

NO_PEOPLE = dict.fromkeys(Label, 0.0)
BINS = [
    timeline_bin_to_dict(time_bin)
    for time_bin in (
        TimelineBin(0.0, 1.0, NO_PEOPLE | {Label.MASK: 1.5, Label.NO_MASK: 0.5}, 0, 0),
        TimelineBin(1.0, 1.0, dict(NO_PEOPLE), 0, 0),
        TimelineBin(
            2.0, 1.0, NO_PEOPLE | {Label.UNKNOWN: 1.0, Label.INCORRECT: 2.0}, 3, 1
        ),
    )
]


def rows(built: Mapping[str, Any], layer: int) -> list[dict[str, Any]]:
    return list(built["datasets"][built["layer"][layer]["data"]["name"]])


def test_people_are_stacked_in_the_colours_of_their_labels() -> None:
    style = Style(palette="colour-blind")
    built = video_charts(BINS, marked_s=1.5, style=style)["people"]
    bars = [
        (row["start"], row["kind"], row["low"], row["high"]) for row in rows(built, 0)
    ]
    assert bars == [
        (0.0, "Mask", 0, 1.5),
        (0.0, "No mask", 1.5, 2.0),
        (2.0, "Incorrect", 0, 2.0),
        (2.0, "Unsure", 2.0, 3.0),
    ]
    scale = built["layer"][0]["encoding"]["color"]["scale"]
    colours = dict(zip(scale["domain"], scale["range"], strict=True))
    assert colours == {
        label.title: Style(palette="colour-blind").colour_css(label) for label in Label
    }
    assert built["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, 3.0]


def test_the_mask_rate_is_none_without_people() -> None:
    built = video_charts(BINS, marked_s=0)["mask_rate"]
    line = next(
        number
        for number, layer in enumerate(built["layer"])
        if layer["mark"]["type"] == "line"
    )
    assert [row["rate"] for row in rows(built, line)] == [0.75, None, 0.0]
    assert [row["middle"] for row in rows(built, line)] == [0.5, 1.5, 2.5]


def test_contacts_over_the_time_limit_are_at_the_bottom() -> None:
    built = video_charts(BINS, marked_s=0)["contacts"]
    bars = [(row["kind"], row["low"], row["high"]) for row in rows(built, 0)]
    assert bars == [("over the time limit", 0, 1), ("within the time limit", 1, 3)]


@pytest.mark.parametrize("name", ["people", "mask_rate", "contacts"])
def test_every_time_bin_can_be_clicked_also_an_empty_one(name: str) -> None:
    built = video_charts(BINS, marked_s=2.5)[name]
    (selection,) = built["layer"][-1]["params"]
    assert selection["name"] == TIME_SELECTION
    assert selection["select"]["fields"] == ["start"]
    click_rows = rows(built, len(built["layer"]) - 1)
    assert [row["start"] for row in click_rows] == [0.0, 1.0, 2.0]
    assert all(row["top"] > row["bottom"] for row in click_rows)
    marks = [
        rows(built, number)
        for number, layer in enumerate(built["layer"])
        if layer["mark"]["type"] == "rule"
    ]
    assert marks == [[{"time": 2.5}]] * 2


def test_an_empty_video_has_charts_except_contacts() -> None:
    charts = video_charts((), marked_s=0)
    assert list(charts) == ["people", "mask_rate"]
    assert all(chart["layer"] for chart in charts.values())
