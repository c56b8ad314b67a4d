"""The thumbnails of several images: counts of faces, filters, open and remove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import streamlit as st

from maskdet.style import Style
from maskdet.types import Label
from maskdet.web.components import load_component, to_media_url
from maskdet.web.image.overlay import describe_class
from maskdet.web.image.results import ImageResult, shorten_name, summarize_scene

_KEY: Final = "image.thumbnails"


def render_thumbnails(
    image_results: Sequence[ImageResult],
    selected: int,
    style: Style,
    *,
    on_open: Callable[[int], None],
    on_remove: Callable[[int], None],
    on_clear: Callable[[], None],
) -> None:
    """Render the thumbnails; the callbacks get the index of an image.

    Args:
        image_results: the images, also those that could not be read.
        selected: index of the image that the page shows.
        style: names and colours of the classes; with `blur`, thumbnails are anonymized.
        on_open: the visitor chose an image.
        on_remove: the visitor removed an image.
        on_clear: the visitor removed all images.
    """

    def call(function: Callable[[int], None], event: str) -> None:
        number = st.session_state[_KEY].get(event)
        # The list may have changed since the browser drew it.
        for index, result in enumerate(image_results):
            if result.source.number == number:
                function(index)

    load_component("maskdet.web.image", "thumbnails")(
        data=build_thumbnails(image_results, selected, style),
        key=_KEY,
        on_opened_change=lambda: call(on_open, "opened"),
        on_removed_change=lambda: call(on_remove, "removed"),
        on_cleared_change=on_clear,
    )


def build_thumbnails(
    image_results: Sequence[ImageResult], selected: int, style: Style
) -> dict[str, Any]:
    """Return what the browser draws; all texts are plain."""
    items = [_build_item(result, style) for result in image_results]
    filters = [
        {"key": "", "title": "All"},
        *({"key": label.key, "title": style.title(label)} for label in Label),
        {"key": "no_face", "title": "No face"},
        {"key": "error", "title": "Not readable"},
    ]
    used = {kind for item in items for kind in item["kinds"]} | {""}
    return {
        "items": items,
        "selected": selected,
        "filters": [choice for choice in filters if choice["key"] in used],
    }


def _build_item(result: ImageResult, style: Style) -> dict[str, Any]:
    name = shorten_name(result.source.name)
    if result.analyzed.error:
        return {
            "number": result.source.number,
            "name": name,
            "label": f"{name}: {result.analyzed.error}",
            "image": "",
            "counts": [],
            "note": "",
            "kinds": ["error"],
        }
    counts = Counter(result.scene.labels)
    labels = [label for label in Label if counts[label]]
    return {
        "number": result.source.number,
        "name": name,
        "label": f"{name}: {summarize_scene(result.scene, style)}",
        "image": to_media_url(
            result.analyzed.blurred_thumbnail
            if style.blur
            else result.analyzed.thumbnail
        ),
        "counts": [
            {**describe_class(label, style), "n": counts[label]} for label in labels
        ],
        "note": "" if labels else "no face",
        "kinds": [label.key for label in labels] or ["no_face"],
    }
