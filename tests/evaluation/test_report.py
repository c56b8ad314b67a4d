from __future__ import annotations

import json
import re
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from maskdet import charts
from maskdet.datasets import Example
from maskdet.evaluation import report as evaluation_report
from maskdet.evaluation.predictions import MeasuredBoxes
from maskdet.evaluation.report import (
    image_grid,
    mistakes_grid,
    samples_grid,
    save_chart,
    worst_mistakes,
    write_report,
)
from maskdet.evaluation.scoring import ClassifiedFaces, FacePredictions
from maskdet.extras import MissingExtraError
from maskdet.media import encode_png
from maskdet.style import Style
from maskdet.types import Label
from tests.helpers.fakes import make_grey_image
from tests.helpers.predictions import random_predictions


def plain(value, width=40, height=40):
    return np.full((height, width, 3), value, np.uint8)


def test_a_grid_has_a_cell_for_each_image_and_does_not_change_them():
    images = [plain(10), plain(90, 80, 20), plain(200, 7, 30)]
    before = [image.copy() for image in images]
    grid = image_grid(images, ["a", "b\nc", "ä" * 100], columns=2, cell_px=50)
    # 2 cells of 50 and 3 gaps of 6; 2 rows of 50 + two lines of 15 and 3 gaps
    assert grid.shape == (2 * 80 + 3 * 6, 2 * 50 + 3 * 6, 3)
    assert grid[6 + 25, 6 + 25].tolist() == [10, 10, 10]
    wide = grid[6 : 6 + 50, 62:112]
    assert (wide == 90).all(axis=2).sum() == pytest.approx(50 * 12, abs=60)
    assert (wide[0] == 255).all()
    # text is drawn within its cell
    assert (grid[142:172, 6:56] < 128).any()
    assert (grid[:, 56:62] == 255).all()
    for image, copy in zip(images, before, strict=True):
        assert (image == copy).all()


def test_no_images_give_an_empty_grid():
    assert (image_grid([], []) == 255).all()


def test_invalid_grids_are_rejected():
    with pytest.raises(ValueError, match="1 images need 1 captions, got 2"):
        image_grid([plain(1)], ["a", "b"])
    with pytest.raises(ValueError, match="must be above 0, got 0, 9"):
        image_grid([plain(1)], ["a"], columns=0, cell_px=9)


def test_samples_show_each_class_without_small_faces(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(make_grey_image(100, 60)))
    boxes = np.array([[0, 0, 30, 30], [40, 0, 70, 30], [80, 0, 85, 5]], np.float32)
    labels = (Label.MASK, Label.NO_MASK, Label.INCORRECT)
    whole = Example(path, np.zeros((0, 4), np.float32), (Label.MASK,), "real")
    grid = samples_grid([Example(path, boxes, labels, "town"), whole], columns=2)
    # three images, two lines of text each: label and source
    assert grid.shape[0] == 2 * (128 + 30) + 3 * 6
    one_each = samples_grid([Example(path, boxes, labels), whole], n_per_class=1)
    assert one_each.shape[1] == 2 * 128 + 3 * 6


@pytest.fixture
def judged(tmp_path):
    """Return three mistakes and one correct prediction in two images."""
    paths = [tmp_path / name for name in ("a.png", "b.png")]
    for path in paths:
        path.write_bytes(encode_png(make_grey_image(100, 60)))
    probs = [[0.6, 0.4, 0], [0.9, 0.1, 0], [0.1, 0.2, 0.7], [1, 0, 0]]
    boxes = np.array([[0, 0, 30, 30]] * 4, np.float32)
    example = Example(paths[0], boxes[:2], (Label.NO_MASK, Label.NO_MASK), "town")
    other = Example(paths[1], boxes[2:], (Label.MASK, Label.MASK), "town")
    return FacePredictions.from_images(
        [
            ClassifiedFaces(
                one,
                MeasuredBoxes.from_image(make_grey_image(100, 60), one.boxes),
                one.label_values,
                np.array(rows, np.float32),
            )
            for one, rows in ((example, probs[:2]), (other, probs[2:]))
        ]
    )


def test_mistakes_are_sorted_by_confidence(judged):
    mistakes = worst_mistakes(judged)
    assert [(one.ground_truth, one.predicted) for one in mistakes] == [
        (Label.NO_MASK, Label.MASK),
        (Label.MASK, Label.INCORRECT),
        (Label.NO_MASK, Label.MASK),
    ]
    assert [one.probability for one in mistakes] == pytest.approx([0.9, 0.7, 0.6])
    assert [one.path.name for one in mistakes] == ["a.png", "b.png", "a.png"]
    assert worst_mistakes(judged, limit=1) == mistakes[:1]
    assert mistakes[0].to_json() == {
        "file": "a.png",
        "box": [0, 0, 30, 30],
        "ground_truth": "no_mask",
        "predicted": "mask",
        "probability": 0.9,
    }
    assert mistakes_grid(mistakes).shape[1] == 3 * 128 + 4 * 6


