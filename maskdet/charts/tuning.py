"""Interactive charts of tuning: histogram of a score, and box editor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from maskdet.charts.spec import (
    CLICK_SELECTION,
    GREY,
    THRESHOLD_COLOUR,
    ChartRow,
    VegaSpec,
    click_selection,
    encode_colour,
    label_colours,
    layer_charts,
    nominal_field,
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

_MAX_BELOW_RATIO: Final = 3
"""Maximum ratio of the axis below zero to the axis above zero."""

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
    style: Style = DEFAULT_STYLE,
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
        style: names and colours of the classes.
    """
    bars, bins = _stack_bars(edges, parts, set(below))
    x = quantitative_field(
        "low",
        scale={"domain": [edges[0], edges[-1]], "nice": False},
        axis={"format": ".1f", "tickCount": 10},
    )
    y = quantitative_field(
        "y",
        "Faces",
        scale={"type": "sqrt", "domain": _y_domain(bars), "nice": False},
        axis={"labelExpr": "format(abs(datum.value), ',')", "tickCount": 6},
    )
    class_colours = {**label_colours(style), NO_FACE_TITLE: GREY}
    colour = encode_colour("actual", {title: class_colours[title] for title in parts})
    threshold_lines = {
        "data": {"name": "lines"},
        "mark": {"type": "rule", "strokeWidth": 3, "color": THRESHOLD_COLOUR},
        "encoding": {"x": {**x, "field": "threshold"}},
    }
    return layer_charts(
        [
            _histogram_bars(x, y, colour),
            threshold_lines,
            _click_targets(x, parts, x_title),
        ],
        {
            "bars": bars,
            "bins": bins,
            "lines": [{"threshold": float(line)} for line in lines],
        },
        height=280,
        grid=False,
    )


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
    x: VegaSpec, parts: Mapping[str, Sequence[int]], title: str
) -> VegaSpec:
    """Return an invisible layer with clicks and tooltips over the full bins."""
    tooltips = [nominal_field("span", title)]
    tooltips += [
        quantitative_field(_count_field(index), part_title)
        for index, part_title in enumerate(parts)
    ]
    return {
        "data": {"name": "bins"},
        "params": [
            click_selection(
                CLICK_SELECTION, ["threshold"], on=_CLICK_OR_DRAG, clear=False
            )
        ],
        "mark": {"type": "rect", "cursor": "ew-resize", "opacity": 0},
        "encoding": {
            "x": {**x, "bin": "binned"},
            "x2": {"field": "high"},
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
