"""The interactive result of an image: boxes, a list of the faces, and a zoom.

The browser links boxes and list, hides classes and zooms without running the page. The
files beside this module hold its HTML, CSS and JavaScript.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskdet.style import (
    Style,
    format_face_caption,
    format_percent,
    line_style,
    text_colour_bgr,
)
from maskdet.types import CLASSES, Label
from maskdet.web.components import load_component, to_media_url
from maskdet.web.image.cache import ImageView
from maskdet.web.image.results import ImageResult, summarize_scene
from maskdet.wording import join_percent


def render_overlay(result: ImageResult, view: ImageView, style: Style) -> None:
    """Render the image with its faces; the size follows the width of the page."""
    load_component("maskdet.web.image", "overlay")(
        data=build_overlay(result, view, style), key="image.overlay"
    )


def build_overlay(result: ImageResult, view: ImageView, style: Style) -> dict[str, Any]:
    """Return what the browser draws: the image, the classes and the faces.

    Boxes are in pixels of the original, whose size is `width` and `height`; all texts
    are plain.
    """
    analyzed = result.analyzed
    return {
        "image": to_media_url(view.preview),
        "alt": f"Faces of the image: {summarize_scene(result.scene, style)}",
        "width": analyzed.width,
        "height": analyzed.height,
        "boxes": style.boxes,
        "classes": [describe_class(label, style) for label in Label],
        "faces": _build_faces(result, view, style),
    }


def describe_class(label: Label, style: Style) -> Mapping[str, str]:
    """Return name, colours and line style of a class for the browser."""
    blue, green, red = text_colour_bgr(style.colour_bgr(label))
    return {
        "key": label.key,
        "title": style.title(label),
        "colour": style.colour_css(label),
        "ink": f"rgb({red} {green} {blue})",
        "line": line_style(label),
    }


def _build_faces(
    result: ImageResult, view: ImageView, style: Style
) -> list[Mapping[str, Any]]:
    scene = result.scene
    boxes = np.asarray(scene.faces.boxes, float).round(1)
    rows = zip(
        *(boxes, result.select_crops(view), scene.faces.scores),
        *(scene.labels, scene.likeliest, scene.confidences, scene.probs),
        strict=True,
    )
    return [
        {
            "box": box.tolist(),
            "key": label.key,
            "title": style.title(label),
            "caption": join_percent(
                format_face_caption(
                    label, float(confidence), style, likeliest=likeliest
                )
            ),
            "confidence": round(float(confidence), 4),
            "confidenceText": join_percent(format_percent(float(confidence))),
            "scoreText": join_percent(format_percent(float(score))),
            "size": f"{box[2] - box[0]:.0f} x {box[3] - box[1]:.0f} pixels",
            "crop": to_media_url(crop),
            "probs": [
                (
                    style.title(column),
                    join_percent(format_percent(float(prob))),
                    round(float(prob), 4),
                    style.colour_css(column),
                )
                for column, prob in zip(CLASSES, probs, strict=True)
            ],
        }
        for box, crop, score, label, likeliest, confidence, probs in rows
    ]
