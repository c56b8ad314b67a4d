"""Interactive charts of the Tune page: score histogram, confusion matrix, box editor.

The charts that follow a slider are plain Vega-Lite specifications, because validation
in Altair is too slow for that. Their data are named datasets, so that a slider change
replaces only these.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import cv2
import numpy as np

from maskdet.charts.theme import GREY, PERCENT_FORMAT, ChartRow
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Image, Label

VegaSpec: TypeAlias = dict[str, Any]
"""A Vega-Lite specification with its datasets."""

CLICK_SELECTION: Final = "click"
"""Name of the selection of a click, in every chart that can be clicked."""

NO_FACE_TITLE: Final = "No face"
"""Actual class of a false positive."""

THRESHOLD_COLOUR: Final = "#7d74d6"
"""Colour of thresholds and selections; no class has it."""

# A drag selects as a click does.
_CLICK_OR_DRAG: Final = "click, [pointerdown, window:pointerup] > pointermove"

_MAX_BELOW_RATIO: Final = 3
"""Maximum ratio of the axis below zero to the axis above zero."""

HISTOGRAM_CONFIG: Final = {
    "legend": {"orient": "bottom", "columns": 3, "title": None},
    "axis": {"grid": False},
    "view": {"stroke": None},
}

# Fill of a rate of 0 and of 1 by kind of cell; the text on them is black or white.
_CELL_FILLS: Final = {
    "correct": ("#eaf2fa", "#0b559f"),
    "wrong": ("#fbeee4", "#a84a12"),
    "unsure": ("#eeeff3", "#5c6070"),
}

_CELL_TOOLTIPS: Final = [
    {"field": "actual", "type": "nominal", "title": "Actual"},
    {"field": "predicted", "type": "nominal", "title": "Predicted"},
    {"field": "count", "type": "quantitative", "title": "Faces", "format": ","},
    {
        "field": "rate",
        "type": "quantitative",
        "title": "Fraction of row",
        "format": PERCENT_FORMAT,
    },
]

BOX_SELECTION: Final = "box"
"""Name of the selection of a drawn box; it has the ranges `x` and `y` in pixels."""

_SENT_LONG_SIDE_PX: Final = 1000
"""Maximum long side of the transmitted image."""

_DISPLAY_LONG_SIDE_PX: Final = 620
"""Long side of the image on the page."""


def threshold_histogram(
    edges: Sequence[float],
    parts: Mapping[str, Sequence[int]],
    lines: Sequence[float],
    *,
    below: Sequence[str] = (NO_FACE_TITLE,),
    x_title: str,
    y_title: str = "Faces",
    style: Style = DEFAULT_STYLE,
    colours: Mapping[str, str] | None = None,
) -> VegaSpec:
    """Return a histogram of a score by actual class, with lines at the thresholds.

    A click or a drag selects a bin: the field `threshold` of the selection
    `CLICK_SELECTION` is its lower edge. The y axis is a square-root scale, which keeps
    small counts visible; bars below zero are clipped if they are much longer than those
    above.

    Args:
        edges: `(n + 1,)` edges of the bins, ascending.
        parts: `(n,)` counts by title of the actual class.
        lines: the thresholds.
        below: titles of the parts that are drawn below zero.
        x_title: title of the score in the tooltip.
        y_title: title of the y axis.
        style: names and colours of the classes.
        colours: colours of further titles.
    """
    bars, bins = _stack_bars(edges, parts, set(below))
    thresholds = [{"threshold": float(line)} for line in lines]
    x, y = _score_axis(edges), _count_axis(bars, y_title)
    colour = _class_colour(parts, style, colours or {})
    return {
        "datasets": {"bars": bars, "bins": bins, "lines": thresholds},
        "layer": [
            _histogram_bars(x, y, colour),
            _threshold_lines(x),
            _click_targets(x, parts, x_title),
        ],
        "height": 280,
        "config": HISTOGRAM_CONFIG,
    }


def _score_axis(edges: Sequence[float]) -> VegaSpec:
    return {
        "field": "low",
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [edges[0], edges[-1]], "nice": False},
        "axis": {"format": ".1f", "tickCount": 10},
    }


def _count_axis(bars: Sequence[Mapping[str, Any]], title: str) -> VegaSpec:
    return {
        "field": "y",
        "type": "quantitative",
        "title": title,
        "scale": {"type": "sqrt", "domain": _y_domain(bars), "nice": False},
        "axis": {"labelExpr": "format(abs(datum.value), ',')", "tickCount": 6},
    }


def _class_colour(
    titles: Iterable[str], style: Style, others: Mapping[str, str]
) -> VegaSpec:
    colours = {style.title(label): style.colour_css(label) for label in CLASSES}
    colours |= {NO_FACE_TITLE: GREY, **others}
    titles = list(titles)
    scale = {"domain": titles, "range": [colours[title] for title in titles]}
    return {"field": "actual", "type": "nominal", "scale": scale}


def _threshold_lines(x: VegaSpec) -> VegaSpec:
    """Return the lines at the thresholds."""
    return {
        "data": {"name": "lines"},
        "mark": {"type": "rule", "strokeWidth": 3, "color": THRESHOLD_COLOUR},
        "encoding": {"x": {**x, "field": "threshold"}},
    }


def _histogram_bars(x: VegaSpec, y: VegaSpec, colour: VegaSpec) -> VegaSpec:
    return {
        "data": {"name": "bars"},
        "mark": {"type": "bar", "binSpacing": 0.5, "opacity": 0.9, "clip": True},
        "encoding": {
            "x": {**x, "bin": "binned"},
            "x2": {"field": "high"},
            "y": y,
            "y2": {"field": "y2"},
            "color": colour,
        },
    }


def _y_domain(bars: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the lower and upper end of the y axis."""
    up = max([bar["y"] for bar in bars] + [1])
    down = max([-bar["y"] for bar in bars] + [0])
    return [-float(min(down, max(10, _MAX_BELOW_RATIO * up))), float(up)]


