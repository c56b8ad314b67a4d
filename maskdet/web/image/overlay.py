"""The interactive result of an image: boxes, a list of the faces, and a zoom.

The browser links boxes and list, hides classes and zooms without running the page. The
files beside this module hold its HTML, CSS and JavaScript.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import streamlit as st
from streamlit import config, runtime

from maskdet.style import (
    Style,
    format_face_caption,
    format_percent,
    line_style,
    text_colour_bgr,
)
from maskdet.types import CLASSES, Label
from maskdet.web.image.cache import render_original_preview
from maskdet.web.image.results import ImageResult, summarize_scene
from maskdet.web.server import streamlit_patches


def render_overlay(result: ImageResult, preview: bytes, style: Style) -> None:
    """Render the image with its faces; the size follows the width of the page."""
    load_component("overlay")(
        data=build_overlay(result, preview, style), key="image.overlay"
    )


def build_overlay(result: ImageResult, preview: bytes, style: Style) -> dict[str, Any]:
    """Return what the browser draws: the image, the classes and the faces.

    Boxes are in pixels of the original, whose size is `width` and `height`; all texts
    are plain. With `style.blur`, the image and the crops are anonymized.
    """
    analyzed = result.analyzed
    preview = render_original_preview(preview, analyzed, result.settings, style)
    return {
        "image": to_media_url(preview),
        "alt": f"Faces of the image: {summarize_scene(result.scene, style)}",
        "width": analyzed.width,
        "height": analyzed.height,
        "boxes": style.boxes,
        "classes": [describe_class(label, style) for label in Label],
        "faces": _build_faces(result, style),
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


def _build_faces(result: ImageResult, style: Style) -> list[Mapping[str, Any]]:
    scene = result.scene
    boxes = np.asarray(scene.faces.boxes, float).round(1)
    rows = zip(
        *(boxes, result.crops(style), scene.faces.scores),
        *(scene.labels, scene.likeliest, scene.confidences, scene.probs),
        strict=True,
    )
    return [
        {
            "box": box.tolist(),
            "key": label.key,
            "title": style.title(label),
            "caption": format_face_caption(
                label, float(confidence), style, likeliest=likeliest
            ),
            "confidence": round(float(confidence), 4),
            "confidenceText": format_percent(float(confidence)),
            "scoreText": format_percent(float(score)),
            "size": f"{box[2] - box[0]:.0f} x {box[3] - box[1]:.0f} pixels",
            "crop": to_media_url(crop),
            "probs": [
                (
                    style.title(column),
                    format_percent(float(prob)),
                    round(float(prob), 4),
                    style.colour_css(column),
                )
                for column, prob in zip(CLASSES, probs, strict=True)
            ],
        }
        for box, crop, score, label, likeliest, confidence, probs in rows
    ]


def to_media_url(jpeg: bytes) -> str:
    """Return an address at which the browser of this visitor finds an image.

    Streamlit serves it from memory until a later run of the page no longer asks for it,
    so that a slider sends an address again and not the image.
    """
    if not runtime.exists() or streamlit_patches.MEDIA_FILES.find() is None:
        return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
    digest = hashlib.sha256(jpeg).hexdigest()
    media_files = runtime.get_instance().media_file_mgr
    path = media_files.add(jpeg, "image/jpeg", f"maskdet.{digest}")
    base_path = str(config.get_option("server.baseUrlPath")).strip("/")
    return f"/{base_path}{path}" if base_path else path


# One component for all visitors: it holds only the code that browsers run.
@st.cache_resource(show_spinner=False)
def load_component(name: str) -> Any:
    """Return the browser component whose HTML, CSS and JavaScript have this name."""
    folder = files("maskdet.web.image")
    html, css, js = (
        (folder / f"{name}.{suffix}").read_text("utf-8")
        for suffix in ("html", "css", "js")
    )
    return st.components.v2.component(f"maskdet_{name}", html=html, css=css, js=js)
