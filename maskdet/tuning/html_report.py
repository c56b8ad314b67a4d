"""Tuning report: one self-contained HTML page with tables and SVG charts.

The page has no scripts, fonts or external files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from maskdet.charts.curves import FACES_TITLE, ThresholdCurveKind
from maskdet.charts.spec import VegaSpec, render_svg
from maskdet.charts.tuning import NO_FACE_TITLE
from maskdet.evaluation.operating_point import (
    EvaluationResult,
)
from maskdet.html_templates import render_html_file
from maskdet.metrics.intervals import Estimate
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.tuning.charts import (
    score_histogram_chart,
    tuning_confusion_chart,
    tuning_curves_chart,
)
from maskdet.tuning.class_metrics import (
    ClassMetrics,
    compute_class_metrics,
    compute_slice_metrics,
)
from maskdet.tuning.comparison import Comparison
from maskdet.tuning.curves import CurveKind, compute_curve
from maskdet.tuning.goal_search import PER_IMAGE_NOTE, Proposal
from maskdet.types import CLASSES, Label
from maskdet.wording import format_count

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDE_PX = 640
"""Width of a chart that has a row of its own."""

_SETTING_ROWS = (
    ("Detection threshold", "min_score", ""),
    ("Confidence threshold", "min_confidence", ""),
    ("Minimum face size", "min_face_px", " px"),
    ("NMS IoU", "nms_iou", ""),
)

_METRIC_TITLES = (
    "Precision",
    "Recall",
    "F1",
    "False positives per image",
    "True faces",
)

_Table: TypeAlias = tuple[Sequence[str], Iterable[Sequence[str]]]
"""Heading and rows; the first cell of each row is its heading, and what follows a line
break in a cell is shown below it in small type."""


class _CurvePanel(NamedTuple):
    kind: ThresholdCurveKind
    title: str
    description: str
    labels: Sequence[Label | None]


_CURVE_PANELS = (
    _CurvePanel(
        "precision_recall",
        "Precision and recall",
        "Precision against recall for every detection threshold. The dot marks the "
        "current settings.",
        (None, *CLASSES),
    ),
    _CurvePanel(
        "roc",
        "ROC of detected faces",
        "Recall against false-positive rate for every threshold on the probability of "
        "the class. Curves nearer to the upper left are better.",
        CLASSES,
    ),
    _CurvePanel(
        "froc",
        "Face detection (FROC)",
        "Recall of faces against boxes that are not a face, for every detection "
        "threshold.",
        (None,),
    ),
)


def render_html_report(
    result: EvaluationResult,
    *,
    proposal: Proposal | None = None,
    comparison: Comparison | None = None,
    style: Style = DEFAULT_STYLE,
) -> str:
    """Render metrics, charts, settings and goal as one self-contained HTML page.

    Args:
        result: result of the settings on the set.
        proposal: settings for a goal.
        comparison: comparison of this result (A) with another on the same set (B).
        style: names and colours of the classes.

    Raises:
        MissingExtraError: the library that renders charts is not installed.
    """
    ground_truth, name = result.predictions.ground_truth, result.predictions.analyzer
    return render_html_file(
        "tuning/report.html.jinja",
        title=f"{name} on {ground_truth.name}",
        size=f"{format_count(len(ground_truth.names), 'image')}, "
        f"{format_count(len(ground_truth.faces), 'true face')}",
        proposal=None if proposal is None else _describe_proposal(proposal, style),
        settings=_settings_table([("Value", result.settings)]),
        notes=[
            " ".join(_describe_method(result)),
            *[PER_IMAGE_NOTE] * (proposal is None),
        ],
        classes=_classes_table(result, style),
        confusion=_draw(tuning_confusion_chart(result, style), _WIDE_PX),
        no_face=NO_FACE_TITLE,
        curves=[_describe_curves(result, panel, style) for panel in _CURVE_PANELS],
        histogram=_draw(score_histogram_chart(result, clickable=False), _WIDE_PX),
        slices=_slices_table(result),
        comparison=None if comparison is None else _describe_comparison(comparison),
    )


def _draw(chart: VegaSpec, width: int | None = None) -> Markup:
    """Return a chart as SVG, whose texts are escaped by the library that draws it."""
    from markupsafe import Markup

    size = {} if width is None else {"width": width}
    return Markup(render_svg({**chart, **size}, inline=True))


def _describe_curves(
    result: EvaluationResult, panel: _CurvePanel, style: Style
) -> dict[str, str]:
    kind: CurveKind = "precision_recall" if panel.kind == "precision_recall" else "roc"
    curves = [compute_curve(result, kind, label) for label in panel.labels]
    return {
        "title": panel.title,
        "description": panel.description,
        "svg": _draw(tuning_curves_chart(curves, panel.kind, style)),
        "areas": "; ".join(
            f"{'faces' if curve.label is None else style.title(curve.label)} "
            f"{format_estimate(curve.area, ', ')}"
            for curve in curves
        ),
    }


def _settings_table(columns: Sequence[tuple[str, Settings]]) -> _Table:
    """Return settings side by side, one column for each title."""
    rows = [
        (name, *(f"{getattr(settings, field):g}{unit}" for _, settings in columns))
        for name, field, unit in _SETTING_ROWS
    ]
    return ("", *(title for title, _ in columns)), rows


def _classes_table(result: EvaluationResult, style: Style) -> _Table:
    rows = [
        (
            FACES_TITLE if row.label is None else style.title(row.label),
            *_metric_cells(row),
        )
        for row in compute_class_metrics(result)
    ]
    return ("", *_METRIC_TITLES), rows


def _slices_table(result: EvaluationResult) -> _Table:
    """Return the metrics of the slices, and which are worse than the rest."""
    rows = [
        (
            f"{part.name}: {part.part}",
            format_estimate(part.detection_recall),
            format_estimate(part.correct_rate),
            f"{part.correct_rate.n:,}",
            "significantly worse" if part.worse else "",
        )
        for part in compute_slice_metrics(result)
    ]
    return ("Subset", "Recall", "Detected and correct", "True faces", ""), rows


def _describe_proposal(proposal: Proposal, style: Style) -> dict[str, object]:
    """Return the goal, the proposed settings, and whether the goal is guaranteed."""
    rows = [
        (title, *_metric_cells(performance))
        for title, performance in (
            ("Current settings", proposal.performance_before),
            ("Proposed", proposal.performance_after),
            ("Proposed, on the selection half", proposal.selection_performance),
        )
    ]
    both = (
        ("Current", proposal.settings_before),
        ("Proposed", proposal.settings_after),
    )
    n_images = proposal.selection_performance.n_images
    return {
        "title": proposal.goal.title(style),
        "state": proposal.guarantee.state,
        "messages": proposal.messages,
        "settings": _settings_table(both),
        "performance": ((style.title(proposal.goal.label), *_METRIC_TITLES), rows),
        "note": f"Selected on {format_count(n_images, 'image')}; the first two rows "
        f"are on the other {proposal.performance_after.n_images:,} (holdout).",
    }


def _metric_cells(metrics: ClassMetrics) -> tuple[str, ...]:
    return (
        *map(format_estimate, metrics.estimates.values()),
        f"{metrics.recall.n:,}",
    )


def _describe_comparison(comparison: Comparison) -> dict[str, object]:
    """Return the comparison of two results with McNemar's test."""
    rows = [
        (
            name.upper(),
            format_estimate(getattr(comparison, f"correct_rate_{name}")),
            f"{len(getattr(comparison, f'only_{name}')):,}",
            format_estimate(getattr(comparison, f"false_positives_per_image_{name}")),
        )
        for name in "ab"
    ]
    head = ("", "Detected and correct", "Only this one", "False positives per image")
    verb = "is not" if comparison.p_value >= 0.05 else "is"
    return {
        "table": (head, rows),
        "note": f"{format_count(comparison.both, 'face')} correct in both, "
        f"{comparison.neither:,} in neither. The difference {verb} significant at 5 % "
        f"(McNemar, p = {comparison.p_value:.3g}).",
    }


def format_estimate(estimate: Estimate, separator: str = "\n") -> str:
    """Format a value with its interval, which tables show below the value."""
    if math.isnan(estimate.value):
        return "none"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f}{separator}{estimate.low:.3f} to {estimate.high:.3f}"


def _describe_method(result: EvaluationResult) -> Iterable[str]:
    yield f"A detection matches a true face at an IoU of at least {result.min_iou:g}."
    if result.temperature != 1:
        yield (
            "Confidences are calibrated with a temperature of "
            f"{result.temperature:.2f}, which Live does not apply."
        )
