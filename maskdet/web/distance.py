"""Distance widgets of the Live and Video pages: method, floor points, contacts.

The visitor's preferences are the only source of these settings: a widget's callback
updates them, and the next run fills the widgets from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.distance import (
    FACE_HEIGHT_M,
    find_highest_risk_pair,
    get_geometry,
)
from maskdet.distance.geometry import FACE_HEIGHT_ERROR
from maskdet.drawing import blur_faces, draw_birds_eye
from maskdet.html_templates import render_html
from maskdet.media import encode_jpeg, resize_image
from maskdet.settings import DISTANCE_METHODS, Settings
from maskdet.style import Style, format_face_caption, format_pair_caption
from maskdet.types import Image, Scene
from maskdet.web import session
from maskdet.web.components import load_component, to_media_url
from maskdet.wording import PERCENT, format_elapsed

if TYPE_CHECKING:
    from markupsafe import Markup

    from maskdet.web.live.state import LiveSnapshot

_LIMITS_M: Final = (1.0, 1.8, 2.0)

_MODE_TITLES: Final = {
    "off": "Off",
    "relative": "Relative",
    "pinhole": "From camera angle",
    "ground_plane": "From floor marks",
}

_MODE_DESCRIPTIONS: Final = {
    "off": "Distances between people are not measured.",
    "relative": "Measured in face heights; needs no camera data. Accurate across the "
    "image, rough towards the camera. No bird's-eye view.",
    "pinhole": "In metres, from the size of each face and the camera's field of view; "
    f"typical error {100 * FACE_HEIGHT_ERROR:.0f}{PERCENT}, as face sizes differ.",
    "ground_plane": "In metres, from four points on the floor at known distances. The "
    f"most accurate method: about 5{PERCENT} error for standing people.",
}

_FIELDS: Final = (
    "distance",
    "contact_distance_m",
    "contact_duration_s",
    "field_of_view_deg",
    "ground_width_m",
    "ground_depth_m",
)

CORNER_NAMES: Final = ("far left", "far right", "near right", "near left")

DEFAULT_GROUND_POINTS: Final = (0.3, 0.55, 0.7, 0.55, 0.9, 0.95, 0.1, 0.95)
"""The points before the visitor moves one."""

_EDITOR_KEY: Final = "maskdet.point_editor"

_EDITOR_MAX_SIDE_PX: Final = 960

_POINT_DIGITS: Final = 5
"""A hundredth of a pixel; more would only make links longer."""

_MAX_CONTACTS: Final = 6

_DISTANCES_TEMPLATE: Final = """<div class="maskdet-live maskdet-distances">
<section><h2>Highest-risk contact</h2>
{% if pair %}<p><b>{{ pair.people }}</b><b>{{ pair.distance }}</b></p>
{% if pair.duration %}<p>In contact for {{ pair.duration }}</p>{% endif %}
{% else %}<p><span>No unmasked close contacts.</span></p>{% endif %}</section>
{% if totals %}<section><dl class="three">
{% for name, value in totals.items() %}
<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}</dl></section>{% endif %}
{% if contacts %}<section><h2>Contacts this session</h2>
{% for contact in contacts %}
<p><span>{{ contact.people }}</span><span>{{ contact.times }}</span></p>
{% endfor %}
{% if n_more %}<small>and {{ n_more }} more pairs</small>{% endif %}
</section>{% endif %}
</div>"""


def get_distance_widget_values(settings: Settings) -> dict[str, object]:
    """Return the value of each widget by its key."""
    return {_get_widget_key(name): getattr(settings, name) for name in _FIELDS}


def fill_widgets(widget_values: Mapping[str, object]) -> None:
    """Set the values of widgets before they are rendered, where they differ."""
    is_synchronized = session.is_previous_run_complete()
    for key, value in widget_values.items():
        if not is_synchronized or st.session_state.get(key) != value:
            st.session_state[key] = value


def update_distance_settings(**changes: object) -> None:
    """Update the distance settings in the visitor's preferences."""
    preferences = session.get_preferences()
    settings = dataclasses.replace(preferences.settings, **changes)  # type: ignore[arg-type]
    session.store_preferences(dataclasses.replace(preferences, settings=settings))


def render_distance_settings() -> Settings:
    """Render the choice of the distance method; return the current settings."""
    settings = session.get_preferences().settings
    fill_widgets(get_distance_widget_values(settings))
    st.segmented_control(
        "Distances between people",
        DISTANCE_METHODS,
        format_func=_MODE_TITLES.__getitem__,
        required=True,
        key=_get_widget_key("distance"),
        on_change=_apply_widget,
        args=("distance",),
    )
    mode = settings.distance
    st.caption(_MODE_DESCRIPTIONS[mode])
    if mode != "off":
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            _render_contact_limits(settings)
            if mode == "pinhole":
                _render_number_input(
                    "field_of_view_deg",
                    "Field of view (degrees)",
                    (10.0, 170.0, 1.0),
                    "The camera's horizontal field of view. Webcams and phones have 55 "
                    "to 80, wide-angle cameras 90 or more; see the manufacturer's data "
                    "sheet.",
                )
    return settings


