from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from maskdet import charts
from maskdet.charts.curves import MAX_CURVE_POINTS, simplify_line
from maskdet.charts.spec import GREY, assign_run_colours, render_svg
from maskdet.metrics.classification import binarize, threshold_curves
from maskdet.metrics.summary import summarize_classification
from maskdet.style import WHITE, Style, contrast_ratio
from maskdet.types import CLASSES
from tests.helpers.predictions import random_predictions

DARK = (23, 17, 14)
"""Streamlit's dark background, BGR."""

LOG = [
    {
        "epoch": epoch,
        "stage": 1 + (epoch > 2),
        "loss": 1 / epoch,
        "accuracy": 1 - 0.5 / epoch,
        "val_loss": 1.2 / epoch,
        "val_accuracy": 1 - 0.6 / epoch,
        "learning_rate": 0.001,
    }
    for epoch in (1, 2, 3, 4)
]


@pytest.fixture(scope="module")
def predictions_by_run():
    return {
        "maskdet": random_predictions(900),
        "tutorial": random_predictions(700, skill=1),
    }


def layers(chart):
    """Yield mark, encoding and data of each layer of a chart."""
    for layer in chart["layer"]:
        values = chart["datasets"][layer["data"]["name"]]
        yield layer["mark"]["type"], layer["encoding"], values


def rows_of(chart, kind):
    return [values for mark, _, values in layers(chart) if mark == kind]


def make_all_charts(predictions_by_run):
    return {
        "roc": charts.roc_chart(predictions_by_run),
        "roc classes": charts.roc_chart(predictions_by_run, task="classes"),
        "pr": charts.precision_recall_chart(predictions_by_run),
        "pr incorrect": charts.precision_recall_chart(
            predictions_by_run, task="incorrect"
        ),
        "reliability": charts.reliability_chart(predictions_by_run),
        "reliability wearing": charts.reliability_chart(
            predictions_by_run, target="wearing"
        ),
        "slices": charts.slices_chart(predictions_by_run),
        "confusion": charts.confusion_matrix_chart(
            next(iter(predictions_by_run.values()))
        ),
        "accuracy": charts.learning_curves({"maskdet": LOG, "tutorial": LOG[:2]}),
        "loss": charts.learning_curves({"maskdet": LOG}, quantity="loss"),
    }


def test_every_chart_has_tooltips_a_title_and_a_count(predictions_by_run):
    for name, chart in make_all_charts(predictions_by_run).items():
        assert "background" not in chart, name
        assert chart["title"]["text"], name
        subtitle = chart["title"]["subtitle"]
        assert "n = " in subtitle or "runs" in subtitle or "epochs" in subtitle, name
        assert any("tooltip" in encoding for _, encoding, _ in layers(chart)), name
        json.dumps(chart, allow_nan=False)
        assert chart["title"]["text"] in render_svg(chart), name


def test_several_runs_in_one_chart_keep_their_colours(predictions_by_run):
    colours = assign_run_colours(predictions_by_run)
    assert len(set(colours.values())) == 2
    assert assign_run_colours(["maskdet"]) == {"maskdet": colours["maskdet"]}
    for chart, field in (
        (charts.roc_chart(predictions_by_run), "curve"),
        (charts.slices_chart(predictions_by_run), "run"),
    ):
        runs = {row[field] for row in rows_of(chart, "point")[0]}
        assert runs == {"maskdet", "tutorial"}
        scales = [
            encoding["color"]["scale"]
            for _, encoding, _ in layers(chart)
            if "scale" in encoding.get("color", {})
        ]
        assert scales[0] == {
            "domain": list(colours),
            "range": list(colours.values()),
        }


def test_colours_have_contrast_on_light_and_dark_pages():
    for css in [*assign_run_colours("abcde").values(), GREY]:
        bgr = tuple(int(css[i : i + 2], 16) for i in (5, 3, 1))
        assert contrast_ratio(bgr, WHITE) >= 3, css
        assert contrast_ratio(bgr, DARK) >= 3, css


