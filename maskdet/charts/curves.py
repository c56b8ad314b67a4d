"""ROC and precision-recall curves from scores, with the point that is in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import altair as alt
import numpy as np

from maskdet.charts.look import (
    GREY,
    PERCENT_FORMAT,
    ChartRow,
    chart_title,
    encode_label_colour,
    encode_label_dash,
    encode_run_colour,
    format_face_count,
    inline_data,
    layer_charts,
)
from maskdet.charts.thinning import simplify_line
from maskdet.metrics.answers import Predictions
from maskdet.metrics.classification import threshold_curves
from maskdet.metrics.questions import (
    CLASS_TASKS,
    BinaryTask,
    BinaryTaskName,
    binarize,
)
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

CurveSelection: TypeAlias = BinaryTaskName | Literal["classes"]
"""One question with a colour a run, or the three classes with a colour each."""

_CurveKind: TypeAlias = Literal["roc", "pr"]

_AXIS_TITLES: Mapping[_CurveKind, tuple[str, str]] = {
    "roc": ("Others called so", "Found (recall)"),
    "pr": ("Found (recall)", "Right when said (precision)"),
}

_AREA_TITLES: Mapping[_CurveKind, str] = {"roc": "Area", "pr": "Average precision"}

_TASK_TITLES: Mapping[CurveSelection, str] = {
    "wearing": "mask against no mask",
    "classes": "class by class",
}


def roc_chart(
    predictions: Mapping[str, Predictions],
    *,
    task: CurveSelection = "wearing",
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return ROC curves; the dot is what is said at the default threshold.

    Args:
        predictions: name of a run to its answers, all on the same set.
        task: one question, or `classes` for three curves a run.
        style: names and colours of the classes.
    """
    rows = _curve_rows(predictions, task, "roc", style)
    diagonal = (
        alt.Chart(inline_data([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(color=GREY, strokeDash=[3, 3], strokeWidth=1)
        .encode(x="x:Q", y="y:Q")
    )
    layers = _curve_layers(rows, "roc", list(predictions), task, style)
    title_text = _task_title(task, style)
    title = chart_title(
        f"ROC, {title_text}", format_face_count(map(len, predictions.values()))
    )
    return layer_charts(title, diagonal, *layers)


def precision_recall_chart(
    predictions: Mapping[str, Predictions],
    *,
    task: CurveSelection = "wearing",
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return precision-recall curves; see `roc_chart` for the arguments and the dot."""
    rows = _curve_rows(predictions, task, "pr", style)
    layers = _curve_layers(rows, "pr", list(predictions), task, style)
    title_text = _task_title(task, style)
    title = chart_title(
        f"Precision and recall, {title_text}",
        format_face_count(map(len, predictions.values())),
    )
    return layer_charts(title, *layers)


def _task_title(task: CurveSelection, style: Style) -> str:
    if task in _TASK_TITLES:
        return _TASK_TITLES[task]
    return f"{style.title(CLASSES[CLASS_TASKS.index(task)])} against the rest"


def _curve_rows(
    predictions: Mapping[str, Predictions],
    task: CurveSelection,
    kind: _CurveKind,
    style: Style,
) -> tuple[list[ChartRow], list[ChartRow]]:
    """Return the points of all curves, and the one point of each that is in use."""
    lines: list[ChartRow] = []
    dots: list[ChartRow] = []
    for run, title, binary_task in _binary_tasks(predictions, task, style):
        if binary_task.ground_truth.all() or not binary_task.ground_truth.any():
            continue  # one side is missing, so there is no curve
        curves = threshold_curves(binary_task.ground_truth, binary_task.scores)
        if kind == "roc":
            # From nobody called so to everybody.
            x = np.concatenate([[0.0], curves.false_positive_rates])
            y = np.concatenate([[0.0], curves.recalls])
            thresholds = np.concatenate([curves.thresholds[:1], curves.thresholds])
            area = curves.roc_area
        else:
            x, y, thresholds = curves.recalls, curves.precisions, curves.thresholds
            area = curves.average_precision
        common_fields: ChartRow = {"run": run, "class": title, "area": round(area, 4)}
        for index in simplify_line(x, y):
            threshold = round(float(thresholds[index]), 4)
            lines.append(
                {
                    **common_fields,
                    **_point_row(x[index], y[index]),
                    "threshold": threshold,
                }
            )
        if binary_task.predicted.any():
            dots.append(
                {**common_fields, **_point_row(*_operating_point(binary_task, kind))}
            )
    return lines, dots


def _binary_tasks(
    predictions: Mapping[str, Predictions], task: CurveSelection, style: Style
) -> Iterator[tuple[str, str, BinaryTask]]:
    """Yield run, class (empty for a single question) and what was asked."""
    for run, run_predictions in predictions.items():
        if task != "classes":
            yield run, "", binarize(run_predictions.classification, task)
            continue
        for label, class_task in zip(CLASSES, CLASS_TASKS, strict=True):
            yield (
                run,
                style.title(label),
                binarize(run_predictions.classification, class_task),
            )


def _point_row(x: float, y: float) -> ChartRow:
    return {"x": round(float(x), 5), "y": round(float(y), 5)}


def _operating_point(task: BinaryTask, kind: _CurveKind) -> tuple[float, float]:
    """Return where the decisions that were taken lie."""
    true_positives = int((task.ground_truth & task.predicted).sum())
    recall = true_positives / int(task.ground_truth.sum())
    if kind == "roc":
        false_positives = int((~task.ground_truth & task.predicted).sum())
        return false_positives / int((~task.ground_truth).sum()), recall
    return recall, true_positives / int(task.predicted.sum())


def _curve_tooltips(
    kind: _CurveKind, *, several: bool, classes: bool
) -> list[alt.Tooltip]:
    x_title, y_title = _AXIS_TITLES[kind]
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        *[alt.Tooltip("class:N", title="Class")] * classes,
        alt.Tooltip("x:Q", title=x_title, format=PERCENT_FORMAT),
        alt.Tooltip("y:Q", title=y_title, format=PERCENT_FORMAT),
        alt.Tooltip("area:Q", title=_AREA_TITLES[kind], format=".4f"),
    ]


def _curve_layers(
    rows: tuple[list[ChartRow], list[ChartRow]],
    kind: _CurveKind,
    runs: list[str],
    task: CurveSelection,
    style: Style,
) -> list[alt.Chart]:
    """Return the lines, what a pointer near them reads, and the dots in use."""
    lines, dots = rows
    x_title, y_title = _AXIS_TITLES[kind]
    tooltips = _curve_tooltips(kind, several=len(runs) > 1, classes=task == "classes")
    unit_scale = alt.Scale(domain=[0, 1])
    common = {
        "x": alt.X("x:Q", title=x_title, scale=unit_scale, axis=alt.Axis(format="%")),
        "y": alt.Y("y:Q", title=y_title, scale=unit_scale, axis=alt.Axis(format="%")),
        "color": encode_label_colour(style)
        if task == "classes"
        else encode_run_colour(runs),
        "detail": ["run:N", "class:N"],
        "order": alt.Order("place:Q"),
    }
    dash = {"strokeDash": encode_label_dash(style)} if task == "classes" else {}
    threshold_tooltips = [
        *tooltips,
        alt.Tooltip("threshold:Q", title="From score", format=".3f"),
    ]
    operating_tooltips = [*tooltips, alt.Tooltip("what:N", title="Point")]
    base = alt.Chart(inline_data({**row, "place": n} for n, row in enumerate(lines)))
    operating_points = alt.Chart(
        inline_data({**row, "what": "as labelled by default"} for row in dots)
    )
    # A step, as between two thresholds that occur nothing changes.
    steps: Literal["linear", "step-before"] = (
        "linear" if kind == "roc" else "step-before"
    )
    return [
        base.mark_line(interpolate=steps, strokeWidth=2).encode(**common, **dash),
        base.mark_point(size=120, opacity=0, filled=True).encode(
            **common, tooltip=threshold_tooltips
        ),
        operating_points.mark_point(
            size=90, filled=True, opacity=1, stroke=GREY
        ).encode(**common, tooltip=operating_tooltips),
    ]