def _click_targets(
    x: Mapping[str, Any], parts: Mapping[str, Sequence[int]], title: str
) -> VegaSpec:
    """Return an invisible layer with clicks and tooltips over the full bins."""
    tooltips = [{"field": "span", "type": "nominal", "title": title}]
    tooltips += [
        {"field": _count_field(index), "type": "quantitative", "title": part_title}
        for index, part_title in enumerate(parts)
    ]
    over = {"fillOpacity": {"value": 0}}
    return {
        "data": {"name": "bins"},
        "params": [
            {
                "name": CLICK_SELECTION,
                "select": {
                    "type": "point",
                    "on": _CLICK_OR_DRAG,
                    "fields": ["threshold"],
                    "toggle": False,
                    "clear": False,
                },
            }
        ],
        "mark": {"type": "rect", "cursor": "ew-resize", "color": GREY},
        "encoding": {
            "x": {**x, "bin": "binned"},
            "x2": {"field": "high"},
            **over,
            "tooltip": tooltips,
        },
    }


def _stack_bars(
    edges: Sequence[float], parts: Mapping[str, Sequence[int]], below: set[str]
) -> tuple[list[ChartRow], list[ChartRow]]:
    """Return the bars, and one row for each bin with all its counts."""
    bars: list[ChartRow] = []
    bins: list[ChartRow] = []
    for index in range(len(edges) - 1):
        low, high = float(edges[index]), float(edges[index + 1])
        counts = {title: int(counts[index]) for title, counts in parts.items()}
        up = down = 0
        for title, count in counts.items():
            if not count:
                continue
            start = down if title in below else up
            end = start - count if title in below else start + count
            if title in below:
                down = end
            else:
                up = end
            ends = {"low": low, "high": high, "y": end, "y2": start}
            bars.append({**ends, "actual": title, "count": count})
        span = f"{low:.2f} to {high:.2f}"
        fields = {_count_field(row): count for row, count in enumerate(counts.values())}
        bins.append(
            {"low": low, "high": high, "threshold": low, "span": span, **fields}
        )
    return bars, bins