def test_classes_have_the_colours_of_the_style(predictions_by_run):
    chart = charts.roc_chart(
        predictions_by_run, task="classes", style=Style(palette="colour-blind")
    )
    _, encoding, _ = list(layers(chart))[1]
    assert encoding["color"]["scale"] == {
        "domain": ["Mask", "No mask", "Incorrect"],
        "range": [Style(palette="colour-blind").colour_css(label) for label in CLASSES],
    }


def test_roc_has_the_area_and_the_operating_point(predictions_by_run):
    alone = {"maskdet": predictions_by_run["maskdet"]}
    run_predictions = predictions_by_run["maskdet"].classification
    line, dots = rows_of(charts.roc_chart(alone), "point")
    assert (line[0]["x"], line[0]["y"]) == (0, 0)
    assert (line[-1]["x"], line[-1]["y"]) == (1, 1)
    assert len(line) <= MAX_CURVE_POINTS
    exact = summarize_classification(run_predictions, resamples=2).masked.roc_area.value
    drawn = np.trapezoid([row["y"] for row in line], [row["x"] for row in line])
    assert drawn == pytest.approx(exact, abs=1e-3)
    assert line[0]["area"] == pytest.approx(exact, abs=1e-4)
    counts = run_predictions.binary_confusion.counts
    assert dots[0]["y"] == pytest.approx(counts[0, 0] / counts[0].sum(), abs=1e-5)
    assert dots[0]["x"] == pytest.approx(counts[1, 0] / counts[1].sum(), abs=1e-5)


def test_precision_recall_has_the_operating_point_of_each_class(predictions_by_run):
    alone = {"maskdet": predictions_by_run["maskdet"]}
    states = predictions_by_run["maskdet"].classification.class_confusion
    dots = rows_of(charts.precision_recall_chart(alone, task="classes"), "point")[1]
    assert [row["curve"] for row in dots] == [label.title for label in CLASSES]
    for row, recall, precision in zip(
        dots, states.recalls, states.precisions, strict=True
    ):
        assert row["x"] == pytest.approx(recall.value, abs=1e-5)
        assert row["y"] == pytest.approx(precision.value, abs=1e-5)


def test_a_class_without_faces_has_no_curve(predictions_by_run):
    run_predictions = predictions_by_run["maskdet"]
    kept = run_predictions.select(run_predictions.ground_truth != 2)
    chart = charts.roc_chart({"maskdet": kept}, task="classes")
    assert {row["curve"] for row in rows_of(chart, "line")[1]} == {"Mask", "No mask"}
    nothing = run_predictions.select(np.zeros(len(run_predictions), bool))
    for chart in make_all_charts({"maskdet": nothing}).values():
        json.dumps(chart, allow_nan=False)


def test_the_confusion_matrix_has_counts_and_row_fractions(predictions_by_run):
    run_predictions = predictions_by_run["tutorial"]
    rows = rows_of(charts.confusion_matrix_chart(run_predictions), "rect")[0]
    counts = run_predictions.classification.class_confusion.counts[:, :3]
    assert [row["count"] for row in rows] == counts.ravel().tolist()
    assert sum(row["rate"] for row in rows[:3]) == pytest.approx(1)


def test_reliability_points_have_face_counts(predictions_by_run):
    rows = rows_of(charts.reliability_chart(predictions_by_run), "point")[0]
    ours = [row for row in rows if row["run"] == "maskdet"]
    assert sum(row["n"] for row in ours) == 900
    for row in ours:
        assert row["low"] <= row["rate"] <= row["high"]


def test_worse_slices_are_marked():
    run_predictions = random_predictions(900)
    run_predictions.lights[:] = np.where(
        run_predictions.probs.argmax(axis=1) == run_predictions.ground_truth, 200, 20
    )
    rows = rows_of(charts.slices_chart({"maskdet": run_predictions}), "point")[0]
    assert [row["slice"] for row in rows if row["worse"]] == ["light: under 40"]
    dark = next(row for row in rows if row["slice"] == "light: under 40")
    assert dark["comparison"] == "significantly worse"


