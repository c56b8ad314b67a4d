"""Charts of the Tune page: threshold curves, calibration and rates by slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskdet.charts.theme import GREY, PERCENT_FORMAT, ChartRow, simplify_line
from maskdet.charts.tuning import THRESHOLD_COLOUR, VegaSpec
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

FACES_TITLE: Final = "Faces"
"""Title of the curve of faces of any class."""

_CURVE_CONFIG: Final = {
    "legend": {"orient": "bottom", "columns": 3, "title": None},
    "axis": {"gridOpacity": 0.5},
}


_UNIT_SCALE: Final = {"domain": [0, 1]}
"""A scale for rates."""

_DIAGONAL: Final = [{"score": 0, "rate": 0}, {"score": 1, "rate": 1}]


@dataclass(frozen=True, eq=False)
class ChartCurve:
    """A curve to draw.

    Attributes:
        title: title of a class from the style, or `FACES_TITLE`.
        x: `(k,)` x of each point.
        y: `(k,)` y of each point.
        thresholds: `(k,)` threshold of each point.
        operating_point: x and y of the current settings, or None.
    """

    title: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    operating_point: tuple[float, float] | None


def threshold_curves_chart(
    lines: Iterable[ChartCurve],
    *,
    x_title: str,
    y_title: str,
    steps: bool,
    x_max: float | None = 1.0,
    style: Style = DEFAULT_STYLE,
) -> VegaSpec:
    """Return curves over all thresholds, with dots at the operating points.

    Args:
        lines: the curves.
        x_title: title of the x axis.
        y_title: title of the y axis.
        steps: whether to draw steps, because nothing changes between two scores.
        x_max: end of the x axis; None for the end of the curves.
        style: names and colours of the classes.
    """
    lines = list(lines)
    dots = [
        _point_row(line.title, *line.operating_point)
        for line in lines
        if line.operating_point is not None
    ]
    common = {
        "x": _threshold_curve_axis(x_title, x_max),
        "y": {
            **_quantitative_field("y", y_title),
            "axis": {"format": "%"},
            "scale": _UNIT_SCALE,
        },
        "color": _curve_colour(lines, style),
    }
    return {
        "datasets": {"points": _curve_points(lines), "dots": dots},
        "layer": _threshold_curve_layers(common, steps=steps, as_percent=x_max == 1.0),
        "height": 320,
        "config": _CURVE_CONFIG,
    }


def _curve_points(lines: Iterable[ChartCurve]) -> list[ChartRow]:
    """Return the points of the simplified curves with their thresholds."""
    points: list[ChartRow] = []
    for line in lines:
        for index in simplify_line(line.x, line.y):
            point = _point_row(line.title, line.x[index], line.y[index])
            threshold = round(float(line.thresholds[index]), 3)
            points.append({**point, "index": len(points), "threshold": threshold})
    return points


def _threshold_curve_axis(title: str, x_max: float | None) -> VegaSpec:
    scale: VegaSpec = {"nice": x_max is None, "zero": True}
    if x_max is not None:
        scale["domain"] = [0, x_max]
    axis = {"format": "%" if x_max == 1.0 else "~g"}
    return {**_quantitative_field("x", title), "axis": axis, "scale": scale}


def _threshold_curve_layers(
    common: Mapping[str, Any], *, steps: bool, as_percent: bool
) -> list[VegaSpec]:
    tooltips = [
        {"field": "class", "type": "nominal", "title": "Class"},
        {
            **_quantitative_field("x", common["x"]["title"]),
            "format": PERCENT_FORMAT if as_percent else ".3~f",
        },
        {**_quantitative_field("y", common["y"]["title"]), "format": PERCENT_FORMAT},
    ]
    threshold = {**_quantitative_field("threshold", "Threshold"), "format": ".2f"}
    interpolation = "step-before" if steps else "linear"
    line = {
        "type": "line",
        "interpolate": interpolation,
        "strokeWidth": 2,
        "clip": True,
    }
    hover_point = {
        "type": "point",
        "size": 120,
        "opacity": 0,
        "filled": True,
        "clip": True,
    }
    order = {"order": {"field": "index", "type": "quantitative"}}
    dot = {"type": "point", "size": 130, "filled": True, "opacity": 1, "clip": False}
    return [
        {
            "data": {"name": "points"},
            "mark": line,
            "encoding": {**common, **order},
        },
        {
            "data": {"name": "points"},
            "mark": hover_point,
            "encoding": {**common, "tooltip": [*tooltips, threshold]},
        },
        {
            "data": {"name": "dots"},
            "mark": {**dot, "stroke": THRESHOLD_COLOUR, "strokeWidth": 3},
            "encoding": {**common, "tooltip": tooltips},
        },
    ]


def _curve_colour(lines: Iterable[ChartCurve], style: Style) -> VegaSpec:
    class_colours = {style.title(label): style.colour_css(label) for label in CLASSES}
    titles = [line.title for line in lines]
    colours = [class_colours.get(title, GREY) for title in titles]
    return {
        "field": "class",
        "type": "nominal",
        "scale": {"domain": titles, "range": colours},
        "legend": {"symbolType": "stroke", "symbolStrokeWidth": 3},
    }


def _point_row(title: str, x: float, y: float) -> ChartRow:
    return {"class": title, "x": round(float(x), 5), "y": round(float(y), 5)}


def _quantitative_field(field: str, title: str) -> VegaSpec:
    return {"field": field, "type": "quantitative", "title": title}


def _rate_tooltips(field: str, title: str, rates: Mapping[str, str]) -> list[VegaSpec]:
    """Return the tooltips of a dot: its name, rates by field, and number of faces."""
    return [
        {"field": field, "type": "nominal", "title": title},
        *(
            {**_quantitative_field(field_name, field_title), "format": PERCENT_FORMAT}
            for field_name, field_title in rates.items()
        ),
        _quantitative_field("n", "Faces"),
    ]


def calibration_chart(rows: Iterable[ChartRow], names: Sequence[str]) -> VegaSpec:
    """Return accuracy against confidence; on the diagonal if calibrated.

    Args:
        rows: `run` (one of `names`), `score`, `rate`, `low`, `high` and `n`.
        names: the names of the curves, before and after calibration.
    """
    common = _calibration_encoding(names)
    rates = {"score": "Confidence", "rate": "Accuracy", "low": "From", "high": "To"}
    tooltips = _rate_tooltips("run", "Curve", rates)
    low = {**common["y"], "field": "low"}
    return {
        "datasets": {"bins": list(rows)},
        "layer": [
            {
                "data": {"values": _DIAGONAL},
                "mark": {"type": "line", "color": GREY, "strokeDash": [3, 3]},
                "encoding": {"x": common["x"], "y": common["y"]},
            },
            {
                "data": {"name": "bins"},
                "mark": {"type": "rule", "opacity": 0.5},
                "encoding": {**common, "y": low, "y2": {"field": "high"}},
            },
            {
                "data": {"name": "bins"},
                "mark": {"type": "line", "point": {"size": 60}},
                "encoding": {**common, "tooltip": tooltips},
            },
        ],
        "height": 320,
        "config": _CURVE_CONFIG,
    }


def _calibration_encoding(names: Sequence[str]) -> VegaSpec:
    """Return the axes, slightly wider than 0 to 1, and the colours."""
    both = {
        "scale": {"domain": [-0.03, 1.03], "nice": False},
        "axis": {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]},
    }
    colours = [GREY, THRESHOLD_COLOUR][-len(names) :]
    return {
        "x": {**_quantitative_field("score", "Confidence"), **both},
        "y": {**_quantitative_field("rate", "Accuracy"), **both},
        "color": {
            "field": "run",
            "type": "nominal",
            "scale": {"domain": list(names), "range": colours},
        },
    }


def slice_rates_chart(rows: Sequence[ChartRow], *, x_title: str) -> VegaSpec:
    """Return a rate with its interval for each slice of a set.

    Args:
        rows: `slice`, `rate`, `low`, `high` and `n`, in the order of the chart.
        x_title: title of the rate.
    """
    y = {
        "field": "slice",
        "type": "nominal",
        "title": None,
        "sort": [row["slice"] for row in rows],
        "axis": {"labelLimit": 150},
    }
    x = {
        **_quantitative_field("rate", x_title),
        "scale": _UNIT_SCALE,
        "axis": {"format": "%"},
    }
    rates = {"rate": x_title, "low": "From", "high": "To"}
    tooltips = _rate_tooltips("slice", "Slice", rates)
    return {
        "datasets": {"slices": list(rows)},
        "data": {"name": "slices"},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "color": GREY},
                "encoding": {
                    "y": y,
                    "x": {**x, "field": "low"},
                    "x2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1}
                | {"color": THRESHOLD_COLOUR},
                "encoding": {"y": y, "x": x, "tooltip": tooltips},
            },
        ],
        "height": {"step": 24},
        "config": _CURVE_CONFIG,
    }
