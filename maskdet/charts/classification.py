"""Charts of classification results.

ROC and precision-recall curves, confusion matrix, reliability, accuracy by slice, and
accuracy against cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

import altair as alt
import numpy as np

from maskdet.charts.theme import (
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
    simplify_line,
)
from maskdet.metrics.calibration import (
    ReliabilityCurve,
    correct_and_confidence,
    reliability_curve,
)
from maskdet.metrics.classification import (
    CLASS_TASKS,
    BinaryTask,
    BinaryTaskName,
    ClassificationResult,
    Predictions,
    binarize,
    threshold_curves,
)
from maskdet.metrics.intervals import proportion
from maskdet.metrics.slices import Slice, evaluate_slices
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

CurveSelection: TypeAlias = BinaryTaskName | Literal["classes"]
"""One binary task with a colour for each run, or a colour for each class."""

_CurveKind: TypeAlias = Literal["roc", "pr"]

_AXIS_TITLES: Mapping[_CurveKind, tuple[str, str]] = {
    "roc": ("False-positive rate", "True-positive rate"),
    "pr": ("Recall", "Precision"),
}

_AREA_TITLES: Mapping[_CurveKind, str] = {"roc": "Area", "pr": "Average precision"}

_TASK_TITLES: Mapping[CurveSelection, str] = {
    "wearing": "mask against no mask",
    "classes": "class by class",
}

ReliabilityTarget: TypeAlias = Literal["top", "wearing"]
"""Which probability: of the predicted class, or of a mask."""

_RELIABILITY_TITLES = {"top": "predicted class", "wearing": "mask against no mask"}

# Shapes besides colours, because only five colours are distinguishable.
_SHAPES: Final = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
)


def roc_chart(
    predictions: Mapping[str, Predictions],
    *,
    task: CurveSelection = "wearing",
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return ROC curves; the dot marks the default decisions.

    Args:
        predictions: predictions by name of the run, all on the same set.
        task: a binary task, or `classes` for three curves for each run.
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
    """Return the points of all curves, and the operating point of each."""
    lines: list[ChartRow] = []
    dots: list[ChartRow] = []
    for run, title, binary_task in _binary_tasks(predictions, task, style):
        if binary_task.ground_truth.all() or not binary_task.ground_truth.any():
            continue  # there are only positives or only negatives
        curves = threshold_curves(binary_task.ground_truth, binary_task.scores)
        if kind == "roc":
            # Start at (0, 0): no positive predictions.
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
    """Yield run, title of the class (empty for a single task) and task."""
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
    """Return x and y of the decisions of a task."""
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
    """Return the lines, invisible points with tooltips, and the operating points."""
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
        "order": alt.Order("index:Q"),
    }
    dash = {"strokeDash": encode_label_dash(style)} if task == "classes" else {}
    threshold_tooltips = [
        *tooltips,
        alt.Tooltip("threshold:Q", title="Threshold", format=".3f"),
    ]
    operating_tooltips = [*tooltips, alt.Tooltip("point:N", title="Point")]
    base = alt.Chart(inline_data({**row, "index": n} for n, row in enumerate(lines)))
    operating_points = alt.Chart(
        inline_data({**row, "point": "default decision"} for row in dots)
    )
    # A step, because nothing changes between two neighbouring thresholds.
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


_LOW_FILL, _HIGH_FILL = "#eaf2fa", "#0b559f"
"""Colours of the rates 0 and 1 in a matrix; its text is black or white."""


def confusion_matrix_chart(
    labels_or_predictions: Predictions | ClassificationResult,
    *,
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return the confusion matrix, coloured by the fraction of the row."""
    labels = (
        labels_or_predictions.classification
        if isinstance(labels_or_predictions, Predictions)
        else labels_or_predictions
    )
    counts = labels.class_confusion.counts[:, : len(CLASSES)]
    rows: list[ChartRow] = [
        {
            "actual": style.title(actual),
            "predicted": style.title(predicted),
            "count": int(counts[actual, predicted]),
            "rate": float(counts[actual, predicted] / max(1, counts[actual].sum())),
        }
        for actual in CLASSES
        for predicted in CLASSES
    ]
    order = [style.title(label) for label in CLASSES]
    base = alt.Chart(inline_data(rows)).encode(
        x=alt.X(
            "predicted:N", title="Predicted", sort=order, axis=alt.Axis(labelAngle=0)
        ),
        y=alt.Y("actual:N", title="Actual", sort=order),
        tooltip=[
            alt.Tooltip("actual:N", title="Actual"),
            alt.Tooltip("predicted:N", title="Predicted"),
            alt.Tooltip("count:Q", title="Faces", format=","),
            alt.Tooltip("rate:Q", title="Fraction of row", format=PERCENT_FORMAT),
        ],
    )
    scale = alt.Scale(domain=[0, 1], range=[_LOW_FILL, _HIGH_FILL])
    text_colour = alt.condition(
        "datum.rate > 0.5", alt.ColorValue("white"), alt.ColorValue("black")
    )
    return layer_charts(
        chart_title("Confusion matrix", format_face_count([labels.class_confusion.n])),
        base.mark_rect().encode(color=alt.Color("rate:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=16, dy=-7).encode(
            text=alt.Text("count:Q", format=","), color=text_colour
        ),
        base.mark_text(fontSize=11, dy=11).encode(
            text=alt.Text("rate:Q", format=PERCENT_FORMAT), color=text_colour
        ),
    ).properties(width=300, height=220)


def reliability_chart(
    predictions: Mapping[str, Predictions], *, target: ReliabilityTarget = "top"
) -> alt.LayerChart:
    """Return observed against predicted probability; on the diagonal if calibrated.

    Args:
        predictions: predictions by name of the run, all on the same set.
        target: the probability of the predicted class, or of a mask.
    """
    curves = {
        run: _measure_reliability(run_predictions.classification, target)
        for run, run_predictions in predictions.items()
    }
    rows = [
        row for run, curve in curves.items() for row in _reliability_rows(run, curve)
    ]
    # Slightly wider than 0 to 1, so that a dot at 100 % is not clipped.
    unit_scale = alt.Scale(domain=[-0.04, 1.04], nice=False)
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    base = alt.Chart(inline_data(rows)).encode(
        x=alt.X("score:Q", title="Predicted", scale=unit_scale, axis=percent),
        color=encode_run_colour(predictions),
    )
    observed_rate = alt.Y("rate:Q", title="Observed", scale=unit_scale, axis=percent)
    tooltips = _reliability_tooltips(several=len(predictions) > 1)
    n = alt.Size("n:Q", legend=None, scale=alt.Scale(type="sqrt", range=[25, 250]))
    return layer_charts(
        chart_title(
            f"Reliability, {_RELIABILITY_TITLES[target]}",
            format_face_count(map(len, predictions.values())),
        ),
        alt.Chart(inline_data([{"score": 0, "rate": 0}, {"score": 1, "rate": 1}]))
        .mark_line(color=GREY, strokeDash=[3, 3], strokeWidth=1)
        .encode(x="score:Q", y="rate:Q"),
        base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.5).encode(y=observed_rate),
        base.mark_point(filled=True, opacity=0.9).encode(
            y=observed_rate, size=n, tooltip=tooltips
        ),
    )