def test_learning_curves_show_both_splits_and_stage_starts():
    chart = charts.learning_curves({"maskdet": LOG}, quantity="loss")
    assert rows_of(chart, "rule") == [[{"epoch": 2.5}]]
    rows = rows_of(chart, "line")[0]
    known = {(row["set"], row["epoch"]): row["value"] for row in rows}
    assert len(known) == 8
    assert known["training", 4] == pytest.approx(0.25)
    assert known["validation", 4] == pytest.approx(0.3)


def test_simplification_keeps_ends_and_corners():
    x = np.linspace(0, 1, 1001)
    y = np.where(x < 0.5, 0.0, 1.0)
    kept = simplify_line(x, y)
    assert x[kept].tolist() == pytest.approx([0, 0.499, 0.5, 1])
    assert simplify_line(np.zeros(1), np.zeros(1)).tolist() == [0]
    assert simplify_line(np.zeros(0), np.zeros(0)).tolist() == []


def test_simplification_keeps_the_shape_of_a_real_curve():
    task = binarize(random_predictions(5000, skill=1.0).classification, "wearing")
    curves = threshold_curves(task.ground_truth, task.scores)
    x, y = curves.false_positive_rates, curves.recalls
    kept = simplify_line(x, y)
    assert len(kept) == MAX_CURVE_POINTS
    assert (np.diff(kept) > 0).all()
    between = np.interp(np.arange(len(x)), kept, np.arange(len(kept)))
    left = kept[np.floor(between).astype(int)]
    right = kept[np.ceil(between).astype(int)]
    # Distance of each point from its segment of the simplified line.
    along = np.stack([x[right] - x[left], y[right] - y[left]])
    off = np.stack([x - x[left], y - y[left]])
    length = np.hypot(*along)
    far = np.abs(along[0] * off[1] - along[1] * off[0])
    assert np.divide(far, length, where=length > 0, out=np.zeros(len(x))).max() < 0.002


def test_charts_need_neither_streamlit_nor_pandas():
    code = (
        "import sys; from maskdet import charts; "
        "print('streamlit' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_a_file_has_no_invisible_layers_and_a_page_sets_the_text_colour():
    chart = charts.roc_chart({"maskdet": random_predictions(300)})
    on_white, inline = render_svg(chart), render_svg(chart, inline=True)
    for svg in (on_white, inline):
        assert "False-positive rate" in svg
        assert 'opacity="0"' not in svg
    assert 'fill="white"' in on_white
    assert "currentColor" not in on_white
    assert 'fill="white"' not in inline
    assert 'fill="currentColor"' in inline


def test_two_svgs_on_one_page_have_different_ids():
    chart = charts.roc_chart({"maskdet": random_predictions(30)})
    ids = re.findall(r' id="([^"]+)"', render_svg(chart) + render_svg(chart))
    assert len(set(ids)) == len(ids) > 1


def test_charts_use_custom_class_names(predictions_by_run):
    names = {"mask": "口罩", "no_mask": "St. Mary's", "incorrect": "Sloppy"}
    style = Style(class_names=names)
    drawn = [
        make(predictions_by_run, task=task, style=style)
        for make in (charts.roc_chart, charts.precision_recall_chart)
        for task in ("classes", "incorrect")
    ]
    run_predictions = next(iter(predictions_by_run.values()))
    drawn.append(charts.confusion_matrix_chart(run_predictions, style=style))
    for chart in drawn:
        text = json.dumps(chart, ensure_ascii=False)
        assert "Sloppy" in text
        assert not {"Mask", "No mask", "Incorrect"} & set(text.split('"'))
    scales = [
        layer["encoding"][channel]["scale"]["domain"]
        for layer in drawn[0]["layer"]
        for channel in ("color", "strokeDash")
        if "scale" in layer["encoding"].get(channel, {})
    ]
    assert scales
    assert all(domain == list(names.values()) for domain in scales)
