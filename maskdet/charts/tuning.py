"""Interactive charts of tuning: rates and scores by threshold, and box editor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from maskdet.charts.spec import (
    CLICK_SELECTION,
    GREY,
    THRESHOLD_COLOUR,
    UNIT_SCALE,
    ChartRow,
    VegaSpec,
    assign_run_colours,
    click_selection,
    encode_colour,
    layer_charts,
    nominal_field,
    percent_field,
    quantitative_field,
)
from maskdet.html_templates import encode_data_url
from maskdet.media import encode_jpeg, resize_image
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Label

NO_FACE_TITLE: Final = "No face"
"""Actual class of a false positive."""

# A drag selects as a click does.
_CLICK_OR_DRAG: Final = "click, [pointerdown, window:pointerup] > pointermove"

_THRESHOLD_CHART_HEIGHT_PX: Final = 280

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
    colours: Mapping[str, str],
    x_title: str,
    clickable: bool = True,
) -> VegaSpec:
    """Return translucent histograms of a score, with lines at the thresholds.

    The bars are fractions of each part, so that a rare part is as visible as a common
    one.

    Args:
        edges: `(n + 1,)` edges of the bins, ascending.
        parts: `(n,)` counts by title of the part.
        lines: the thresholds.
        colours: CSS colour of each part.
        x_title: title of the score.
        clickable: whether a click or a drag selects a bin: the field `threshold` of the
            selection `CLICK_SELECTION` is then its lower edge.
    """
    bars: list[ChartRow] = []
    bins: list[ChartRow] = []
    totals = {title: max(1, sum(counts)) for title, counts in parts.items()}
    for index in range(len(edges) - 1):
        low, high = float(edges[index]), float(edges[index + 1])
        counts = {title: int(values[index]) for title, values in parts.items()}
        for title, count in counts.items():
            if count:
                rate = round(count / totals[title], 5)
                ends = {"low": low, "high": high}
                bars.append({**ends, "part": title, "count": count, "rate": rate})
        bins.append(_bin_row(low, high, list(counts.values())))
    x = _score_axis(edges[0], edges[-1], x_title)
    layer = {
        "data": {"name": "bars"},
        "mark": {"type": "bar", "binSpacing": 0.5, "opacity": 0.6},
        "encoding": {
            "x": {**x, "field": "low", "bin": "binned"},
            "x2": {"field": "high"},
            "y": quantitative_field(
                "rate", "Fraction", stack=None, axis={"format": "%", "tickCount": 6}
            ),
            "color": encode_colour("part", {name: colours[name] for name in parts}),
        },
    }
    tooltips = [
        quantitative_field(_part_field(index), title, format=",")
        for index, title in enumerate(parts)
    ]
    return layer_charts(
        [
            layer,
            _threshold_lines(x),
            _bin_targets(x, tooltips, x_title, clickable=clickable),
        ],
        {"bars": bars, "bins": bins, "lines": _line_rows(lines)},
        height=_THRESHOLD_CHART_HEIGHT_PX,
        grid=False,
    )


def threshold_rates_chart(
    thresholds: Sequence[float],
    rates: Mapping[str, Sequence[float]],
    threshold: float,
    optimal: float | None,
    *,
    x_title: str,
) -> VegaSpec:
    """Return rates against a threshold, with the current and the optimal threshold.

    A click or a drag selects a threshold, as in `threshold_histogram`.

    Args:
        thresholds: `(n,)` at equal distances, ascending.
        rates: `(n,)` rates by title; NaN where undefined.
        threshold: the current threshold.
        optimal: the optimal threshold; None if there is none.
        x_title: title of the threshold.
    """
    points: list[ChartRow] = [
        {"threshold": float(at), "metric": title, "rate": round(float(rate), 5)}
        for title, values in rates.items()
        for at, rate in zip(thresholds, values, strict=True)
        if not math.isnan(rate)
    ]
    half = (thresholds[1] - thresholds[0]) / 2
    bins = []
    for index, at in enumerate(thresholds):
        values = [float(rate[index]) for rate in rates.values()]
        shown = [None if math.isnan(value) else round(value, 5) for value in values]
        bins.append(_bin_row(float(at) - half, float(at) + half, shown, float(at)))
    x = _score_axis(0.0, 1.0, x_title)
    dashes = dict(zip(rates, ([1, 0], [7, 3], [2, 2]), strict=True))
    lines = {
        "data": {"name": "points"},
        "mark": {"type": "line", "strokeWidth": 2.5},
        "encoding": {
            "x": {**x, "field": "threshold"},
            "y": quantitative_field(
                "rate", "Rate", scale=UNIT_SCALE, axis={"format": "%", "tickCount": 6}
            ),
            "color": encode_colour("metric", assign_run_colours(rates)),
            "strokeDash": nominal_field(
                "metric",
                scale={"domain": list(dashes), "range": list(dashes.values())},
            ),
        },
    }
    tooltips = [
        percent_field(_part_field(index), title) for index, title in enumerate(rates)
    ]
    return layer_charts(
        [
            lines,
            *_optimal_marker(x),
            _threshold_lines(x),
            _bin_targets(x, tooltips, x_title, clickable=True),
        ],
        {
            "points": points,
            "bins": bins,
            "lines": _line_rows([threshold]),
            "optimal": []
            if optimal is None
            else [
                {
                    "threshold": optimal,
                    "text": f"Optimal {optimal:.2f}",
                    # Not beyond the chart at both ends.
                    "align": "left" if optimal < 0.5 else "right",
                }
            ],
        },
        height=_THRESHOLD_CHART_HEIGHT_PX,
        grid=False,
    )


def _optimal_marker(x: VegaSpec) -> list[VegaSpec]:
    """Return a dotted line at the optimal threshold, and its name above the chart."""
    at = {**x, "field": "threshold"}
    line = {"type": "rule", "color": GREY, "strokeDash": [4, 4], "strokeWidth": 2}
    layers: list[VegaSpec] = [
        {"data": {"name": "optimal"}, "mark": line, "encoding": {"x": at}}
    ]
    for align in ("left", "right"):
        text: VegaSpec = {"type": "text", "color": GREY, "fontSize": 12}
        # Inside, the line of the threshold would cross it on a phone.
        text |= {"fontWeight": 600, "y": -8, "align": align}
        layers.append(
            {
                "data": {"name": "optimal"},
                "transform": [{"filter": f"datum.align === '{align}'"}],
                "mark": text,
                "encoding": {"x": at, "text": nominal_field("text")},
            }
        )
    return layers


def _score_axis(low: float, high: float, title: str) -> VegaSpec:
    return {
        "type": "quantitative",
        "title": title,
        "scale": {"domain": [low, high], "nice": False},
        "axis": {"format": ".1f", "tickCount": 10},
    }


def _line_rows(lines: Sequence[float]) -> list[ChartRow]:
    return [{"threshold": float(line)} for line in lines]


def _threshold_lines(x: VegaSpec) -> VegaSpec:
    return {
        "data": {"name": "lines"},
        "mark": {"type": "rule", "strokeWidth": 3, "color": THRESHOLD_COLOUR},
        "encoding": {"x": {**x, "field": "threshold"}},
    }


def _bin_row(
    low: float,
    high: float,
    values: Sequence[float | None],
    threshold: float | None = None,
) -> ChartRow:
    """Return a row of the layer of targets; a bin has its lower edge as threshold."""
    is_bin = threshold is None
    return {
        "low": low,
        "high": high,
        "threshold": low if threshold is None else threshold,
        "span": f"{low:.2f} to {high:.2f}" if is_bin else f"{threshold:.2f}",
        **{_part_field(index): value for index, value in enumerate(values)},
    }


def _bin_targets(
    x: VegaSpec, tooltips: Sequence[VegaSpec], x_title: str, *, clickable: bool
) -> VegaSpec:
    """Return an invisible layer with tooltips, and clicks, over the full height."""
    click = click_selection(
        CLICK_SELECTION, ["threshold"], on=_CLICK_OR_DRAG, clear=False
    )
    cursor = {"cursor": "ew-resize"} if clickable else {}
    return {
        "data": {"name": "bins"},
        "params": [click] if clickable else [],
        "mark": {"type": "rect", "opacity": 0, "clip": True, **cursor},
        "encoding": {
            "x": {**x, "field": "low", "bin": "binned"},
            "x2": {"field": "high"},
            "tooltip": [nominal_field("span", x_title), *tooltips],
        },
    }


def _part_field(index: int) -> str:
    """Return the field of a part's value; Vega would parse a title as a path."""
    return f"part_{index}"


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
    small = resize_image(image, min(1.0, _SENT_LONG_SIDE_PX / max(image.shape[:2])))
    return encode_data_url(encode_jpeg(small, 95))
