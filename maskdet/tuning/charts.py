"""Charts of a labelled set at an operating point, for pages and reports."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from maskdet.charts.classification import (
    confusion_heatmap,
    interval_fields,
    reliability_curves_chart,
    slice_rates_chart,
)
from maskdet.charts.curves import (
    FACES_TITLE,
    ChartCurve,
    ThresholdCurveKind,
    threshold_curves_chart,
)
from maskdet.charts.spec import GREY, THRESHOLD_COLOUR, VegaSpec, label_dash
from maskdet.charts.tuning import (
    NO_FACE_TITLE,
    threshold_histogram,
    threshold_rates_chart,
)
from maskdet.evaluation.operating_point import NO_FACE, EvaluationResult
from maskdet.metrics.matching import BoolArray, Float32Array
from maskdet.style import Style
from maskdet.tuning.calibration import CalibrationFit
from maskdet.tuning.class_metrics import SliceMetrics
from maskdet.tuning.curves import ThresholdRates, TuningCurve
from maskdet.types import CLASSES, Label

_HISTOGRAM_EDGES: Final = np.linspace(0, 1, 51)


def actual_titles(style: Style) -> tuple[str, ...]:
    """Return the titles of the rows of the confusion matrix: the actual classes."""
    return (*map(style.title, CLASSES), NO_FACE_TITLE)


def predicted_titles(style: Style) -> tuple[str, ...]:
    """Return the titles of the columns of the confusion matrix: the predictions."""
    return (*map(style.title, CLASSES), style.title(Label.UNKNOWN), "Missed")


def score_histogram_chart(
    outcome: EvaluationResult, *, clickable: bool = True
) -> VegaSpec:
    """Return histograms of faces and of false positives, with the threshold.

    Args:
        outcome: the result.
        clickable: see `threshold_histogram`.
    """
    # Scores below the threshold are shown too, so that it can be lowered.
    swept = outcome.change_settings(min_score=0)
    parts = {
        FACES_TITLE: swept.scores[_is_face(swept)],
        NO_FACE_TITLE: swept.scores[swept.actual == NO_FACE],
    }
    return threshold_histogram(
        _HISTOGRAM_EDGES.tolist(),
        {title: count_in_bins(scores) for title, scores in parts.items()},
        [outcome.settings.min_score],
        colours={FACES_TITLE: "#1f83d6", NO_FACE_TITLE: GREY},
        x_title="Detection score",
        clickable=clickable,
    )


def confidence_histogram_chart(outcome: EvaluationResult) -> VegaSpec:
    """Return histograms of the confidence of right and wrong classes of faces."""
    is_face = _is_face(outcome)
    is_right = outcome.probs.argmax(axis=1) == outcome.actual
    colours = {"Correct class": "#1f83d6", "Wrong class": "#c77700"}
    masks = (is_face & is_right, is_face & ~is_right)
    return threshold_histogram(
        _HISTOGRAM_EDGES.tolist(),
        {
            title: count_in_bins(outcome.confidences[mask])
            for title, mask in zip(colours, masks, strict=True)
        },
        [outcome.settings.min_confidence],
        colours=colours,
        x_title="Confidence",
    )


def no_mask_histogram_chart(
    outcome: EvaluationResult, low: float, high: float, style: Style
) -> VegaSpec:
    """Return histograms of the "no mask" probability, with the abstention band."""
    no_mask = style.title(Label.NO_MASK)
    no_mask_probs = outcome.probs[:, Label.NO_MASK]
    is_no_mask = outcome.actual == Label.NO_MASK
    is_masked = np.isin(outcome.actual, (Label.MASK, Label.INCORRECT))
    masked = f"{style.title(Label.MASK)} or {style.title(Label.INCORRECT).lower()}"
    colours = {
        no_mask: style.colour_css(Label.NO_MASK),
        masked: style.colour_css(Label.MASK),
    }
    return threshold_histogram(
        _HISTOGRAM_EDGES.tolist(),
        {
            title: count_in_bins(no_mask_probs[mask])
            for title, mask in zip(colours, (is_no_mask, is_masked), strict=True)
        },
        [low, high],
        colours=colours,
        x_title=f"Probability of “{no_mask}”",
        clickable=False,
    )


def count_in_bins(values: Float32Array) -> list[int]:
    """Count scores or probabilities in bins of equal width from 0 to 1.

    A bin includes its lower edge, because a score equal to a threshold passes it; the
    last one includes both.
    """
    # Scores are float32, so the edges are compared as float32.
    counts, _ = np.histogram(values, _HISTOGRAM_EDGES.astype(np.float32))
    return [int(count) for count in counts]


def _is_face(outcome: EvaluationResult) -> BoolArray:
    """Return which detections are true faces."""
    is_face: BoolArray = (outcome.actual >= 0) & (outcome.actual != NO_FACE)
    return is_face


def detection_rates_chart(rates: ThresholdRates, min_score: float) -> VegaSpec:
    """Return precision, recall and F1 against the detection threshold."""
    return threshold_rates_chart(
        rates.thresholds.tolist(),
        {
            "Precision": rates.precisions.tolist(),
            "Recall": rates.recalls.tolist(),
            "F1": rates.f1s.tolist(),
        },
        min_score,
        rates.best_threshold,
        x_title="Face detection threshold",
    )


def tuning_confusion_chart(
    outcome: EvaluationResult,
    style: Style,
    selected_cell: tuple[int, int] | None = None,
    *,
    dark: bool = False,
) -> VegaSpec:
    """Return the confusion matrix, with missed faces and false positives.

    Args:
        outcome: the result.
        style: names of the classes.
        selected_cell: row and column of the outlined cell.
        dark: whether the page is dark.
    """
    return confusion_heatmap(
        outcome.confusion.tolist(),
        actual_titles(style),
        predicted_titles(style),
        selected=selected_cell,
        clickable=True,
        height=300,
        dark=dark,
    )


def tuning_curves_chart(
    curve_list: Sequence[TuningCurve], kind: ThresholdCurveKind, style: Style
) -> VegaSpec:
    """Return curves over all thresholds, with a dot at the current settings."""
    return threshold_curves_chart(
        [_to_chart_curve(curve, style) for curve in curve_list],
        kind,
        x_max=_fp_axis_end(curve_list[0]) if kind == "froc" else 1.0,
    )


def _fp_axis_end(curve: TuningCurve) -> float | None:
    """Return the end of the false-positive axis: 3 times the point, but 2 or more."""
    if not len(curve.x):
        return None
    current = curve.point[0] if not math.isnan(curve.point[0]) else 0.0
    last_x = float(curve.x[-1])
    end = min(last_x, max(2.0, 3 * current))
    # The chart would format an axis that ends at 1 in percent.
    return end if end != 1.0 else 1.01


def _to_chart_curve(curve: TuningCurve, style: Style) -> ChartCurve:
    point = None if any(map(math.isnan, curve.point)) else curve.point
    area = curve.area.value
    numbers = curve.x, curve.y, curve.thresholds, point, area
    if curve.label is None:
        return ChartCurve(FACES_TITLE, *numbers)
    colour, dash = style.colour_css(curve.label), label_dash(curve.label)
    return ChartCurve(style.title(curve.label), *numbers, colour=colour, dash=dash)


def calibration_comparison_chart(fitted: CalibrationFit) -> VegaSpec:
    """Return reliability curves before and after calibration."""
    curves_by_name = {"Uncalibrated": fitted.before, "Calibrated": fitted.after}
    colours = dict(zip(curves_by_name, (GREY, THRESHOLD_COLOUR), strict=True))
    return reliability_curves_chart(curves_by_name, colours)


def slice_accuracy_chart(slice_rows: tuple[SliceMetrics, ...]) -> VegaSpec:
    """Return the rate of correct faces by subset, with intervals."""
    rows = [
        {
            "run": "",
            "slice": f"{slice_row.name}: {slice_row.part}",
            **interval_fields(slice_row.correct_rate),
            "worse": slice_row.worse,
        }
        for slice_row in slice_rows
        if slice_row.correct_rate.n
    ]
    return slice_rates_chart(
        rows,
        {"": THRESHOLD_COLOUR},
        x_title="Detected and classified correctly",
        from_zero=True,
    )