def _render_contact_limits(settings: Settings) -> None:
    options, current_m = _LIMITS_M, settings.contact_distance_m
    n_face_heights = current_m / FACE_HEIGHT_M
    st.segmented_control(
        "Minimum distance",
        options if current_m in options else (*options, current_m),
        format_func=lambda limit_m: f"{limit_m:g} m",
        required=True,
        key=_get_widget_key("contact_distance_m"),
        on_change=_apply_widget,
        args=("contact_distance_m",),
        help="People who are closer are in contact. "
        f"{current_m:g} m are about {n_face_heights:.0f} face heights.",
    )
    _render_number_input("contact_duration_s", "Alert after (s)", (0.0, 3600.0, 1.0))


def _render_number_input(
    name: str,
    title: str,
    limits: tuple[float, float, float],
    help_: str | None = None,
) -> None:
    low, high, step = limits
    st.number_input(
        title,
        low,
        high,
        step=step,
        format="%g",
        key=_get_widget_key(name),
        on_change=_apply_widget,
        args=(name,),
        width=150,
        help=help_,
    )


def _apply_widget(name: str) -> None:
    value = st.session_state.get(_get_widget_key(name))
    # A widget whose value the browser does not know yet returns None.
    if value is not None:
        update_distance_settings(**{name: value})


def _get_widget_key(name: str) -> str:
    return f"distance.{name}"


@dataclass(frozen=True, eq=False)
class StillImage:
    """An image of the floor and the faces in it.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        face_boxes: `(n, 4)` boxes in pixels, which are blurred if `Style.blur` is on.
    """

    image: Image
    face_boxes: Boxes