def test_a_report_folder_contains_all_metrics_and_charts(tmp_path, judged):
    folder = tmp_path / "runs" / "one"
    nobody = judged.predictions.select(np.zeros(4, bool))
    predictions = {"kaggle-val/true": random_predictions(150), "faces-test": nobody}
    log = [
        {"epoch": 1, "stage": 1, "loss": 1.0, "accuracy": 0.5},
        {"epoch": 2, "stage": 1, "loss": 0.5, "accuracy": 0.7},
    ]
    written = write_report(
        folder, predictions, log=log, title="a run", mistakes=worst_mistakes(judged)
    )
    assert sorted(folder.iterdir()) == sorted(written)
    names = {path.name for path in written}
    assert "kaggle-val-true-roc.svg" in names
    assert {"learning-loss.png", "learning-accuracy.svg"} <= names
    assert len(written) == 1 + 2 * (7 + 2)
    text = (folder / "report.json").read_text()
    assert str(tmp_path) not in text
    content = json.loads(text)
    assert content["title"] == "a run"
    assert content["log"] == log
    assert [row["file"] for row in content["mistakes"]] == ["a.png", "b.png", "a.png"]
    one = content["sets"]["kaggle-val/true"]
    assert one["n"] == sum(map(sum, one["confusion"])) == 150
    assert set(one["three_class"]["classes"]) == {"mask", "no_mask", "incorrect"}
    assert {"face size", "light", "source"} <= {row["name"] for row in one["slices"]}


def test_one_set_needs_no_prefix(tmp_path, monkeypatch):
    monkeypatch.setattr(
        evaluation_report, "save_chart", lambda chart, folder, name, **how: [name]
    )
    report, *names = write_report(tmp_path, {"ilc-val/true": random_predictions(40)})
    assert json.loads(report.read_text())["log"] is None
    assert {"confusion", "roc", "roc-classes", "slices"} < set(names)
    assert not any(name.startswith("ilc") for name in names)


def test_no_faces_give_null_metrics_and_no_charts(tmp_path):
    nobody = random_predictions(9).select(np.zeros(9, bool))
    written = write_report(tmp_path, {"x": nobody})
    assert [path.name for path in written] == ["report.json"]
    content = json.loads(written[0].read_text())
    assert content["sets"]["x"]["n"] == 0
    assert content["sets"]["x"]["slices"] == []


def test_a_chart_is_saved_as_png_and_as_svg_with_texts(tmp_path):
    chart = charts.confusion_matrix_chart(random_predictions(30))
    svg, png = save_chart(chart, tmp_path, "matrix")
    assert "Incorrect" in svg.read_text()
    image = cv2.imread(str(png))
    # twice the resolution of 300 x 220
    assert image.shape[0] > 2 * 220
    assert image.shape[1] > 2 * 300
    assert image[0, -1].tolist() == [255, 255, 255]


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r"'maskdet\[report\]'"):
        save_chart(
            charts.confusion_matrix_chart(random_predictions(9)), tmp_path, "matrix"
        )


NAMES = {"mask": "口罩", "no_mask": "Plain", "incorrect": "Sloppy"}


def test_charts_have_custom_names_if_a_png_can_show_them(tmp_path, monkeypatch):
    charts_of, pngs = evaluation_report.save_chart, []

    def save(chart, folder, name, *, png_chart=None):
        pngs.append(json.dumps(png_chart or chart, ensure_ascii=False))
        return charts_of(chart, folder, name, png_chart=png_chart)

    monkeypatch.setattr(evaluation_report, "save_chart", save)
    style = Style(class_names=NAMES)
    write_report(tmp_path, {"x": random_predictions(60)}, style=style)
    for name in ("confusion", "roc-classes", "precision-recall"):
        drawing = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        words = set(re.findall(r">([^<]+)<", drawing))
        assert set(NAMES.values()) <= words
        assert not {"Mask", "No mask", "Incorrect"} & words
    assert not any("口罩" in chart for chart in pngs)
    assert sum('"Plain"' in chart and '"Mask"' in chart for chart in pngs) == 3
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["labels"] == ["mask", "no_mask", "incorrect"]


def test_grids_have_custom_names_in_letters_of_the_font(tmp_path, judged):
    path = tmp_path / "c.png"
    path.write_bytes(encode_png(make_grey_image(40, 40)))
    style, nowhere = Style(class_names=NAMES), np.zeros((0, 4), np.float32)

    def samples(label):
        return [Example(path, nowhere, (label,), "town")]

    def mistakes(truth, predicted):
        worst = worst_mistakes(judged)
        return [replace(one, ground_truth=truth, predicted=predicted) for one in worst]

    for make, given, differs in (
        (samples_grid, samples(Label.NO_MASK), True),
        (samples_grid, samples(Label.MASK), False),
        (mistakes_grid, mistakes(Label.NO_MASK, Label.MASK), True),
        (mistakes_grid, mistakes(Label.MASK, Label.NO_MASK), True),
        (mistakes_grid, mistakes(Label.MASK, Label.MASK), False),
    ):
        assert np.array_equal(make(given), make(given, style=style)) is not differs
    grids = [image_grid([plain(1)], [text]) for text in ("口", "?")]
    assert np.array_equal(*grids)