def _count_field(index: int) -> str:
    """Return the field of a part's count; Vega would parse a title as a path."""
    return f"part_{index}"


def confusion_heatmap(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    predicted: Sequence[str],
    *,
    selected: tuple[int, int] | None = None,
) -> VegaSpec:
    """Return the confusion matrix of classes, missed faces and false positives.

    A click selects a cell: the selection `CLICK_SELECTION` has its `row` and `column`.

    Args:
        counts: a row for each actual class, the last one for no face, and a column for
            each prediction, the last two for unsure and missed.
        actual: titles of the rows.
        predicted: titles of the columns.
        selected: row and column of the cell that is outlined.
    """
    return {
        "datasets": {"cells": _confusion_cells(counts, actual, predicted, selected)},
        "data": {"name": "cells"},
        "layer": _confusion_layers(_confusion_axes(actual, predicted)),
        "height": 250,
        "config": HISTOGRAM_CONFIG,
    }


def _confusion_axes(actual: Sequence[str], predicted: Sequence[str]) -> VegaSpec:
    split = {"labelAngle": 0, "labelExpr": "split(datum.label, ' ')"}
    return {
        "x": {
            "field": "predicted",
            "type": "nominal",
            "title": "Predicted",
            "sort": list(predicted),
            "axis": {**split, "orient": "top", "domain": False, "ticks": False},
        },
        "y": {
            "field": "actual",
            "type": "nominal",
            "title": None,
            "sort": list(actual),
            "axis": {**split, "domain": False, "ticks": False},
        },
    }


def _confusion_cells(
    counts: Sequence[Sequence[int]],
    actual: Sequence[str],
    predicted: Sequence[str],
    selected: tuple[int, int] | None,
) -> list[ChartRow]:
    rows: list[ChartRow] = []
    for i, actual_title in enumerate(actual):
        total = sum(int(count) for count in counts[i])
        for j, predicted_title in enumerate(predicted):
            if i == len(actual) - 1 and j == len(predicted) - 1:
                continue  # there is no cell for no face and missed
            count = int(counts[i][j])
            rows.append(
                {
                    "actual": actual_title,
                    "predicted": predicted_title,
                    "row": i,
                    "column": j,
                    "count": count,
                    "rate": round(count / total, 5) if total else 0.0,
                    **_cell_colours(
                        _cell_kind(i, j, len(predicted)), count / max(1, total)
                    ),
                    "selected": selected == (i, j),
                }
            )
    return rows


def _cell_kind(row: int, column: int, columns: int) -> str:
    if column == columns - 2:
        return "unsure"
    return "correct" if row == column else "wrong"


def _cell_colours(kind: str, rate: float) -> ChartRow:
    """Return the colour of a cell and of its text."""
    low, high = (
        [int(colour[offset : offset + 2], 16) for offset in (1, 3, 5)]
        for colour in _CELL_FILLS[kind]
    )
    channels = (round(a + (b - a) * rate) for a, b in zip(low, high, strict=True))
    fill = "#" + "".join(f"{channel:02x}" for channel in channels)
    return {"fill": fill, "colour": "white" if rate > 0.5 else "black"}


def _confusion_layers(base: Mapping[str, Any]) -> list[VegaSpec]:
    stroke_width = {
        "condition": {"test": "datum.selected", "value": 4},
        "value": 0,
    }
    cells = {
        "params": [
            {
                "name": CLICK_SELECTION,
                "select": {
                    "type": "point",
                    "fields": ["row", "column"],
                    "toggle": False,
                    "clear": False,
                },
            }
        ],
        "mark": {"type": "rect", "cursor": "pointer", "cornerRadius": 3, "inner": 2},
        "encoding": {
            **base,
            "fill": {"field": "fill", "type": "nominal", "scale": None},
            "stroke": {"value": THRESHOLD_COLOUR},
            "strokeWidth": stroke_width,
            "tooltip": _CELL_TOOLTIPS,
        },
    }
    return [
        cells,
        _cell_text(base, "count", ",", 17, -8),
        _cell_text(base, "rate", ".0%", 11, 10),
    ]


