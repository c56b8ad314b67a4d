"""Charts of the Tune page, built from evaluation results."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from maskdet.charts.tuning import (
    NO_FACE_TITLE,
    VegaSpec,
    confusion_heatmap,
    threshold_histogram,
)
from maskdet.charts.tuning_curves import (
    FACES_TITLE,
    ChartCurve,
    calibration_chart,
    slice_rates_chart,
    threshold_curves_chart,
)
from maskdet.evaluation.operating_point import EvaluationResult
from maskdet.metrics.calibration import ReliabilityCurve
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.style import Style
from maskdet.tuning import curves
from maskdet.tuning.calibration import CalibrationFit
from maskdet.tuning.class_metrics import SliceMetrics
from maskdet.tuning.curves import HistogramQuantity, TuningCurve
from maskdet.types import CLASSES, Label

SCORE_TITLES: Mapping[HistogramQuantity, str] = {
    "score": "Detection score",
    "confidence": "Confidence",
}


def actual_titles(style: Style) -> tuple[str, ...]:
    """Return the titles of the rows of the confusion matrix: the actual classes."""
    return (*map(style.title, CLASSES), NO_FACE_TITLE)


def predicted_titles(style: Style) -> tuple[str, ...]:
    """Return the titles of the columns of the confusion matrix: the predictions."""
    return (*map(style.title, CLASSES), style.title(Label.UNKNOWN), "Missed")


def score_histogram_chart(
    outcome: EvaluationResult, score_kind: HistogramQuantity, style: Style
) -> VegaSpec:
    """Return the histogram of scores by actual class, with the threshold."""
    score_counts = curves.compute_histogram(outcome, score_kind)
    parts = {
        title: score_counts.counts[row].tolist()
        for row, title in enumerate(actual_titles(style))
    }
    return threshold_histogram(
        score_counts.edges.tolist(),
        parts,
        [score_counts.threshold],
        x_title=SCORE_TITLES[score_kind],
        style=style,
    )


def no_mask_histogram_chart(
    outcome: EvaluationResult, low: float, high: float, style: Style
) -> VegaSpec:
    """Return the histogram of the "no mask" probability, with the abstention band."""
    no_mask = style.title(Label.NO_MASK)
    edges = np.linspace(0, 1, 51)
    no_mask_probs = outcome.probs[:, Label.NO_MASK]
    parts = {
        title: np.histogram(no_mask_probs[outcome.actual == row], edges)[0].tolist()
        for row, title in enumerate(actual_titles(style))
    }
    return threshold_histogram(
        edges.tolist(),
        parts,
        [low, high],
        below=(no_mask,),
        x_title=f"Probability of “{no_mask}”",
        style=style,
    )


def tuning_confusion_chart(
    outcome: EvaluationResult, selected_cell: tuple[int, int] | None, style: Style
) -> VegaSpec:
    """Return the confusion matrix, with missed faces and false positives."""
    return confusion_heatmap(
        outcome.confusion.tolist(),
        actual_titles(style),
        predicted_titles(style),
        selected=selected_cell,
    )


def tuning_precision_recall_chart(
    curve_list: list[TuningCurve], style: Style
) -> VegaSpec:
    """Return precision against recall."""
    return threshold_curves_chart(
        [_to_chart_line(curve, style) for curve in curve_list],
        x_title="Recall",
        y_title="Precision",
        steps=True,
        style=style,
    )


def tuning_roc_chart(curve_list: list[TuningCurve], style: Style) -> VegaSpec:
    """Return recall against the false-positive rate among the detected faces."""
    return threshold_curves_chart(
        [_to_chart_line(curve, style) for curve in curve_list],
        x_title="False-positive rate",
        y_title="Recall",
        steps=False,
        style=style,
    )


def false_positive_chart(curve: TuningCurve, style: Style) -> VegaSpec:
    """Return face recall against false positives per image."""
    return threshold_curves_chart(
        [_to_chart_line(curve, style)],
        x_title="False positives per image",
        y_title="Face recall",
        steps=False,
        x_max=_fp_axis_end(curve),
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


def _to_chart_line(curve: TuningCurve, style: Style) -> ChartCurve:
    title = FACES_TITLE if curve.label is None else style.title(curve.label)
    has_point = not any(math.isnan(coordinate) for coordinate in curve.point)
    return ChartCurve(
        title, curve.x, curve.y, curve.thresholds, curve.point if has_point else None
    )


def calibration_comparison_chart(fitted: CalibrationFit) -> VegaSpec:
    """Return reliability curves before and after calibration."""
    curves_by_name = {"Uncalibrated": fitted.before, "Calibrated": fitted.after}
    rows = [
        row
        for name, curve in curves_by_name.items()
        for row in _reliability_rows(name, curve)
    ]
    return calibration_chart(rows, tuple(curves_by_name))


def _reliability_rows(
    name: str, curve: ReliabilityCurve
) -> list[dict[str, float | int | str]]:
    rows: list[dict[str, float | int | str]] = []
    for score, n_correct, n in zip(
        curve.scores, curve.positives, curve.counts, strict=True
    ):
        estimate = proportion(int(n_correct), int(n))
        rows.append(
            {"run": name, "score": round(float(score), 4), **_interval_fields(estimate)}
        )
    return rows


def slice_accuracy_chart(slice_rows: tuple[SliceMetrics, ...]) -> VegaSpec:
    """Return the rate of correct faces by subset, with intervals."""
    rows = [
        {
            "slice": f"{slice_row.name}: {slice_row.part}",
            **_interval_fields(slice_row.correct_rate),
        }
        for slice_row in slice_rows
        if slice_row.correct_rate.n
    ]
    return slice_rates_chart(rows, x_title="Detected and classified correctly")


def _interval_fields(estimate: Estimate) -> dict[str, float | int]:
    return {
        "rate": round(estimate.value, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "n": estimate.n,
    }
