"""Charts of predictions: confusion matrix, reliability, slices, and value for cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from maskdet.charts.spec import (
    CHART_HEIGHT_PX,
    CLICK_SELECTION,
    DIAGONAL_MARK,
    PERCENT_FORMAT,
    THRESHOLD_COLOUR,
    UNIT_SCALE,
    ChartRow,
    VegaSpec,
    assign_run_colours,
    click_selection,
    encode_colour,
    encode_run_colour,
    face_count_title,
    layer_charts,
    nominal_field,
    percent_field,
    quantitative_field,
)
from maskdet.metrics.calibration import (
    ReliabilityCurve,
    correct_and_confidence,
    reliability_curve,
)
from maskdet.metrics.classification import Predictions, binarize
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.metrics.slices import evaluate_slices
from maskdet.style import DEFAULT_STYLE, WHITE, Style, text_colour_bgr
from maskdet.types import CLASSES

ReliabilityTarget: TypeAlias = Literal["top", "wearing"]
"""Which probability: of the predicted class, or of a mask."""

_RELIABILITY_TITLES: Final = {
    "top": "predicted class",
    "wearing": "mask against no mask",
}

# Fill of a rate of 0 and of 1 by kind of cell, on a light and on a dark page; the text
# on them is black or white.
_CELL_FILLS: Final = {
    "correct": ("#eaf2fa", "#0b559f"),
    "wrong": ("#fbeee4", "#a84a12"),
    "unsure": ("#eeeff3", "#5c6070"),
}
_DARK_CELL_FILLS: Final = {
    "correct": ("#1a2735", "#5aa5ee"),
    "wrong": ("#32241c", "#e08a4a"),
    "unsure": ("#23252e", "#9498aa"),
}

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


def confusion_matrix_chart(
    predictions: Predictions, *, style: Style = DEFAULT_STYLE
) -> VegaSpec:
    """Return the confusion matrix of the classes."""
    confusion = predictions.classification.class_confusion
    titles = [style.title(label) for label in CLASSES]
    return confusion_heatmap(
        confusion.counts[:, : len(CLASSES)].tolist(),
        titles,
        titles,
        title=face_count_title("Confusion matrix", [predictions]),
    )


def confusion_heatmap(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    predicted: Sequence[str],
    *,
    selected: tuple[int, int] | None = None,
    clickable: bool = False,
    title: VegaSpec | None = None,
    height: int = CHART_HEIGHT_PX,
    dark: bool = False,
) -> VegaSpec:
    """Return a confusion matrix, coloured by the fraction of the row.

    Args:
        counts: a row for each actual class and a column for each prediction. If there
            are more columns than rows, the last row is for no face, and the last two
            columns for unsure and missed.
        actual: titles of the rows.
        predicted: titles of the columns.
        selected: row and column of the cell that is outlined.
        clickable: whether a click selects a cell: the selection `CLICK_SELECTION` then
            has its `row` and `column`.
        title: see `chart_title`.
        height: in pixels.
        dark: whether the page is dark.
    """
    cells = _confusion_cells(counts, actual, predicted, selected, dark=dark)
    layers = _confusion_layers(_confusion_axes(actual, predicted), clickable=clickable)
    datasets = {"cells": cells}
    return layer_charts(layers, datasets, title=title, height=height, grid=False)


def _confusion_axes(actual: Sequence[str], predicted: Sequence[str]) -> VegaSpec:
    axis = {
        "labelAngle": 0,
        "labelExpr": "split(datum.label, ' ')",
        "domain": False,
        "ticks": False,
    }
    return {
        "x": nominal_field("predicted", "Predicted", sort=list(predicted), axis=axis),
        "y": nominal_field("actual", "Actual", sort=list(actual), axis=axis),
    }


def _confusion_cells(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    predicted: Sequence[str],
    selected: tuple[int, int] | None,
    *,
    dark: bool,
) -> list[ChartRow]:
    fills = _DARK_CELL_FILLS if dark else _CELL_FILLS
    faces_only = len(actual) == len(predicted)
    rows: list[ChartRow] = []
    for i, actual_title in enumerate(actual):
        total = sum(int(count) for count in counts[i])
        for j, predicted_title in enumerate(predicted):
            if not faces_only and (i, j) == (len(actual) - 1, len(predicted) - 1):
                continue  # there is no cell for no face and missed
            count = int(counts[i][j])
            kind = "correct" if i == j else "wrong"
            if not faces_only and j == len(predicted) - 2:
                kind = "unsure"
            rows.append(
                {
                    "actual": actual_title,
                    "predicted": predicted_title,
                    "row": i,
                    "column": j,
                    "count": count,
                    "rate": round(count / total, 5) if total else 0.0,
                    **_cell_colours(fills[kind], count / max(1, total)),
                    "selected": selected == (i, j),
                }
            )
    return rows


def _cell_colours(ends: tuple[str, str], rate: float) -> ChartRow:
    """Return the colour of a cell and of its text, which has the higher contrast."""
    low, high = (
        [int(colour[offset : offset + 2], 16) for offset in (1, 3, 5)]
        for colour in ends
    )
    red, green, blue = (
        round(a + (b - a) * rate) for a, b in zip(low, high, strict=True)
    )
    is_dark = text_colour_bgr((blue, green, red)) == WHITE
    return {
        "fill": f"#{red:02x}{green:02x}{blue:02x}",
        "colour": "white" if is_dark else "black",
    }


def _confusion_layers(base: VegaSpec, *, clickable: bool) -> list[VegaSpec]:
    tooltips = [
        nominal_field("actual", "Actual"),
        nominal_field("predicted", "Predicted"),
        quantitative_field("count", "Faces", format=","),
        percent_field("rate", "Fraction of row"),
    ]
    click = click_selection(CLICK_SELECTION, ["row", "column"], clear=False)
    # The text passes clicks on to the cells.
    cursor = {"cursor": "pointer"} if clickable else {}
    cells = {
        "data": {"name": "cells"},
        "params": [click] * clickable,
        "mark": {"type": "rect", "cornerRadius": 3, **cursor},
        "encoding": {
            **base,
            "fill": nominal_field("fill", scale=None),
            "stroke": {"value": THRESHOLD_COLOUR},
            "strokeWidth": {
                "condition": {"test": "datum.selected", "value": 4},
                "value": 0,
            },
            "tooltip": tooltips,
        },
    }
    texts = [
        {
            "data": {"name": "cells"},
            "mark": {"type": "text", "fontSize": size, "dy": dy, "tooltip": None}
            | {"aria": False, **cursor},
            "encoding": {
                **base,
                "text": quantitative_field(field, format=number_format),
                "color": nominal_field("colour", scale=None),
            },
        }
        for field, number_format, size, dy in (
            ("count", ",", 17, -8),
            ("rate", PERCENT_FORMAT, 11, 10),
        )
    ]
    return [cells, *texts]


def reliability_chart(
    predictions: Mapping[str, Predictions], *, target: ReliabilityTarget = "top"
) -> VegaSpec:
    """Return observed against predicted probability; on the diagonal if calibrated.

    Args:
        predictions: predictions by name of the run, all on the same set.
        target: the probability of the predicted class, or of a mask.
    """
    curves = {}
    for run, run_predictions in predictions.items():
        result = run_predictions.classification
        if target == "top":
            curves[run] = reliability_curve(*correct_and_confidence(result))
        else:
            task = binarize(result, target)
            curves[run] = reliability_curve(task.ground_truth, task.scores)
    title = f"Reliability, {_RELIABILITY_TITLES[target]}"
    return reliability_curves_chart(
        curves,
        assign_run_colours(predictions),
        title=face_count_title(title, predictions.values()),
    )


def reliability_curves_chart(
    curves: Mapping[str, ReliabilityCurve],
    colours: Mapping[str, str],
    *,
    title: VegaSpec | None = None,
) -> VegaSpec:
    """Return observed against predicted probability; on the diagonal if calibrated.

    Args:
        curves: the curves by name.
        colours: CSS colour of each name.
        title: see `chart_title`.
    """
    # Slightly wider than 0 to 1, so that a dot at 100 % is not clipped.
    axis: dict[str, Any] = {
        "scale": {"domain": [-0.04, 1.04], "nice": False},
        "axis": {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]},
    }
    x = quantitative_field("score", "Predicted", **axis)
    y = quantitative_field("rate", "Observed", **axis)
    common = {"x": x, "y": y, "color": encode_colour("run", colours)}
    tooltips = [
        *[nominal_field("run", "Curve")] * (len(curves) > 1),
        percent_field("score", "Predicted"),
        *_interval_tooltips("Observed"),
        quantitative_field("ece", "ECE", format=".4f"),
    ]
    n = quantitative_field("n", legend=None, scale={"type": "sqrt", "range": [25, 250]})
    bins = {"name": "bins"}
    layers: list[VegaSpec] = [
        {
            "data": {"name": "diagonal"},
            "mark": DIAGONAL_MARK,
            "encoding": {"x": x, "y": y},
        },
        {
            "data": bins,
            "mark": {"type": "rule", "opacity": 0.5},
            "encoding": {**common, "y": {**y, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "data": bins,
            "mark": {"type": "line", "strokeWidth": 1.5},
            "encoding": common,
        },
        {
            "data": bins,
            "mark": {"type": "point", "filled": True, "opacity": 0.9},
            "encoding": {**common, "size": n, "tooltip": tooltips},
        },
    ]
    datasets: dict[str, list[ChartRow]] = {
        "diagonal": [{"score": 0, "rate": 0}, {"score": 1, "rate": 1}],
        "bins": [row for run, curve in curves.items() for row in _bin_rows(run, curve)],
    }
    return layer_charts(layers, datasets, title=title)


def _bin_rows(run: str, curve: ReliabilityCurve) -> list[ChartRow]:
    return [
        {
            "run": run,
            "score": round(float(score), 4),
            **interval_fields(proportion(int(n_correct), int(n))),
            "ece": round(curve.ece, 4),
        }
        for score, n_correct, n in zip(
            curve.scores, curve.positives, curve.counts, strict=True
        )
    ]


def interval_fields(estimate: Estimate) -> dict[str, float | int]:
    """Return the fields `rate`, `low`, `high` and `n` of an estimate."""
    return {
        "rate": round(estimate.value, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "n": estimate.n,
    }


def _interval_tooltips(
    title: str, number_format: str = PERCENT_FORMAT
) -> list[VegaSpec]:
    rates = {"rate": title, "low": "From", "high": "To"}
    return [
        *(
            quantitative_field(field, name, format=number_format)
            for field, name in rates.items()
        ),
        quantitative_field("n", "Faces", format=","),
    ]


def _interval_layers(
    data: str,
    common: VegaSpec,
    channel: Literal["x", "y"],
    rate: VegaSpec,
    *,
    size: int,
    shape: VegaSpec,
) -> list[VegaSpec]:
    """Return a line from `low` to `high` with a point on it, for each row."""
    ends = {channel: {**rate, "field": "low"}, f"{channel}2": {"field": "high"}}
    return [
        {
            "data": {"name": data},
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {**common, **ends},
        },
        {
            "data": {"name": data},
            "mark": {"type": "point", "filled": True, "size": size, "opacity": 1},
            "encoding": {**common, channel: rate, "shape": shape},
        },
    ]


def slices_chart(predictions: Mapping[str, Predictions]) -> VegaSpec:
    """Return the accuracy of mask against no mask by subset, with intervals.

    Args:
        predictions: predictions by name of the run, all on the same set.
    """
    rows = [
        {
            "run": run,
            "slice": f"{part.name}: {part.part}",
            **interval_fields(part.accuracy),
            "worse": part.is_worse,
        }
        for run, run_predictions in predictions.items()
        for part in evaluate_slices(run_predictions)
    ]
    return slice_rates_chart(
        rows,
        assign_run_colours(predictions),
        x_title="Accuracy, mask against no mask",
        title=face_count_title("Accuracy by subset", predictions.values()),
    )


def slice_rates_chart(
    rows: Sequence[ChartRow],
    colours: Mapping[str, str],
    *,
    x_title: str,
    from_zero: bool = False,
    title: VegaSpec | None = None,
) -> VegaSpec:
    """Return a rate with its interval for each slice of a set.

    A slice that is significantly worse than the rest is a triangle that points down.

    Args:
        rows: `run`, `slice`, `rate`, `low`, `high`, `n` and `worse`, in the order of
            the chart.
        colours: CSS colour of each run.
        x_title: title of the rate.
        from_zero: whether the axis has all rates from 0 to 1, so that it never changes.
        title: see `chart_title`.
    """
    common = {
        "y": nominal_field(
            "slice",
            sort=list(dict.fromkeys(row["slice"] for row in rows)),
            axis={"labelLimit": 240},
        ),
        "yOffset": nominal_field("run", sort=list(colours)),
        "color": encode_colour(
            "run", colours, **({} if len(colours) > 1 else {"legend": None})
        ),
        "tooltip": [
            *[nominal_field("run", "Run")] * (len(colours) > 1),
            nominal_field("slice", "Subset"),
            *_interval_tooltips(x_title),
            nominal_field("comparison", "Compared with the rest"),
        ],
    }
    scale = UNIT_SCALE if from_zero else {"zero": False}
    x = quantitative_field("rate", x_title, scale=scale, axis={"format": "%"})
    shape = {
        "condition": {"test": "datum.worse", "value": "triangle-down"},
        "value": "circle",
    }
    layers = _interval_layers("slices", common, "x", x, size=80, shape=shape)
    comparison = {True: "significantly worse", False: "not worse"}
    slices = [{**row, "comparison": comparison[bool(row.get("worse"))]} for row in rows]
    height = {"step": 24 if len(colours) < 2 else 14}
    return layer_charts(layers, {"slices": slices}, title=title, height=height)


_N_LEGEND_COLUMNS: Final = 2
_LEGEND_ROW_PX: Final = 30


def cost_chart(
    rows: Iterable[ChartRow],
    names: Iterable[str],
    *,
    kind: str,
    cost: str,
    value: str,
    title: str = "",
    as_percent: bool = True,
) -> VegaSpec:
    """Return a metric against a cost: a point with its 95 % interval for each row.

    Args:
        rows: `run` (its name), `cost`, `rate`, `low`, `high` and `n` of each point.
        names: all names that can be shown, in a fixed order, which determines colours
            and shapes.
        kind: title of the names, as in "Model".
        cost: title of the cost with its unit, as in "One face (ms)".
        value: title of the metric.
        title: title of the chart.
        as_percent: show values in percent; else as decimals, as is usual for average
            precision.
    """
    rows, names = list(rows), list(names)
    costs = [float(row["cost"] or 0) for row in rows] or [1.0]
    scale = "log" if max(costs) > 10 * min(costs) else "linear"
    number_format = PERCENT_FORMAT if as_percent else ".3f"
    shapes = [_SHAPES[index % len(_SHAPES)] for index in range(len(names))]
    common = {
        "x": quantitative_field(
            "cost",
            cost,
            scale={"type": scale, "zero": False, "padding": 20},
            axis={"format": "~g", "tickCount": 5, "grid": False},
        ),
        "color": encode_run_colour(names),
        "tooltip": [
            nominal_field("run", kind),
            quantitative_field("cost", cost, format=",.3~f"),
            *_interval_tooltips(value, number_format),
        ],
    }
    y = quantitative_field(
        "rate",
        value,
        scale={"zero": False},
        axis={"format": "%" if as_percent else ".2f"},
    )
    shape = nominal_field(
        "run",
        scale={"domain": names, "range": shapes},
        # Names of analyzers are longer than those of classes.
        legend={"columns": _N_LEGEND_COLUMNS},
    )
    layers = _interval_layers("costs", common, "y", y, size=110, shape=shape)
    # The legend is part of the height, and must not take it from the points.
    n_legend_rows = -(-len(names) // _N_LEGEND_COLUMNS)
    height = CHART_HEIGHT_PX + _LEGEND_ROW_PX * n_legend_rows
    return layer_charts(layers, {"costs": rows}, title=title or None, height=height)
