"""The charts of a labelled set: their numbers are those of the result."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from maskdet.evaluation.operating_point import MISSED, NO_FACE, Evaluator
from maskdet.metrics.intervals import Estimate
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.charts import (
    confidence_histogram_chart,
    count_in_bins,
    no_mask_histogram_chart,
    score_histogram_chart,
    tuning_confusion_chart,
    tuning_curves_chart,
)
from maskdet.tuning.curves import TuningCurve
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set


@pytest.fixture(scope="module")
def result():
    return Evaluator(make_crowded_set(40))(Settings())


def make_curve(label, x, point=(np.nan, np.nan)):
    area = Estimate(0.5, 0.4, 0.6, 9)
    return TuningCurve(label, x, np.linspace(0, 1, len(x)), x[::-1], area, point=point)


def test_histograms_of_scores_agree_with_the_confusion_matrix(result):
    counts, above = Counter(), Counter()
    drawn = score_histogram_chart(result)["datasets"]
    for bar in drawn["bars"]:
        counts[bar["part"]] += bar["count"]
        if bar["low"] >= result.settings.min_score:
            above[bar["part"]] += bar["count"]
    detected = result.confusion[:, :MISSED].sum(axis=1)
    assert above["Faces"] == detected[:NO_FACE].sum() < counts["Faces"]
    assert above["No face"] == detected[NO_FACE] < counts["No face"]
    assert drawn["lines"] == [{"threshold": result.settings.min_score}]


def test_a_bin_has_its_lower_edge_and_the_last_both():
    # As float32, most of the edges are a little below or above themselves.
    edges = np.arange(50) / 50
    for values in (edges, np.nextafter(edges + 0.02, 0, dtype=np.float32)):
        assert count_in_bins(values.astype(np.float32)) == [1] * 50
    assert count_in_bins(np.ones(2, np.float32)) == [0] * 49 + [2]


def test_confidences_are_split_by_whether_the_class_is_right(result):
    drawn = confidence_histogram_chart(result)["datasets"]
    counts = Counter()
    for bar in drawn["bars"]:
        counts[bar["part"]] += bar["count"]
    is_face = (result.actual >= 0) & (result.actual != NO_FACE)
    right = (result.probs.argmax(axis=1) == result.actual) & is_face
    assert counts["Correct class"] == right.sum() > 0
    assert counts["Wrong class"] == (is_face & ~right).sum()
    assert drawn["lines"] == [{"threshold": result.settings.min_confidence}]


def test_the_abstention_band_is_not_moved_in_the_chart(result):
    charts = {
        True: [score_histogram_chart(result), confidence_histogram_chart(result)],
        False: [
            score_histogram_chart(result, clickable=False),
            no_mask_histogram_chart(result, 0.3, 0.7, Style()),
        ],
    }
    for is_clickable, specs in charts.items():
        for spec in specs:
            targets = spec["layer"][-1]
            assert bool(targets.get("params")) == is_clickable
            assert ("cursor" in targets["mark"]) == is_clickable


def test_cells_have_the_counts_of_the_result(result):
    cells = tuning_confusion_chart(result, Style())["datasets"]["cells"]
    for cell in cells:
        assert cell["count"] == result.confusion[cell["row"], cell["column"]]
    assert sum(cell["count"] for cell in cells) == result.confusion.sum()


def test_a_curve_with_many_points_is_simplified():
    curve = make_curve(Label.NO_MASK, np.linspace(0, 1, 20_000), (0.5, 1.0))
    drawn = tuning_curves_chart([curve], "roc", Style())["datasets"]
    assert len(drawn["points"]) == 2
    [dot] = drawn["dots"]
    assert (dot["curve"], dot["x"], dot["y"]) == ("No mask", 0.5, 1.0)


def test_the_axis_of_false_positives_ends_at_the_point_or_the_curve():
    for point_x, x_max in ((0.1, 2.0), (2.0, 6.0), (9.0, 10.0), (np.nan, 2.0)):
        curve = make_curve(None, np.linspace(0, 10, 50), (point_x, 0.5))
        drawn = tuning_curves_chart([curve], "froc", Style())
        assert drawn["layer"][0]["encoding"]["x"]["scale"]["domain"] == [0, x_max]
