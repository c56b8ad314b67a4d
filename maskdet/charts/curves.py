"""ROC, precision-recall and FROC curves over all thresholds."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskdet.charts.spec import (
    DIAGONAL_MARK,
    GREY,
    PERCENT_FORMAT,
    UNIT_SCALE,
    ChartRow,
    VegaSpec,
    assign_run_colours,
    encode_colour,
    face_count_title,
    label_dash,
    layer_charts,
    nominal_field,
    percent_field,
    quantitative_field,
)
from maskdet.metrics.classification import (
    CLASS_TASKS,
    BinaryTask,
    BinaryTaskName,
    Predictions,
    binarize,
    threshold_curves,
)
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

FACES_TITLE: Final = "Faces"
"""Title of the curve of faces of any class."""

MAX_CURVE_POINTS = 400
"""Maximum number of points in a curve; more points would not be visible."""

CurveSelection: TypeAlias = BinaryTaskName | Literal["classes"]
"""One binary task with a colour for each run, or a colour for each class."""

ThresholdCurveKind: TypeAlias = Literal["roc", "precision_recall", "froc"]

_Floats: TypeAlias = NDArray[np.float64]


class _CurveLook(NamedTuple):
    x_title: str
    y_title: str
    steps: bool = False
    diagonal: bool = False


_LOOKS: Final[Mapping[ThresholdCurveKind, _CurveLook]] = {
    "roc": _CurveLook("False-positive rate", "Recall", diagonal=True),
    # Steps, because nothing changes between two neighbouring thresholds.
    "precision_recall": _CurveLook("Recall", "Precision", steps=True),
    "froc": _CurveLook("False positives per image", "Face recall"),
}

_TASK_TITLES: Final[Mapping[CurveSelection, str]] = {
    "wearing": "mask against no mask",
    "classes": "class by class",
}

_SOLID: Final = (1, 0)


@dataclass(frozen=True, eq=False)
class ChartCurve:
    """A curve to draw.

    Attributes:
        title: title of its class or run; curves with the same title look the same.
        x: `(k,)` x of each point.
        y: `(k,)` y of each point.
        thresholds: `(k,)` threshold of each point.
        operating_point: x and y of the current decisions, or None.
        area: area under the curve; may be NaN.
        colour: CSS colour.
        dash: lengths of dashes and gaps in pixels.
        run: name of the run, if curves of several runs have the same title.
    """

    title: str
    x: _Floats
    y: _Floats
    thresholds: _Floats
    operating_point: tuple[float, float] | None
    area: float
    colour: str = GREY
    dash: Sequence[int] = _SOLID
    run: str = ""


def threshold_curves_chart(
    curves: Sequence[ChartCurve],
    kind: ThresholdCurveKind,
    *,
    x_max: float | None = 1.0,
    title: VegaSpec | None = None,
) -> VegaSpec:
    """Return curves over all thresholds, with dots at the operating points.

    Args:
        curves: the curves.
        kind: which axes they have.
        x_max: end of the x axis; None for the end of the curves.
        title: see `chart_title`.
    """
    look = _LOOKS[kind]
    common = {
        "x": _threshold_axis(look.x_title, x_max),
        "y": quantitative_field(
            "y", look.y_title, axis={"format": "%"}, scale=UNIT_SCALE
        ),
        "color": encode_colour(
            "curve",
            {curve.title: curve.colour for curve in curves},
            legend=_LINE_LEGEND,
        ),
    }
    diagonal = {
        "data": {"name": "diagonal"},
        "mark": DIAGONAL_MARK,
        "encoding": {"x": common["x"], "y": common["y"]},
    }
    datasets: dict[str, list[ChartRow]] = {
        "points": _list_points(curves),
        "dots": [
            {**_curve_fields(curve), **_point_fields(*curve.operating_point)}
            for curve in curves
            if curve.operating_point is not None
        ],
    }
    if look.diagonal:
        datasets["diagonal"] = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    layers = _curve_layers(curves, common, steps=look.steps, percent=x_max == 1.0)
    return layer_charts([diagonal] * look.diagonal + layers, datasets, title=title)


# Short lines instead of dots, which suit dashes better.
_LINE_LEGEND: Final = {
    "symbolType": "stroke",
    "symbolStrokeWidth": 2,
    "symbolSize": 400,
    # On a phone the fourth entry would be cut off.
    "columns": {"expr": "width < 300 ? 2 : 4"},
}


def _threshold_axis(title: str, x_max: float | None) -> VegaSpec:
    scale: VegaSpec = {"nice": x_max is None, "zero": True}
    if x_max is not None:
        scale["domain"] = [0, x_max]
    axis = {"format": "%" if x_max == 1.0 else "~g", "tickCount": 5}
    return quantitative_field("x", title, axis=axis, scale=scale)


def _curve_layers(
    curves: Sequence[ChartCurve], common: VegaSpec, *, steps: bool, percent: bool
) -> list[VegaSpec]:
    """Return the lines, invisible points with tooltips, and the operating points."""
    tooltips = [
        *[nominal_field("run", "Run")] * any(curve.run for curve in curves),
        nominal_field("curve", "Curve"),
        quantitative_field(
            "x", common["x"]["title"], format=PERCENT_FORMAT if percent else ".3~f"
        ),
        percent_field("y", common["y"]["title"]),
        quantitative_field("area", "Area", format=".4f"),
    ]
    threshold = quantitative_field("threshold", "Threshold", format=".3f")
    dashes = {curve.title: list(curve.dash) for curve in curves}
    line = {
        **common,
        "strokeDash": nominal_field(
            "curve",
            scale={"domain": list(dashes), "range": list(dashes.values())},
            legend=_LINE_LEGEND,
        ),
        "detail": {"field": "run", "type": "nominal"},
        "order": {"field": "index", "type": "quantitative"},
    }
    point = {"type": "point", "filled": True}
    return [
        {
            "data": {"name": "points"},
            "mark": {
                "type": "line",
                "interpolate": "step-before" if steps else "linear",
                "strokeWidth": 2,
                "clip": True,
            },
            "encoding": line,
        },
        {
            "data": {"name": "points"},
            "mark": {**point, "size": 120, "opacity": 0, "clip": True},
            "encoding": {**common, "tooltip": [*tooltips, threshold]},
        },
        {
            "data": {"name": "dots"},
            "mark": {**point, "size": 100, "opacity": 1, "stroke": GREY}
            | {"strokeWidth": 2},
            "encoding": {**common, "tooltip": tooltips},
        },
    ]


def _list_points(curves: Sequence[ChartCurve]) -> list[ChartRow]:
    """Return the points of the simplified curves with their thresholds."""
    points: list[ChartRow] = []
    for curve in curves:
        fields = _curve_fields(curve)
        for index in simplify_line(curve.x, curve.y):
            points.append(
                {
                    **fields,
                    **_point_fields(curve.x[index], curve.y[index]),
                    "index": len(points),
                    "threshold": round(float(curve.thresholds[index]), 4),
                }
            )
    return points


def _curve_fields(curve: ChartCurve) -> dict[str, str | float | None]:
    area = None if math.isnan(curve.area) else round(curve.area, 4)
    return {"curve": curve.title, "run": curve.run, "area": area}


def _point_fields(x: float, y: float) -> dict[str, float]:
    return {"x": round(float(x), 5), "y": round(float(y), 5)}


def roc_chart(
    predictions: Mapping[str, Predictions],
    *,
    task: CurveSelection = "wearing",
    style: Style = DEFAULT_STYLE,
) -> VegaSpec:
    """Return ROC curves; the dot marks the default decisions.

    Args:
        predictions: predictions by name of the run, all on the same set.
        task: a binary task, or `classes` for three curves for each run.
        style: names and colours of the classes.
    """
    return _predictions_chart("ROC", predictions, "roc", task, style)


def precision_recall_chart(
    predictions: Mapping[str, Predictions],
    *,
    task: CurveSelection = "wearing",
    style: Style = DEFAULT_STYLE,
) -> VegaSpec:
    """Return precision-recall curves; see `roc_chart` for the arguments and the dot."""
    name = "Precision and recall"
    return _predictions_chart(name, predictions, "precision_recall", task, style)


def _predictions_chart(
    name: str,
    predictions: Mapping[str, Predictions],
    kind: Literal["roc", "precision_recall"],
    task: CurveSelection,
    style: Style,
) -> VegaSpec:
    task_title = _TASK_TITLES.get(task)
    if task_title is None:
        label = CLASSES[CLASS_TASKS.index(task)]
        task_title = f"{style.title(label)} against the rest"
    curves = list(_predictions_curves(predictions, kind, task, style))
    title = face_count_title(f"{name}, {task_title}", predictions.values())
    return threshold_curves_chart(curves, kind, title=title)


def _predictions_curves(
    predictions: Mapping[str, Predictions],
    kind: Literal["roc", "precision_recall"],
    task: CurveSelection,
    style: Style,
) -> Iterator[ChartCurve]:
    """Yield the curves of all runs, or of all classes of each run."""
    colours = assign_run_colours(predictions)
    for run, run_predictions in predictions.items():
        result = run_predictions.classification
        if task != "classes":
            if curve := _task_curve(
                binarize(result, task), kind, run, colours[run], _SOLID
            ):
                yield curve
            continue
        for label, class_task in zip(CLASSES, CLASS_TASKS, strict=True):
            if curve := _task_curve(
                binarize(result, class_task),
                kind,
                style.title(label),
                style.colour_css(label),
                label_dash(label),
                run=run if len(predictions) > 1 else "",
            ):
                yield curve


def _task_curve(
    task: BinaryTask,
    kind: Literal["roc", "precision_recall"],
    title: str,
    colour: str,
    dash: Sequence[int],
    *,
    run: str = "",
) -> ChartCurve | None:
    """Return the curve of a task; None if all faces or no faces are positive."""
    if task.ground_truth.all() or not task.ground_truth.any():
        return None
    curves = threshold_curves(task.ground_truth, task.scores)
    x, y, thresholds = curves.recalls, curves.precisions, curves.thresholds
    area = curves.average_precision
    if kind == "roc":
        # Start at (0, 0): no positive predictions.
        x = np.concatenate([[0.0], curves.false_positive_rates])
        y = np.concatenate([[0.0], curves.recalls])
        thresholds = np.concatenate([curves.thresholds[:1], curves.thresholds])
        area = curves.roc_area
    point = _operating_point(task, kind) if task.predicted.any() else None
    return ChartCurve(title, x, y, thresholds, point, area, colour, dash, run)


def _operating_point(
    task: BinaryTask, kind: Literal["roc", "precision_recall"]
) -> tuple[float, float]:
    """Return x and y of the decisions of a task."""
    true_positives = int((task.ground_truth & task.predicted).sum())
    recall = true_positives / int(task.ground_truth.sum())
    if kind == "roc":
        false_positives = int((~task.ground_truth & task.predicted).sum())
        return false_positives / int((~task.ground_truth).sum()), recall
    return recall, true_positives / int(task.predicted.sum())


def simplify_line(
    x: _Floats, y: _Floats, max_points: int = MAX_CURVE_POINTS
) -> NDArray[np.int64]:
    """Return the ascending indices of the points that preserve the shape of a line.

    The end points are kept. Then, as in the Douglas-Peucker algorithm (1973), the point
    farthest from the simplified line is added until `max_points` are kept or all
    distances are at most 1e-6.
    """
    last = len(x) - 1
    kept_points = {0, last} if last > 0 else set(range(len(x)))
    segments: list[tuple[float, int, int, int]] = []
    _push_segment(segments, x, y, 0, last)
    while segments and len(kept_points) < max_points:
        _, start, farthest, end = heapq.heappop(segments)
        kept_points.add(farthest)
        _push_segment(segments, x, y, start, farthest)
        _push_segment(segments, x, y, farthest, end)
    return np.array(sorted(kept_points), np.int64)


def _push_segment(
    segments: list[tuple[float, int, int, int]],
    x: _Floats,
    y: _Floats,
    start: int,
    end: int,
) -> None:
    """Push the segment between two kept points if a point of it is off the line."""
    if end - start < 2:
        return
    along_x, along_y = x[end] - x[start], y[end] - y[start]
    length = float(np.hypot(along_x, along_y))
    off_x, off_y = x[start + 1 : end] - x[start], y[start + 1 : end] - y[start]
    if length:
        distances = np.abs(along_x * off_y - along_y * off_x) / length
    else:
        distances = np.hypot(off_x, off_y)
    farthest = int(distances.argmax())
    if distances[farthest] > 1e-6:
        heapq.heappush(
            segments, (-float(distances[farthest]), start, start + 1 + farthest, end)
        )
