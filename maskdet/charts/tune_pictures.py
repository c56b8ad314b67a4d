"""A picture with boxes on it, and room to draw another one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final

import cv2
import numpy as np

from maskdet.charts.tune import VegaSpec
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import Image, Label

BOX_SELECTION: Final = "area"
"""Name of the selection that drawing makes; it has the ranges `x` and `y` in pixels."""

_SENT_LONG_SIDE_PX: Final = 1000
_DISPLAY_LONG_SIDE_PX: Final = 620
"""Long side on the page."""


def draw_boxes_chart(
    image: Image,
    faces: Iterable[tuple[Sequence[float], Label]],
    style: Style = DEFAULT_STYLE,
) -> VegaSpec:
    """Return a picture with its boxes, upon which another one can be drawn.

    Args:
        image: the picture; a large one is shown smaller, its pixels stay the unit.
        faces: box `x1, y1, x2, y2` in pixels, and label of each face.
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
    """Return the layer of the picture, upon which a box can be drawn."""
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
    """Return the layer of the boxes there are."""
    rows = [
        {
            **dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True)),
            "ink": style.colour_css(label),
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
            "stroke": {"field": "ink", "type": "nominal", "scale": None},
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
