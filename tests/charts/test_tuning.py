"""Interactive charts of the Tune page: data and selections."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskdet.charts.tuning import (
    BOX_SELECTION,
    CLICK_SELECTION,
    NO_FACE_TITLE,
    confusion_heatmap,
    draw_boxes_chart,
    threshold_histogram,
)
from maskdet.charts.tuning_curves import (
    ChartCurve,
    calibration_chart,
    slice_rates_chart,
    threshold_curves_chart,
)
from maskdet.style import Style
from maskdet.types import Label

EDGES = (0.0, 0.5, 1.0)
BOX = (1, 2, 3, 4)
PARTS = {"Mask": (0, 4), "No mask": (1, 2), NO_FACE_TITLE: (30, 1)}


def histogram(**options):
    return threshold_histogram(EDGES, PARTS, [0.5], x_title="Score", **options)


def test_faces_are_above_the_axis_and_false_positives_below():
    bars = histogram()["datasets"]["bars"]
    ends = [(row["actual"], row["low"], row["y2"], row["y"]) for row in bars]
    assert ends == [
        ("No mask", 0.0, 0, 1),
        (NO_FACE_TITLE, 0.0, 0, -30),
        ("Mask", 0.5, 0, 4),
        ("No mask", 0.5, 4, 6),
        (NO_FACE_TITLE, 0.5, 0, -1),
    ]


def test_the_axis_below_zero_is_limited():
    low, high = histogram()["layer"][0]["encoding"]["y"]["scale"]["domain"]
    assert (low, high) == (-18.0, 6.0)
    parts = {"Mask": (9, 0), NO_FACE_TITLE: (0, 2)}
    drawn = threshold_histogram(EDGES, parts, [0.5], x_title="Score")
    assert drawn["layer"][0]["encoding"]["y"]["scale"]["domain"] == [-2.0, 9.0]


def test_a_click_anywhere_over_a_bin_selects_its_lower_edge():
    drawn = histogram()
    target = drawn["layer"][-1]
    [param] = target["params"]
    assert param["name"] == CLICK_SELECTION
    assert param["select"]["fields"] == ["threshold"]
    assert "y" not in target["encoding"], "it covers the full height"
    rows = drawn["datasets"]["bins"]
    assert [row["threshold"] for row in rows] == [0.0, 0.5]
    fields = {tip["title"]: tip["field"] for tip in target["encoding"]["tooltip"]}
    assert rows[0][fields["No mask"]] == 1
    assert rows[0][fields[NO_FACE_TITLE]] == 30


def test_only_the_datasets_depend_on_the_threshold():
    first = threshold_histogram(EDGES, PARTS, [0.5], x_title="Score")
    second = threshold_histogram(EDGES, PARTS, [0.7], x_title="Score")
    assert first.pop("datasets")["lines"] == [{"threshold": 0.5}]
    assert second.pop("datasets")["lines"] == [{"threshold": 0.7}]
    assert first == second


def cells(counts, **options):
    drawn = confusion_heatmap(
        counts, ("Mask", "No face"), ("Mask", "U", "M"), **options
    )
    return {(row["row"], row["column"]): row for row in drawn["datasets"]["cells"]}


def test_there_is_no_cell_for_no_face_and_missed():
    cell_rows = cells([[6, 1, 3], [2, 2, 0]])
    assert set(cell_rows) == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)}
    assert cell_rows[0, 0]["rate"] == 0.6
    assert cell_rows[1, 0]["rate"] == 0.5


def test_cell_colours_depend_on_kind_and_rate():
    cell_rows = cells([[10, 10, 10], [0, 0, 0]])
    assert len({cell_rows[cell]["fill"] for cell in ((0, 0), (0, 1), (0, 2))}) == 3
    full = cells([[10, 0, 0], [0, 0, 0]])
    assert full[0, 0]["fill"] == "#0b559f"
    assert full[0, 0]["colour"] == "white"
    assert full[0, 1]["colour"] == "black"


def test_only_the_selected_cell_is_outlined():
    cell_rows = cells([[1, 1, 1], [1, 1, 0]], selected=(0, 2))
    assert [cell for cell, row in cell_rows.items() if row["selected"]] == [(0, 2)]


def test_curves_keep_their_ends_and_the_operating_point():
    x = np.linspace(0, 1, 500)
    line = ChartCurve("Mask", x, 1 - x**3, 1 - x, (0.5, 0.875))
    drawn = threshold_curves_chart([line], x_title="x", y_title="y", steps=True)
    points = drawn["datasets"]["points"]
    assert (points[0]["x"], points[0]["y"]) == (0.0, 1.0)
    assert (points[-1]["x"], points[-1]["y"]) == (1.0, 0.0)
    assert len(points) < 500
    assert drawn["datasets"]["dots"] == [{"class": "Mask", "x": 0.5, "y": 0.875}]


def test_a_curve_without_an_operating_point_has_no_dot():
    line = ChartCurve("Mask", *np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 0.1]]), None)
    drawn = threshold_curves_chart([line], x_title="x", y_title="y", steps=False)
    assert drawn["datasets"]["dots"] == []


@pytest.mark.parametrize(("most", "format_"), [(1.0, "%"), (2.5, "~g"), (None, "~g")])
def test_the_axis_of_false_positives_is_not_in_percent(most, format_):
    line = ChartCurve("Faces", *np.array([[0.0, 2.0], [0.0, 1.0], [0.9, 0.1]]), None)
    drawn = threshold_curves_chart(
        [line], x_title="x", y_title="y", steps=False, x_max=most
    )
    assert drawn["layer"][0]["encoding"]["x"]["axis"]["format"] == format_


def test_slices_and_bins_keep_their_order_and_values():
    rows = [
        {"slice": name, "rate": 0.5, "low": 0.4, "high": 0.6, "n": 9} for name in "ba"
    ]
    drawn = slice_rates_chart(rows, x_title="Right")
    assert drawn["layer"][0]["encoding"]["y"]["sort"] == ["b", "a"]
    bins = [{"run": "b", "score": 0.7, "rate": 0.5, "low": 0.4, "high": 0.6, "n": 9}]
    assert calibration_chart(bins, ("a", "b"))["datasets"]["bins"] == bins


def test_the_box_editor_keeps_aspect_ratio_and_pixel_units():
    image = np.zeros((100, 400, 3), np.uint8)
    drawn = draw_boxes_chart(image, [((1, 2, 30, 40), Label.MASK)])
    assert drawn["width"] == 4 * drawn["height"]
    image_layer, boxes = drawn["layer"]
    assert image_layer["encoding"]["x"]["scale"]["domain"] == [0, 400]
    assert image_layer["encoding"]["y"]["scale"]["domain"] == [100, 0]
    assert image_layer["params"][0]["name"] == BOX_SELECTION
    assert boxes["data"]["values"][0]["x2"] == 30.0
    json.dumps(drawn)


def test_custom_names_have_their_colours_and_are_not_parsed_as_paths():
    names = {"mask": "St. Mary's", "no_mask": "口罩"}
    style = Style(class_names=names)
    parts = {title: (1, 2) for title in (*names.values(), NO_FACE_TITLE)}
    drawn = threshold_histogram(EDGES, parts, [0.5], x_title="Score", style=style)
    scale = drawn["layer"][0]["encoding"]["color"]["scale"]
    assert scale["domain"] == list(parts)
    colours = [style.colour_css(label) for label in (Label.MASK, Label.NO_MASK)]
    assert scale["range"][:2] == colours
    tips = drawn["layer"][-1]["encoding"]["tooltip"][1:]
    assert [tip["title"] for tip in tips] == list(parts)
    row = drawn["datasets"]["bins"][1]
    for tip in tips:
        assert tip["field"].isidentifier()
        assert row[tip["field"]] == 2
    line = ChartCurve("口罩", *np.array([[0.0, 1.0], [1.0, 0.5], [0.9, 0.1]]), None)
    curves = threshold_curves_chart(
        [line], x_title="x", y_title="y", steps=True, style=style
    )
    assert curves["layer"][0]["encoding"]["color"]["scale"]["range"] == colours[1:]
    boxes = draw_boxes_chart(
        np.zeros((9, 9, 3), np.uint8), [(BOX, Label.NO_MASK)], style
    )
    assert boxes["layer"][1]["data"]["values"][0]["label"] == "口罩"
