"""Interactive charts of the Tune page: data and selections."""

from __future__ import annotations

import json
from math import nan

import numpy as np
import pytest

from maskdet.charts.classification import (
    confusion_heatmap,
    reliability_curves_chart,
    slice_rates_chart,
)
from maskdet.charts.curves import ChartCurve, threshold_curves_chart
from maskdet.charts.spec import CLICK_SELECTION
from maskdet.charts.tuning import (
    BOX_SELECTION,
    NO_FACE_TITLE,
    draw_boxes_chart,
    threshold_histogram,
    threshold_rates_chart,
)
from maskdet.metrics.calibration import ReliabilityCurve
from maskdet.style import Style
from maskdet.types import Label

EDGES = (0.0, 0.5, 1.0)
BOX = (1, 2, 3, 4)
PARTS = {"Mask": (0, 4), "No mask": (1, 2), NO_FACE_TITLE: (30, 1)}
COLOURS = dict.fromkeys(PARTS, "#123456")


def histogram(line=0.5):
    return threshold_histogram(EDGES, PARTS, [line], colours=COLOURS, x_title="Score")


def test_bars_are_fractions_of_their_part():
    drawn = histogram()
    bars = drawn["datasets"]["bars"]
    assert [(row["part"], row["low"], row["rate"]) for row in bars] == [
        ("No mask", 0.0, 0.33333),
        (NO_FACE_TITLE, 0.0, 0.96774),
        ("Mask", 0.5, 1.0),
        ("No mask", 0.5, 0.66667),
        (NO_FACE_TITLE, 0.5, 0.03226),
    ]
    y = drawn["layer"][0]["encoding"]["y"]
    assert y["stack"] is None
    assert "type" not in y.get("scale", {}), "the axis is linear"


def test_a_part_without_faces_has_no_bars():
    parts = {"Mask": (0, 0), NO_FACE_TITLE: (1, 0)}
    drawn = threshold_histogram(EDGES, parts, [0.5], colours=COLOURS, x_title="Score")
    assert [row["part"] for row in drawn["datasets"]["bars"]] == [NO_FACE_TITLE]


def rates_chart(threshold=0.5, optimal=0.6):
    rates = {"Precision": (0.5, 0.8, nan), "Recall": (1.0, 0.4, 0.0), "F1": (nan,) * 3}
    return threshold_rates_chart(
        (0.4, 0.5, 0.6), rates, threshold, optimal, x_title="Threshold"
    )


def test_undefined_rates_are_left_out():
    drawn = rates_chart()["datasets"]
    points = [(row["metric"], row["threshold"]) for row in drawn["points"]]
    assert points == [
        ("Precision", 0.4),
        ("Precision", 0.5),
        ("Recall", 0.4),
        ("Recall", 0.5),
        ("Recall", 0.6),
    ]
    assert "NaN" not in json.dumps(drawn)


def test_a_click_beside_a_step_selects_the_step():
    rows = rates_chart()["datasets"]["bins"]
    assert [row["threshold"] for row in rows] == [0.4, 0.5, 0.6]
    assert [row["low"] for row in rows] == pytest.approx([0.35, 0.45, 0.55])
    assert [row["high"] for row in rows] == pytest.approx([0.45, 0.55, 0.65])


@pytest.mark.parametrize(("optimal", "align"), [(0.2, "left"), (0.9, "right")])
def test_the_optimal_threshold_is_named_above_the_lines(optimal, align):
    drawn = rates_chart(optimal=optimal)
    marks = [layer["mark"] for layer in drawn["layer"]]
    names = [mark for mark in marks if mark["type"] == "text"]
    assert {mark["align"] for mark in names} == {"left", "right"}
    assert all(mark["y"] < 0 for mark in names)
    [row] = drawn["datasets"]["optimal"]
    assert row == {
        "threshold": optimal,
        "text": f"Optimal {optimal:.2f}",
        "align": align,
    }


def test_without_an_optimal_threshold_there_is_no_marker():
    assert rates_chart(optimal=None)["datasets"]["optimal"] == []


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
    first, second = histogram(0.5), histogram(0.7)
    assert first.pop("datasets")["lines"] == [{"threshold": 0.5}]
    assert second.pop("datasets")["lines"] == [{"threshold": 0.7}]
    assert first == second
    first, second = rates_chart(0.5), rates_chart(0.4)
    assert first.pop("datasets") != second.pop("datasets")
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


def relative_luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("dark", [False, True])
def test_the_number_of_a_cell_is_readable(dark):
    for n in range(11):
        for cell in cells([[n, 10 - n, 0], [1, 1, 0]], dark=dark).values():
            luminance = relative_luminance(cell["fill"])
            ends = {"white": 1.0, "black": 0.0}
            light, deep = sorted((ends[cell["colour"]], luminance), reverse=True)
            assert (light + 0.05) / (deep + 0.05) > 4.5, cell