def _reliability_tooltips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("score:Q", title="Predicted", format=PERCENT_FORMAT),
        alt.Tooltip("rate:Q", title="Observed", format=PERCENT_FORMAT),
        alt.Tooltip("low:Q", title="From", format=PERCENT_FORMAT),
        alt.Tooltip("high:Q", title="To", format=PERCENT_FORMAT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("ece:Q", title="ECE", format=".4f"),
    ]


def slices_chart(predictions: Mapping[str, Predictions]) -> alt.LayerChart:
    """Return the accuracy of mask against no mask by slice, with intervals.

    A slice that is significantly worse than the rest is a triangle that points down.

    Args:
        predictions: predictions by name of the run, all on the same set.
    """
    rows = [
        _slice_row(run, part)
        for run, run_predictions in predictions.items()
        for part in evaluate_slices(run_predictions)
    ]
    order = list(dict.fromkeys(str(row["slice"]) for row in rows))
    base = alt.Chart(inline_data(rows)).encode(
        y=alt.Y("slice:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)),
        yOffset=alt.YOffset("run:N", sort=list(predictions)),
        color=encode_run_colour(predictions),
        tooltip=_slice_tooltips(several=len(predictions) > 1),
    )
    shape = alt.condition(
        "datum.worse", alt.ShapeValue("triangle-down"), alt.ShapeValue("circle")
    )
    accuracy = alt.X(
        "rate:Q",
        title="Accuracy, mask against no mask",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%"),
    )
    return layer_charts(
        chart_title(
            "Accuracy by slice", format_face_count(map(len, predictions.values()))
        ),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            x=accuracy, shape=shape
        ),
    )


