"""Curves with a working point on them, and numbers with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from maskdet.charts.look import GREY, PERCENT, Row
from maskdet.charts.thinning import thinned
from maskdet.charts.tune import CUT_INK, Spec
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

FACES_TITLE: Final = "Faces"
"""The curve of faces, whatever their label."""

_CONFIG: Final = {
    "legend": {"orient": "bottom", "columns": 3, "title": None},
    "axis": {"gridOpacity": 0.5},
}


_WHOLE: Final = {"domain": [0, 1]}
"""A scale for shares."""

_DIAGONAL: Final = [{"score": 0, "share": 0}, {"score": 1, "share": 1}]


@dataclass(frozen=True, eq=False)
class Line:
    """A curve to draw.

    Attributes:
        title: of a class as the style has it, or `FACES_TITLE`.
        x: `(k,)` of each point.
        y: `(k,)` of each point.
        thresholds: `(k,)` from which score on each point is.
        point: where the thresholds in use lie, or nowhere.
    """

    title: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    point: tuple[float, float] | None


def swept(
    lines: Iterable[Line],
    *,
    x_title: str,
    y_title: str,
    steps: bool,
    x_most: float | None = 1.0,
    style: Style = DEFAULT_STYLE,
) -> Spec:
    """Return curves over all thresholds; each dot is what is in use.

    Args:
        lines: the curves.
        x_title: of the axis to the right.
        y_title: of the axis upwards.
        steps: draw steps, as between two scores that occur nothing changes.
        x_most: where the axis to the right ends; None where the curves do.
        style: names and colours of the classes.
    """
    lines = list(lines)
    dots = [_at(one.title, *one.point) for one in lines if one.point is not None]
    common = {
        "x": _swept_across(x_title, x_most),
        "y": {**_tip("y", y_title), "axis": {"format": "%"}, "scale": _WHOLE},
        "color": _colour(lines, style),
    }
    return {
        "datasets": {"points": _points(lines), "dots": dots},
        "layer": _swept_layers(common, steps=steps, shares=x_most == 1.0),
        "height": 320,
        "config": _CONFIG,
    }


def _points(lines: Iterable[Line]) -> list[Row]:
    """Return the points that the curves are drawn through, and their thresholds."""
    points: list[Row] = []
    for line in lines:
        for place in thinned(line.x, line.y):
            at = _at(line.title, line.x[place], line.y[place])
            threshold = round(float(line.thresholds[place]), 3)
            points.append({**at, "place": len(points), "threshold": threshold})
    return points


def _swept_across(title: str, most: float | None) -> Spec:
    scale: Spec = {"nice": most is None, "zero": True}
    if most is not None:
        scale["domain"] = [0, most]
    axis = {"format": "%" if most == 1.0 else "~g"}
    return {**_tip("x", title), "axis": axis, "scale": scale}


def _swept_layers(
    common: Mapping[str, Any], *, steps: bool, shares: bool
) -> list[Spec]:
    tips = [
        {"field": "class", "type": "nominal", "title": "Class"},
        {**_tip("x", common["x"]["title"]), "format": PERCENT if shares else ".3~f"},
        {**_tip("y", common["y"]["title"]), "format": PERCENT},
    ]
    threshold = {**_tip("threshold", "From score"), "format": ".2f"}
    how = "step-before" if steps else "linear"
    line = {"type": "line", "interpolate": how, "strokeWidth": 2, "clip": True}
    near = {"type": "point", "size": 120, "opacity": 0, "filled": True, "clip": True}
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
            "mark": near,
            "encoding": {**common, "tooltip": [*tips, threshold]},
        },
        {
            "data": {"name": "dots"},
            "mark": {**dot, "stroke": CUT_INK, "strokeWidth": 3},
            "encoding": {**common, "tooltip": tips},
        },
    ]


def _colour(lines: Iterable[Line], style: Style) -> Spec:
    known = {style.title(label): style.colour_css(label) for label in CLASSES}
    titles = [line.title for line in lines]
    inks = [known.get(title, GREY) for title in titles]
    return {
        "field": "class",
        "type": "nominal",
        "scale": {"domain": titles, "range": inks},
        "legend": {"symbolType": "stroke", "symbolStrokeWidth": 3},
    }


def _at(title: str, x: float, y: float) -> Row:
    return {"class": title, "x": round(float(x), 5), "y": round(float(y), 5)}


def _tip(field: str, title: str) -> Spec:
    return {"field": field, "type": "quantitative", "title": title}


def _share_tips(field: str, title: str, shares: Mapping[str, str]) -> list[Spec]:
    """Return what is told of a dot: its name, shares by field, how many faces."""
    return [
        {"field": field, "type": "nominal", "title": title},
        *({**_tip(one, said), "format": PERCENT} for one, said in shares.items()),
        _tip("n", "Faces"),
    ]


def calibration_chart(rows: Iterable[Row], names: Sequence[str]) -> Spec:
    """Return how often was right what was said so surely; on the diagonal at best.

    Args:
        rows: `run` (one of `names`), `score`, `share`, `low`, `high` and `n`.
        names: before and after.
    """
    common = _said_and_right(names)
    numbers = {"score": "Said", "share": "Right", "low": "From", "high": "To"}
    tips = _share_tips("run", "Confidence", numbers)
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
                "encoding": {**common, "tooltip": tips},
            },
        ],
        "height": 320,
        "config": _CONFIG,
    }


def _said_and_right(names: Sequence[str]) -> Spec:
    """Return the two axes, a little wider than shares are, and the colours."""
    both = {
        "scale": {"domain": [-0.03, 1.03], "nice": False},
        "axis": {"format": "%", "values": [0, 0.2, 0.4, 0.6, 0.8, 1]},
    }
    inks = [GREY, CUT_INK][-len(names) :]
    return {
        "x": {**_tip("score", "Confidence said"), **both},
        "y": {**_tip("share", "Right"), **both},
        "color": {
            "field": "run",
            "type": "nominal",
            "scale": {"domain": list(names), "range": inks},
        },
    }


def parts_chart(rows: Sequence[Row], *, x_title: str) -> Spec:
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
    x = {**_tip("share", x_title), "scale": _WHOLE, "axis": {"format": "%"}}
    numbers = {"share": x_title, "low": "From", "high": "To"}
    tips = _share_tips("part", "Part", numbers)
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
                | {"color": CUT_INK},
                "encoding": {"y": y, "x": x, "tooltip": tips},
            },
        ],
        "height": {"step": 24},
        "config": _CONFIG,
    }
