"""ROC and precision-recall curves from scores, with the point that is in use.

Confusion matrix, reliability, and accuracy by parts of a set.

What something does well against what it costs: up is better, left is cheaper.
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


ReliabilityTarget: TypeAlias = Literal["top", "wearing"]
"""Which probability: that of the label given, or that a mask is worn at all."""

_RELIABILITY_TITLES = {"top": "the label given", "wearing": "mask against no mask"}

_LOW_FILL, _HIGH_FILL = "#eaf2fa", "#0b559f"
"""Ends of the colours of a matrix; its numbers are black or white upon them."""


def confusion_matrix_chart(
    labels_or_predictions: Predictions | ClassificationResult,
    *,
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return truth by label given, coloured by the share of the truth."""
    labels = (
        labels_or_predictions.classification
        if isinstance(labels_or_predictions, Predictions)
        else labels_or_predictions
    )
    counts = labels.class_confusion.counts[:, : len(CLASSES)]
    rows: list[ChartRow] = [
        {
            "truth": style.title(actual),
            "said": style.title(predicted),
            "count": int(counts[actual, predicted]),
            "share": float(counts[actual, predicted] / max(1, counts[actual].sum())),
        }
        for actual in CLASSES
        for predicted in CLASSES
    ]
    order = [style.title(label) for label in CLASSES]
    base = alt.Chart(inline_data(rows)).encode(
        x=alt.X("said:N", title="Said", sort=order, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("truth:N", title="Truth", sort=order),
        tooltip=[
            alt.Tooltip("truth:N", title="Truth"),
            alt.Tooltip("said:N", title="Said"),
            alt.Tooltip("count:Q", title="Faces", format=","),
            alt.Tooltip("share:Q", title="Of this truth", format=PERCENT_FORMAT),
        ],
    )
    scale = alt.Scale(domain=[0, 1], range=[_LOW_FILL, _HIGH_FILL])
    text_colour = alt.condition(
        "datum.share > 0.5", alt.ColorValue("white"), alt.ColorValue("black")
    )
    return layer_charts(
        chart_title("Truth and label", format_face_count([labels.class_confusion.n])),
        base.mark_rect().encode(color=alt.Color("share:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=16, dy=-7).encode(
            text=alt.Text("count:Q", format=","), color=text_colour
        ),
        base.mark_text(fontSize=11, dy=11).encode(
            text=alt.Text("share:Q", format=PERCENT_FORMAT), color=text_colour
        ),
    ).properties(width=300, height=220)


def reliability_chart(
    predictions: Mapping[str, Predictions], *, target: ReliabilityTarget = "top"
) -> alt.LayerChart:
    """Return how often was right what was said so surely; on the diagonal at best.

    Args:
        predictions: name of a run to its answers, all on the same set.
        target: the probability of the label given, or that a mask is worn.
    """
    curves = {
        run: _measure_reliability(run_predictions.classification, target)
        for run, run_predictions in predictions.items()
    }
    rows = [
        row for run, curve in curves.items() for row in _reliability_rows(run, curve)
    ]
    # A little more than 0 to 1: a dot at 100 % would be cut in half.
    unit_scale = alt.Scale(domain=[-0.04, 1.04], nice=False)
    percent = alt.Axis(format="%", values=[0, 0.2, 0.4, 0.6, 0.8, 1])
    base = alt.Chart(inline_data(rows)).encode(
        x=alt.X("score:Q", title="Said", scale=unit_scale, axis=percent),
        color=encode_run_colour(predictions),
    )
    right = alt.Y("share:Q", title="True", scale=unit_scale, axis=percent)
    tooltips = _reliability_tooltips(several=len(predictions) > 1)
    n = alt.Size("n:Q", legend=None, scale=alt.Scale(type="sqrt", range=[25, 250]))
    return layer_charts(
        chart_title(
            f"Reliability, {_RELIABILITY_TITLES[target]}",
            format_face_count(map(len, predictions.values())),
        ),
        alt.Chart(inline_data([{"score": 0, "share": 0}, {"score": 1, "share": 1}]))
        .mark_line(color=GREY, strokeDash=[3, 3], strokeWidth=1)
        .encode(x="score:Q", y="share:Q"),
        base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=1.5).encode(y=right),
        base.mark_point(filled=True, opacity=0.9).encode(
            y=right, size=n, tooltip=tooltips
        ),
    )


def _reliability_tooltips(*, several: bool) -> list[alt.Tooltip]:
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        alt.Tooltip("score:Q", title="Said", format=PERCENT_FORMAT),
        alt.Tooltip("share:Q", title="True", format=PERCENT_FORMAT),
        alt.Tooltip("low:Q", title="From", format=PERCENT_FORMAT),
        alt.Tooltip("high:Q", title="To", format=PERCENT_FORMAT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("ece:Q", title="ECE", format=".4f"),
    ]


def slices_chart(predictions: Mapping[str, Predictions]) -> alt.LayerChart:
    """Return mask against no mask, right, by parts of a set, with intervals.

    A part that does worse than the rest by more than the interval allows is a
    triangle that points down.

    Args:
        predictions: name of a run to its answers, all on the same set.
    """
    rows = [
        _slice_row(run, part)
        for run, run_predictions in predictions.items()
        for part in evaluate_slices(run_predictions)
    ]
    order = list(dict.fromkeys(str(row["place"]) for row in rows))
    base = alt.Chart(inline_data(rows)).encode(
        y=alt.Y("place:N", title=None, sort=order, axis=alt.Axis(labelLimit=240)),
        yOffset=alt.YOffset("run:N", sort=list(predictions)),
        color=encode_run_colour(predictions),
        tooltip=_slice_tooltips(several=len(predictions) > 1),
    )
    shape = alt.condition(
        "datum.worse", alt.ShapeValue("triangle-down"), alt.ShapeValue("circle")
    )
    right = alt.X(
        "share:Q",
        title="Mask against no mask, right",
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%"),
    )
    return layer_charts(
        chart_title(
            "By parts of the set", format_face_count(map(len, predictions.values()))
        ),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=right, shape=shape),
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
                "share": round(interval.value, 4),
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
        alt.Tooltip("place:N", title="Part"),
        alt.Tooltip("share:Q", title="Right", format=PERCENT_FORMAT),
        alt.Tooltip("low:Q", title="From", format=PERCENT_FORMAT),
        alt.Tooltip("high:Q", title="To", format=PERCENT_FORMAT),
        alt.Tooltip("n:Q", title="Faces", format=","),
        alt.Tooltip("verdict:N", title="Against the rest"),
    ]