def test_empty_cells_are_as_dark_as_the_page():
    light, dark = (cells([[0, 0, 0], [0, 0, 0]], dark=dark) for dark in (False, True))
    for cell in light:
        assert relative_luminance(light[cell]["fill"]) > 0.7
        assert relative_luminance(dark[cell]["fill"]) < 0.05


def test_only_the_selected_cell_is_outlined():
    cell_rows = cells([[1, 1, 1], [1, 1, 0]], selected=(0, 2))
    assert [cell for cell, row in cell_rows.items() if row["selected"]] == [(0, 2)]


def test_curves_keep_their_ends_and_the_operating_point():
    x = np.linspace(0, 1, 500)
    line = ChartCurve("Mask", x, 1 - x**3, 1 - x, (0.5, 0.875), 0.75)
    drawn = threshold_curves_chart([line], "precision_recall")
    points = drawn["datasets"]["points"]
    assert (points[0]["x"], points[0]["y"]) == (0.0, 1.0)
    assert (points[-1]["x"], points[-1]["y"]) == (1.0, 0.0)
    assert len(points) < 500
    [dot] = drawn["datasets"]["dots"]
    assert (dot["curve"], dot["x"], dot["y"], dot["area"]) == ("Mask", 0.5, 0.875, 0.75)


def test_a_curve_without_an_operating_point_has_no_dot():
    line = ChartCurve(
        "Mask", *np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 0.1]]), None, nan
    )
    drawn = threshold_curves_chart([line], "roc")
    assert drawn["datasets"]["dots"] == []
    assert drawn["datasets"]["points"][0]["area"] is None


@pytest.mark.parametrize(("most", "format_"), [(1.0, "%"), (2.5, "~g"), (None, "~g")])
def test_the_axis_of_false_positives_is_not_in_percent(most, format_):
    line = ChartCurve("Faces", *np.array([[0.0, 2.0], [0.0, 1.0], [0.9, 0.1]]), None, 1)
    drawn = threshold_curves_chart([line], "froc", x_max=most)
    assert drawn["layer"][0]["encoding"]["x"]["axis"]["format"] == format_


def test_slices_keep_their_order_and_the_worse_ones_are_marked():
    rate = {"rate": 0.5, "low": 0.4, "high": 0.6, "n": 9}
    rows = [{"run": "", "slice": name, **rate, "worse": name == "b"} for name in "ba"]
    drawn = slice_rates_chart(rows, {"": "#123456"}, x_title="Right")
    assert drawn["layer"][0]["encoding"]["y"]["sort"] == ["b", "a"]
    notes = [row["comparison"] for row in drawn["datasets"]["slices"]]
    assert notes == ["significantly worse", "not worse"]


def test_reliability_curves_have_their_values_and_colours():
    curve = ReliabilityCurve(np.array([0.7]), np.array([5]), np.array([9]))
    drawn = reliability_curves_chart({"b": curve}, {"b": "#123456"})
    [row] = drawn["datasets"]["bins"]
    assert (row["run"], row["score"], row["n"], row["ece"]) == ("b", 0.7, 9, 0.1444)
    assert row["low"] < row["rate"] < row["high"]
    assert row["rate"] == pytest.approx(5 / 9, abs=1e-4)
    scale = drawn["layer"][1]["encoding"]["color"]["scale"]
    assert scale == {"domain": ["b"], "range": ["#123456"]}


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
    colours = dict(zip(parts, ("#111111", "#222222", "#333333"), strict=True))
    drawn = threshold_histogram(EDGES, parts, [0.5], x_title="Score", colours=colours)
    scale = drawn["layer"][0]["encoding"]["color"]["scale"]
    assert scale == {"domain": list(parts), "range": list(colours.values())}
    tips = drawn["layer"][-1]["encoding"]["tooltip"][1:]
    assert [tip["title"] for tip in tips] == list(parts)
    row = drawn["datasets"]["bins"][1]
    for tip in tips:
        assert tip["field"].isidentifier()
        assert row[tip["field"]] == 2
    line = ChartCurve(
        "口罩", *np.array([[0.0, 1.0], [1.0, 0.5], [0.9, 0.1]]), None, 1, "#123456"
    )
    curves = threshold_curves_chart([line], "precision_recall")
    scale = curves["layer"][0]["encoding"]["color"]["scale"]
    assert scale == {"domain": ["口罩"], "range": ["#123456"]}
    boxes = draw_boxes_chart(
        np.zeros((9, 9, 3), np.uint8), [(BOX, Label.NO_MASK)], style
    )
    assert boxes["layer"][1]["data"]["values"][0]["label"] == "口罩"