def _cell_text(
    base: Mapping[str, Any], field: str, number_format: str, size: int, dy: int
) -> VegaSpec:
    """Return the text in the cells, which passes clicks on to the cells."""
    return {
        "mark": {"type": "text", "fontSize": size, "dy": dy, "tooltip": None}
        | {"aria": False, "cursor": "pointer"},
        "encoding": {
            **base,
            "text": {"field": field, "type": "quantitative", "format": number_format},
            "color": {"field": "colour", "type": "nominal", "scale": None},
        },
    }


def draw_boxes_chart(
    image: Image,
    faces: Iterable[tuple[Sequence[float], Label]],
    style: Style = DEFAULT_STYLE,
) -> VegaSpec:
    """Return an image with its boxes, on which another box can be drawn.

    Args:
        image: the image; a large one is reduced, but coordinates stay in its pixels.
        faces: box `x1, y1, x2, y2` in pixels and label of each face.
        style: names and colours of the classes.
    """
    height, width = image.shape[:2]
    x = {"type": "quantitative", "axis": None, "scale": _pixel_scale(width)}
    y = {"type": "quantitative", "axis": None, "scale": _pixel_scale(height, down=True)}
    return {
        "layer": [_image_layer(image, x, y), _box_layer(faces, style, x, y)],
        "width": round(width * _DISPLAY_LONG_SIDE_PX / max(width, height)),
        "height": round(height * _DISPLAY_LONG_SIDE_PX / max(width, height)),
        "config": {"view": {"stroke": None}},
    }


def _image_layer(image: Image, x: VegaSpec, y: VegaSpec) -> VegaSpec:
    """Return the layer of the image, on which a box can be drawn."""
    return {
        "data": {"values": [{"url": _image_data_url(image), "x": 0, "y": 0}]},
        "mark": {
            "type": "image",
            "align": "left",
            "baseline": "top",
            "width": {"expr": "width"},
            "height": {"expr": "height"},
            "aspect": False,
        },
        "encoding": {
            "x": {"field": "x", **x},
            "y": {"field": "y", **y},
            "url": {"field": "url", "type": "nominal"},
        },
        "params": [{"name": BOX_SELECTION, "select": {"type": "interval"}}],
    }


def _box_layer(
    faces: Iterable[tuple[Sequence[float], Label]],
    style: Style,
    x: VegaSpec,
    y: VegaSpec,
) -> VegaSpec:
    """Return the layer of the existing boxes."""
    rows = [
        {
            **dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True)),
            "colour": style.colour_css(label),
            "label": style.title(label),
        }
        for box, label in faces
    ]
    return {
        "data": {"values": rows},
        "mark": {"type": "rect", "fillOpacity": 0, "strokeWidth": 2},
        "encoding": {
            "x": {"field": "x1", **x},
            "x2": {"field": "x2"},
            "y": {"field": "y1", **y},
            "y2": {"field": "y2"},
            "stroke": {"field": "colour", "type": "nominal", "scale": None},
        },
    }


def _pixel_scale(length: int, *, down: bool = False) -> VegaSpec:
    ends = [length, 0] if down else [0, length]
    return {"domain": ends, "nice": False, "zero": False}


def _image_data_url(image: Image) -> str:
    height, width = image.shape[:2]
    scale = min(1.0, _SENT_LONG_SIDE_PX / max(width, height))
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA))
    jpeg = cv2.imencode(".jpg", small)[1].tobytes()
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