def _slice_row(run: str, part: Slice) -> ChartRow:
    accuracy = part.accuracy
    return {
        "run": run,
        "place": f"{part.name}: {part.part}",
        "share": round(accuracy.value, 4),
        "low": round(accuracy.low, 4),
        "high": round(accuracy.high, 4),
        "n": accuracy.n,
        "worse": part.is_worse,
        "verdict": "worse" if part.is_worse else "no worse than chance allows",
    }


# Beside its colour each has a shape: more than five do not differ by colour alone.
_SHAPES: Final = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "cross",
    "triangle-down",
    "triangle-right",
)


def cost_chart(
    rows: Iterable[ChartRow],
    names: Iterable[str],
    *,
    kind: str,
    cost: str,
    value: str,
    as_percent: bool = True,
) -> alt.LayerChart:
    """Return a point with its 95 % interval for each row.

    Args:
        rows: `run` (its name), `cost`, `share`, `low`, `high` and `n` of each point.
        names: all that could be shown, in the order of the page: the same names, the
            same colours and shapes.
        kind: what a name is the name of, as in "Model".
        cost: what it costs and in which unit, as in "One face (ms)".
        value: what was measured.
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
    height = alt.Y(
        "share:Q",
        title=value,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(format="%" if as_percent else ".2f"),
    )
    shape = alt.Shape("run:N", title=None, scale=alt.Scale(domain=names, range=shapes))
    rules = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q"), y2="high:Q")
    points = base.mark_point(filled=True, size=110, opacity=1)
    return alt.LayerChart(layer=[rules, points.encode(y=height, shape=shape)])


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
        alt.Tooltip("share:Q", title=value, format=number_format),
        alt.Tooltip("low:Q", title="From", format=number_format),
        alt.Tooltip("high:Q", title="To", format=number_format),
        alt.Tooltip("n:Q", title="Faces", format=","),
    ]


def _cost_scale(rows: list[ChartRow]) -> Literal["log", "linear"]:
    """Return how costs are laid out: one of hundreds would push all others together."""
    costs = [float(row["cost"] or 0) for row in rows] or [1.0]
    return "log" if max(costs) > 10 * min(costs) else "linear"
