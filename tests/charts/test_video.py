"""The charts of a video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from maskdet.charts.video import video_charts
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
    built = video_charts(BINS, style=style)["people"]
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
    built = video_charts(BINS)["mask_rate"]
    line = next(
        number
        for number, layer in enumerate(built["layer"])
        if layer["mark"]["type"] == "line"
    )
    assert [row["rate"] for row in rows(built, line)] == [0.75, None, 0.0]
    assert [row["middle"] for row in rows(built, line)] == [0.5, 1.5, 2.5]


def test_contacts_over_the_time_limit_are_at_the_bottom() -> None:
    built = video_charts(BINS)["contacts"]
    bars = [(row["kind"], row["low"], row["high"]) for row in rows(built, 0)]
    assert bars == [("over the time limit", 0, 1), ("within the time limit", 1, 3)]


@pytest.mark.parametrize("name", ["people", "mask_rate", "contacts"])
def test_every_time_bin_has_a_tooltip_also_an_empty_one(name: str) -> None:
    built = video_charts(BINS)[name]
    assert built["layer"][-1]["encoding"]["tooltip"]
    bins = rows(built, len(built["layer"]) - 1)
    assert [row["start"] for row in bins] == [0.0, 1.0, 2.0]
    assert all(row["top"] > row["bottom"] for row in bins)


def test_an_empty_video_has_charts_except_contacts() -> None:
    charts = video_charts(())
    assert list(charts) == ["people", "mask_rate"]
    assert all(chart["layer"] for chart in charts.values())