def _measure_reliability(
    labels: ClassificationResult, target: ReliabilityTarget
) -> ReliabilityCurve:
    if target == "top":
        return reliability_curve(*correct_and_confidence(labels))
    task = binarize(labels, "wearing")
    return reliability_curve(task.ground_truth, task.scores)


def _reliability_rows(run: str, curve: ReliabilityCurve) -> list[ChartRow]:
    rows: list[ChartRow] = []
    for score, n_correct, n in zip(
        curve.scores, curve.positives, curve.counts, strict=True
    ):
        interval = proportion(int(n_correct), int(n))
        rows.append(
            {
                "run": run,
                "score": round(float(score), 4),
                "rate": round(interval.value, 4),
                "low": round(interval.low, 4),
                "high": round(interval.high, 4),
                "n": interval.n,
                "ece": round(curve.ece, 4),
            }
        )
    return rows


def _slice_tooltips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("slice:N", title="Slice"),
        alt.Tooltip("rate:Q", title="Accuracy", format=PERCENT_FORMAT),
        alt.Tooltip("low:Q", title="From", format=PERCENT_FORMAT),
        alt.Tooltip("high:Q", title="To", format=PERCENT_FORMAT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("comparison:N", title="Compared with the rest"),
    ]


def _slice_row(run: str, part: Slice) -> ChartRow:
    accuracy = part.accuracy
    return {
        "run": run,
        "slice": f"{part.name}: {part.part}",
        "rate": round(accuracy.value, 4),
        "low": round(accuracy.low, 4),
        "high": round(accuracy.high, 4),
        "n": accuracy.n,
        "worse": part.is_worse,
        "comparison": "significantly worse" if part.is_worse else "not worse",
    }


def cost_chart(
    rows: Iterable[ChartRow],
    names: Iterable[str],
    *,
    kind: str,
    cost: str,
    value: str,
    as_percent: bool = True,
) -> alt.LayerChart:
    """Return a metric against a cost: a point with its 95 % interval for each row.

    Args:
        rows: `run` (its name), `cost`, `value`, `low`, `high` and `n` of each point.
        names: all names that can be shown, in a fixed order, which determines colours
            and shapes.
        kind: title of the names, as in "Model".
        cost: title of the cost with its unit, as in "One face (ms)".
        value: title of the metric.
        as_percent: show values in percent; else as decimals, as is usual for average
            precision.
    """
    rows, names = list(rows), list(names)
    shapes = [_SHAPES[index % len(_SHAPES)] for index in range(len(names))]
    base = alt.Chart(inline_data(rows)).encode(
        x=_cost_axis(rows, cost),
        color=encode_run_colour(names),
        tooltip=_cost_tooltips(
            kind, cost, value, PERCENT_FORMAT if as_percent else ".3f"
        ),
    )
    metric = alt.Y(
        "value:Q",
        title=value,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%" if as_percent else ".2f"),
    )
    shape = alt.Shape("run:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    rules = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q")
    points = base.mark_point(filled=True, size=110, opacity=1)
    return alt.LayerChart(layer=[rules, points.encode(y=metric, shape=shape)])


def _cost_axis(rows: list[ChartRow], title: str) -> alt.X:
    return alt.X(
        "cost:Q",
        title=title,
        scale=alt.Scale(type=_cost_scale(rows), zero=False, padding=20),
        axis=alt.Axis(format="~g", tickCount=5, grid=False),
    )


def _cost_tooltips(
    kind: str, cost: str, value: str, number_format: str
) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("run:N", title=kind),
        alt.Tooltip("cost:Q", title=cost, format=",.3~f"),
        alt.Tooltip("value:Q", title=value, format=number_format),
        alt.Tooltip("low:Q", title="From", format=number_format),
        alt.Tooltip("high:Q", title="To", format=number_format),
        alt.Tooltip("n:Q", title="Faces", format=","),
    ]


def _cost_scale(rows: list[ChartRow]) -> Literal["log", "linear"]:
    """Return the type of the scale: logarithmic if the costs differ by more than 10."""
    costs = [float(row["cost"] or 0) for row in rows] or [1.0]
    return "log" if max(costs) > 10 * min(costs) else "linear"