def render_point_editor(still: StillImage | None) -> None:
    """Render the four floor points on an image, with inputs for their coordinates.

    Args:
        still: the image; if `None`, only the points are shown.
    """
    st.markdown(
        "Mark the corners of a **rectangle on the floor**, such as tiles or a carpet: "
        "click or drag each point, or move it with the arrow keys."
    )
    preferences = session.get_preferences()
    points = preferences.settings.ground_points or DEFAULT_GROUND_POINTS
    style = preferences.style
    load_component("maskdet.web", "point_editor")(
        data={
            "image": "" if still is None else to_media_url(_render_still(still, style)),
            "points": [round(number, _POINT_DIGITS) for number in points],
            "names": list(CORNER_NAMES),
        },
        key=_EDITOR_KEY,
        on_moved_change=_apply_moved_points,
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        _render_number_input("ground_width_m", "From 1 to 2 (m)", (0.1, 1000.0, 0.1))
        _render_number_input("ground_depth_m", "From 2 to 3 (m)", (0.1, 1000.0, 0.1))
    with st.expander("Enter coordinates", icon=":material/keyboard:"):
        _render_point_inputs(points)


def _render_point_inputs(points: tuple[float, ...]) -> None:
    keys = [f"distance.floor.{number}" for number in range(8)]
    percentages = [round(100 * point, _POINT_DIGITS - 2) for point in points]
    fill_widgets(dict(zip(keys, percentages, strict=True)))
    st.caption(
        "In percent of the image's width (from the left) and height (from the top)."
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
    update_distance_settings(
        ground_points=tuple(round(value / 100, _POINT_DIGITS) for value in percentages)
    )


def _apply_moved_points() -> None:
    """Apply the points that the browser sent, if they are valid."""
    points = st.session_state[_EDITOR_KEY].get("moved")
    try:
        update_distance_settings(
            ground_points=tuple(round(number, _POINT_DIGITS) for number in points)
        )
    except (TypeError, ValueError):
        # The message did not come from our own page; keep the points.
        return


def _render_still(still: StillImage, style: Style) -> bytes:
    """Return the image as JPEG, scaled down to the size on the page."""
    image = blur_faces(still.image, still.face_boxes) if style.blur else still.image
    scale = min(1.0, _EDITOR_MAX_SIDE_PX / max(image.shape[:2]))
    return encode_jpeg(resize_image(image, scale))


def render_birds_eye(
    scene: Scene,
    positions: NDArray[np.float64],
    settings: Settings,
    style: Style,
    size_wh: tuple[int, int],
    *,
    dark: bool,
) -> Image | None:
    """Return the bird's-eye view, or `None` if positions are not known in metres.

    Args:
        scene: the faces.
        positions: `(n, 2)`: x to the right and z away from the camera, in metres.
        settings: the valid settings that the positions were measured with.
        style: colours, and whether tracking IDs are shown.
        size_wh: width and height of the image in pixels.
        dark: whether it is for a dark page.
    """
    has_positions = len(positions) == len(scene)
    if settings.distance not in ("pinhole", "ground_plane") or not has_positions:
        return None
    ground_plane = get_geometry(settings, size_wh).ground_camera
    return draw_birds_eye(
        scene if style.ids else replace(scene, track_ids=None),
        positions,
        style=style,
        corners_m=None if ground_plane is None else ground_plane.corners_m,
        dark=dark,
    )


def distances_html(snapshot: LiveSnapshot, style: Style) -> Markup:
    """Return the highest-risk contact, the number of close pairs and the contact times.

    Args:
        snapshot: the last analyzed frame.
        style: whether tracking IDs are shown.
    """
    scene = snapshot.scene
    contact_pairs = [pair for pair in scene.pairs if pair.in_contact]
    contacts = scene.contacts if style.ids else ()
    return render_html(
        _DISTANCES_TEMPLATE,
        pair=_describe_highest_risk_pair(scene, style),
        totals={
            "Close pairs": len(contact_pairs),
            "Over the limit": sum(pair.exceeds_limit for pair in contact_pairs),
            "Contact time": format_elapsed(sum(c.total_s for c in scene.contacts)),
        },
        contacts=[
            {
                "people": f"#{contact.first_id} and #{contact.second_id}",
                "times": f"total {format_elapsed(contact.total_s)}, longest "
                f"{format_elapsed(contact.longest_s)}",
            }
            for contact in contacts[:_MAX_CONTACTS]
        ],
        n_more=max(0, len(contacts) - _MAX_CONTACTS),
    )


def highest_risk_pair_html(scene: Scene, style: Style) -> Markup:
    """Return the highest-risk contact of one scene as HTML.

    Args:
        scene: the scene; its pairs need no contact times.
        style: whether tracking IDs are shown.
    """
    pair = _describe_highest_risk_pair(scene, style)
    return render_html(_DISTANCES_TEMPLATE, pair=pair, totals={}, contacts=(), n_more=0)


def _describe_highest_risk_pair(scene: Scene, style: Style) -> dict[str, str] | None:
    """Return people, distance and duration of the highest-risk contact, if any."""
    pair = find_highest_risk_pair(scene)
    if pair is None:
        return None
    people = " and ".join(
        format_face_caption(
            scene.labels[row],
            float(scene.confidences[row]),
            replace(style, labels=True, percentages=False),
            track_id=int(np.asarray(scene.track_ids)[row]),
        )
        for row in (pair.first, pair.second)
    )
    return {
        "people": people,
        "distance": format_pair_caption(pair._replace(exceeds_limit=False)),
        "duration": format_elapsed(pair.contact_s) if pair.contact_s else "",
    }


def distance_error(settings: Settings, size_wh: tuple[int, int]) -> str:
    """Return one line on why distances cannot be measured, or an empty string.

    Args:
        settings: `distance` and the fields that it depends on.
        size_wh: width and height of the frames in pixels.
    """
    if settings.distance == "off":
        return ""
    if settings.distance == "ground_plane" and not settings.ground_points:
        return "Mark the four corners of a rectangle on the floor first."
    try:
        get_geometry(settings, size_wh)
    except ValueError as error:
        message = str(error).removeprefix("ground_points: ")
        return f"{message[:1].upper()}{message[1:]}."
    return ""


class DistanceGuard:
    """Switches distances off for settings with which a stream would fail."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._cache_key: tuple[Settings, tuple[int, int]] | None = None
        self._cached_settings = Settings()

    def effective_settings(
        self, requested: Settings, size_wh: tuple[int, int]
    ) -> Settings:
        """Return the settings, with distances off if they cannot be measured.

        The result is cached, as rejecting floor points takes longer than a frame.
        """
        cache_key = (requested, size_wh)
        if cache_key != self._cache_key:
            is_measurable = not distance_error(requested, size_wh)
            self._cached_settings = (
                requested if is_measurable else replace(requested, distance="off")
            )
            self._cache_key = cache_key
        return self._cached_settings


def mirror_points(points: tuple[float, ...]) -> tuple[float, ...]:
    """Mirror the floor points left to right; keep them clockwise from the far left.

    Args:
        points: as in `Settings`: eight numbers, or empty.
    """
    if not points:
        return ()
    far_left, far_right, near_right, near_left = (
        (1 - x, y) for x, y in zip(points[::2], points[1::2], strict=True)
    )
    return (*far_right, *far_left, *near_left, *near_right)
