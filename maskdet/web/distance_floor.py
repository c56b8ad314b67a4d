"""Four points on the floor: clicked or dragged on a picture, or typed."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import streamlit as st

from maskdet.boxes import Boxes
from maskdet.drawing import blurred
from maskdet.media import encode_jpeg
from maskdet.style import Style
from maskdet.types import Image
from maskdet.web import distance, session
from maskdet.web.distance_marks import CSS, HTML, JS

CORNERS: Final = ("far left", "far right", "near right", "near left")

START: Final = (0.3, 0.55, 0.7, 0.55, 0.9, 0.95, 0.1, 0.95)
"""Where the points lie before anybody moved one."""

_MARKS: Final = "maskdet.marks"
_LONG_SIDE_PX: Final = 960
_DIGITS: Final = 5
"""A hundredth of a pixel; more would only make links longer."""


@dataclass(frozen=True, eq=False)
class Still:
    """A picture of the floor, and where faces are in it.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        faces: `(n, 4)` boxes in pixels, blurred if the visitor wants it.
    """

    image: Image
    faces: Boxes


def mark(still: Still | None) -> None:
    """Show the points on a picture, to be moved there or by typing.

    Args:
        still: the picture; without one only the points are shown.
    """
    st.markdown(
        "Mark the corners of a **rectangle on the floor**, such as tiles or a carpet: "
        "click or drag each point, or move it with the arrow keys."
    )
    chosen = session.preferences()
    points, style = chosen.settings.ground_points or START, chosen.style
    _component()(
        data={
            "image": "" if still is None else address(still, style),
            "points": [round(number, _DIGITS) for number in points],
            "names": list(CORNERS),
        },
        key=_MARKS,
        on_moved_change=_moved,
    )
    distance.rectangle()
    with st.expander("Type the points", icon=":material/keyboard:"):
        _typed(points)


def _typed(points: tuple[float, ...]) -> None:
    keys = [f"distance.floor.{number}" for number in range(8)]
    shown = [round(100 * point, _DIGITS - 2) for point in points]
    distance.fill(dict(zip(keys, shown, strict=True)))
    st.caption(
        "In percent of the picture's width, from the left, and height, from above."
    )
    for corner, name in enumerate(CORNERS):
        places = st.columns(2)
        for axis, place in zip("xy", places, strict=True):
            place.number_input(
                f"{corner + 1}, {name}: {axis} (%)",
                *(-200.0, 300.0),
                step=0.5,
                format="%g",
                key=keys[2 * corner + "xy".index(axis)],
                on_change=_numbers_typed,
            )


def _numbers_typed() -> None:
    typed = [st.session_state[f"distance.floor.{number}"] for number in range(8)]
    distance.change(ground_points=tuple(round(value / 100, _DIGITS) for value in typed))


def _moved() -> None:
    """Use points that the browser sent, if they are any."""
    told = st.session_state[_MARKS].get("moved")
    try:
        distance.change(ground_points=tuple(round(number, _DIGITS) for number in told))
    except (TypeError, ValueError):
        # Not from our own page; the points stay where they are.
        return


# One for all visitors: it holds only the code that browsers run.
@st.cache_resource(show_spinner=False)
def _component() -> Any:
    return st.components.v2.component(
        "maskdet_floor", html=HTML, css=CSS, js=JS, isolate_styles=True
    )


def address(still: Still, style: Style) -> str:
    """Return the picture as a `data:` address, not larger than it is shown."""
    image = blurred(still.image, still.faces) if style.blur else still.image
    scale = min(1.0, _LONG_SIDE_PX / max(image.shape[:2]))
    if scale < 1:
        height, width = image.shape[:2]
        size_wh = max(1, round(scale * width)), max(1, round(scale * height))
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    return f"data:image/jpeg;base64,{b64encode(encode_jpeg(image)).decode()}"
