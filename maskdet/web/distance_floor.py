"""Four points on the floor: clicked or dragged on a picture, or typed."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import streamlit as st

from maskdet.boxes import Boxes
from maskdet.drawing import blur_faces
from maskdet.media import encode_jpeg
from maskdet.style import Style
from maskdet.types import Image
from maskdet.web import distance, session
from maskdet.web.distance_marks import (
    POINT_EDITOR_CSS,
    POINT_EDITOR_HTML,
    POINT_EDITOR_JS,
)

CORNER_NAMES: Final = ("far left", "far right", "near right", "near left")

DEFAULT_GROUND_POINTS: Final = (0.3, 0.55, 0.7, 0.55, 0.9, 0.95, 0.1, 0.95)
"""Where the points lie before anybody moved one."""

_EDITOR_KEY: Final = "maskdet.marks"
_EDITOR_MAX_SIDE_PX: Final = 960
_POINT_DIGITS: Final = 5
"""A hundredth of a pixel; more would only make links longer."""


@dataclass(frozen=True, eq=False)
class StillImage:
    """A picture of the floor, and where faces are in it.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        face_boxes: `(n, 4)` boxes in pixels, blurred if the visitor wants it.
    """

    image: Image
    face_boxes: Boxes


def render_point_editor(still: StillImage | None) -> None:
    """Show the points on a picture, to be moved there or by typing.

    Args:
        still: the picture; without one only the points are shown.
    """
    st.markdown(
        "Mark the corners of a **rectangle on the floor**, such as tiles or a carpet: "
        "click or drag each point, or move it with the arrow keys."
    )
    preferences = session.get_preferences()
    points, style = (
        preferences.settings.ground_points or DEFAULT_GROUND_POINTS,
        preferences.style,
    )
    _get_editor()(
        data={
            "image": "" if still is None else to_data_url(still, style),
            "points": [round(number, _POINT_DIGITS) for number in points],
            "names": list(CORNER_NAMES),
        },
        key=_EDITOR_KEY,
        on_moved_change=_apply_moved_points,
    )
    distance.render_rectangle_size()
    with st.expander("Type the points", icon=":material/keyboard:"):
        _render_point_inputs(points)


def _render_point_inputs(points: tuple[float, ...]) -> None:
    keys = [f"distance.floor.{number}" for number in range(8)]
    percentages = [round(100 * point, _POINT_DIGITS - 2) for point in points]
    distance.fill_widgets(dict(zip(keys, percentages, strict=True)))
    st.caption(
        "In percent of the picture's width, from the left, and height, from above."
    )
    for corner, name in enumerate(CORNER_NAMES):
        columns = st.columns(2)
        for axis, column in zip("xy", columns, strict=True):
            column.number_input(
                f"{corner + 1}, {name}: {axis} (%)",
                *(-200.0, 300.0),
                step=0.5,
                format="%g",
                key=keys[2 * corner + "xy".index(axis)],
                on_change=_apply_typed_points,
            )


def _apply_typed_points() -> None:
    percentages = [st.session_state[f"distance.floor.{number}"] for number in range(8)]
    distance.update_distance_settings(
        ground_points=tuple(round(value / 100, _POINT_DIGITS) for value in percentages)
    )


def _apply_moved_points() -> None:
    """Use points that the browser sent, if they are any."""
    points = st.session_state[_EDITOR_KEY].get("moved")
    try:
        distance.update_distance_settings(
            ground_points=tuple(round(number, _POINT_DIGITS) for number in points)
        )
    except (TypeError, ValueError):
        # Not from our own page; the points stay where they are.
        return


# One for all visitors: it holds only the code that browsers run.
@st.cache_resource(show_spinner=False)
def _get_editor() -> Any:
    return st.components.v2.component(
        "maskdet_floor",
        html=POINT_EDITOR_HTML,
        css=POINT_EDITOR_CSS,
        js=POINT_EDITOR_JS,
        isolate_styles=True,
    )


def to_data_url(still: StillImage, style: Style) -> str:
    """Return the picture as a `data:` address, not larger than it is shown."""
    image = blur_faces(still.image, still.face_boxes) if style.blur else still.image
    scale = min(1.0, _EDITOR_MAX_SIDE_PX / max(image.shape[:2]))
    if scale < 1:
        height, width = image.shape[:2]
        size_wh = max(1, round(scale * width)), max(1, round(scale * height))
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    return f"data:image/jpeg;base64,{b64encode(encode_jpeg(image)).decode()}"
