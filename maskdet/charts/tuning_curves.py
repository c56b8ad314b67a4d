"""Curves with a working point on them, and numbers with their intervals."""

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
"""The curve of faces, whatever their label."""

_CURVE_CONFIG: Final = {
    "legend": {"orient": "bottom", "columns": 3, "title": None},
    "axis": {"gridOpacity": 0.5},
}


_UNIT_SCALE: Final = {"domain": [0, 1]}
"""A scale for shares."""

_DIAGONAL: Final = [{"score": 0, "share": 0}, {"score": 1, "share": 1}]


@dataclass(frozen=True, eq=False)
class ChartCurve:
    """A curve to draw.

    Attributes:
        title: of a class as the style has it, or `FACES_TITLE`.
        x: `(k,)` of each point.
        y: `(k,)` of each point.
        thresholds: `(k,)` from which score on each point is.
        operating_point: where the thresholds in use lie, or nowhere.
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
    """Return curves over all thresholds; each dot is what is in use.

    Args:
        lines: the curves.
        x_title: of the axis to the right.
        y_title: of the axis upwards.
        steps: draw steps, as between two scores that occur nothing changes.
        x_max: where the axis to the right ends; None where the curves do.
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
    """Return the points that the curves are drawn through, and their thresholds."""
    points: list[ChartRow] = []
    for line in lines:
        for index in simplify_line(line.x, line.y):
            point = _point_row(line.title, line.x[index], line.y[index])
            threshold = round(float(line.thresholds[index]), 3)
            points.append({**point, "place": len(points), "threshold": threshold})
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
    threshold = {**_quantitative_field("threshold", "From score"), "format": ".2f"}
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
    order = {"order": {"field": "place", "type": "quantitative"}}
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
    """Return what is told of a dot: its name, shares by field, how many faces."""
    return [
        {"field": field, "type": "nominal", "title": title},
        *(
            {**_quantitative_field(field_name, field_title), "format": PERCENT_FORMAT}
            for field_name, field_title in rates.items()
        ),
        _quantitative_field("n", "Faces"),
    ]


def calibration_chart(rows: Iterable[ChartRow], names: Sequence[str]) -> VegaSpec:
    """Return how often was right what was said so surely; on the diagonal at best.

    Args:
        rows: `run` (one of `names`), `score`, `share`, `low`, `high` and `n`.
        names: before and after.
    """
    common = _calibration_encoding(names)
    numbers = {"score": "Said", "share": "Right", "low": "From", "high": "To"}
    tooltips = _rate_tooltips("run", "Confidence", numbers)
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
    """Return the two axes, a little wider than shares are, and the colours."""
    both = {
        "scale": {"domain": [-0.03, 1.03], "nice": False},
        "axis": {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]},
    }
    colours = [GREY, THRESHOLD_COLOUR][-len(names) :]
    return {
        "x": {**_quantitative_field("score", "Confidence said"), **both},
        "y": {**_quantitative_field("share", "Right"), **both},
        "color": {
            "field": "run",
            "type": "nominal",
            "scale": {"domain": list(names), "range": colours},
        },
    }


def slice_rates_chart(rows: Sequence[ChartRow], *, x_title: str) -> VegaSpec:
    """Return a share with its interval for each part of a set.

    Args:
        rows: `part`, `share`, `low`, `high` and `n`, in the order they are shown.
        x_title: what the share is of.
    """
    y = {
        "field": "part",
        "type": "nominal",
        "title": None,
        "sort": [row["part"] for row in rows],
        "axis": {"labelLimit": 150},
    }
    x = {
        **_quantitative_field("share", x_title),
        "scale": _UNIT_SCALE,
        "axis": {"format": "%"},
    }
    numbers = {"share": x_title, "low": "From", "high": "To"}
    tooltips = _rate_tooltips("part", "Part", numbers)
    return {
        "datasets": {"parts": list(rows)},
        "data": {"name": "parts"},
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
