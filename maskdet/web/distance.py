"""How distances are measured: the choice that a page with video shows.

The choices are part of the visitor's preferences, which are their only source: a
widget tells them at once, and shows what they say in the next run.

Four points on the floor: clicked or dragged on an image, or typed.

Where people stand as seen from above, as the pages show it.

Who is near whom in the live image, as HTML that holds only our own words.
"""

from __future__ import annotations

import dataclasses
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import streamlit as st
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.distance import (
    FACE_HEIGHT_M,
    draw_birds_eye,
    find_highest_risk_pair,
    get_geometry,
)
from maskdet.distance.geometry import FACE_HEIGHT_ERROR
from maskdet.drawing import blur_faces
from maskdet.media import encode_jpeg
from maskdet.settings import DISTANCE_METHODS, Settings
from maskdet.style import Style, format_face_caption, format_pair_caption
from maskdet.types import Image, Scene
from maskdet.web import distance, session
from maskdet.web.point_editor import (
    POINT_EDITOR_CSS,
    POINT_EDITOR_HTML,
    POINT_EDITOR_JS,
)
from maskdet.web.widgets import STATS_CSS, stat_html

if TYPE_CHECKING:
    from maskdet.web.live.state import LiveSnapshot

_LIMITS_M: Final = (1.0, 1.8, 2.0)

_MODE_TITLES: Final = {
    "off": "Off",
    "relative": "In heads",
    "pinhole": "By field of view",
    "ground_plane": "By the floor",
}

_MODE_DESCRIPTIONS: Final = {
    "off": "Distances between people are not measured.",
    "relative": "Without knowing the camera: distances in heights of faces, right "
    "across the image and rough along the camera's look. There is no plan.",
    "pinhole": "In metres, from the size of each face and the camera's field of view; "
    f"faces differ, so expect errors of about {100 * FACE_HEIGHT_ERROR:.0f} %.",
    "ground_plane": "In metres, from four points on the floor whose distances you "
    "know: the most exact way, to about 5 % for people who stand.",
}

_FIELDS: Final = (
    "distance",
    "contact_distance_m",
    "contact_duration_s",
    "field_of_view_deg",
    "ground_width_m",
    "ground_depth_m",
)


def get_distance_widget_values(settings: Settings) -> dict[str, object]:
    """Return the value of each widget by its key."""
    return {_get_widget_key(name): getattr(settings, name) for name in _FIELDS}


def fill_widgets(widget_values: Mapping[str, object]) -> None:
    """Give widgets that are about to be shown their values where they lack them."""
    is_synchronized = session.is_previous_run_complete()
    for key, value in widget_values.items():
        if not is_synchronized or st.session_state.get(key) != value:
            st.session_state[key] = value


def update_distance_settings(**changes: object) -> None:
    """Put other settings of distance in force."""
    preferences = session.get_preferences()
    settings = dataclasses.replace(preferences.settings, **changes)  # type: ignore[arg-type]
    session.store_preferences(dataclasses.replace(preferences, settings=settings))


def render_distance_settings() -> Settings:
    """Show how distances are measured; return the settings in force."""
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
                _render_field_of_view()
    return settings


def _render_contact_limits(settings: Settings) -> None:
    options, current_m = _LIMITS_M, settings.contact_distance_m
    n_face_heights = current_m / FACE_HEIGHT_M
    st.segmented_control(
        "Near is closer than",
        options if current_m in options else (*options, current_m),
        format_func=lambda limit_m: f"{limit_m:g} m",
        required=True,
        key=_get_widget_key("contact_distance_m"),
        on_change=_apply_widget,
        args=("contact_distance_m",),
        help=f"{current_m:g} m are about {n_face_heights:.0f} heights of a face.",
    )
    _render_number_input("contact_duration_s", "Too long after (s)", (0.0, 3600.0, 1.0))


def _render_field_of_view() -> None:
    _render_number_input(
        "field_of_view_deg",
        "Field of view (degrees)",
        (10.0, 170.0, 1.0),
        "Of the camera, from left to right. Webcams and phones have 55 to 80, "
        "wide ones 90 and more; the maker's page says it.",
    )


def render_rectangle_size() -> None:
    """Ask for the two lengths of the rectangle on the floor."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        _render_number_input("ground_width_m", "From 1 to 2 (m)", (0.1, 1000.0, 0.1))
        _render_number_input("ground_depth_m", "From 2 to 3 (m)", (0.1, 1000.0, 0.1))


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
    # A choice that the browser has not been told yet comes back as none.
    if value is not None:
        update_distance_settings(**{name: value})


def _get_widget_key(name: str) -> str:
    return f"distance.{name}"


CORNER_NAMES: Final = ("far left", "far right", "near right", "near left")

DEFAULT_GROUND_POINTS: Final = (0.3, 0.55, 0.7, 0.55, 0.9, 0.95, 0.1, 0.95)
"""Where the points lie before anybody moved one."""

_EDITOR_KEY: Final = "maskdet.marks"
_EDITOR_MAX_SIDE_PX: Final = 960
_POINT_DIGITS: Final = 5
"""A hundredth of a pixel; more would only make links longer."""


@dataclass(frozen=True, eq=False)
class StillImage:
    """An image of the floor, and where faces are in it.

    Attributes:
        image: `(h, w, 3)` uint8 BGR.
        face_boxes: `(n, 4)` boxes in pixels, blurred if the visitor wants it.
    """

    image: Image
    face_boxes: Boxes


def render_point_editor(still: StillImage | None) -> None:
    """Show the points on an image, to be moved there or by typing.

    Args:
        still: the image; without one only the points are shown.
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
        "In percent of the image's width, from the left, and height, from above."
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
    """Return the image as a `data:` address, not larger than it is shown."""
    image = blur_faces(still.image, still.face_boxes) if style.blur else still.image
    scale = min(1.0, _EDITOR_MAX_SIDE_PX / max(image.shape[:2]))
    if scale < 1:
        height, width = image.shape[:2]
        size_wh = max(1, round(scale * width)), max(1, round(scale * height))
        small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        image = np.asarray(small, np.uint8)
    return f"data:image/jpeg;base64,{b64encode(encode_jpeg(image)).decode()}"


def render_birds_eye(
    scene: Scene,
    positions: NDArray[np.float64],
    settings: Settings,
    style: Style,
    size_wh: tuple[int, int],
) -> Image | None:
    """Return the plan; None where places are not known in metres.

    Args:
        scene: who is there.
        positions: `(n, 2)` where, x to the right and z away from the camera.
        settings: with which they were measured; they must be possible.
        style: colours, and whether people are named by their numbers.
        size_wh: width and height of the image.
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
    )


_MAX_CONTACTS = 6


def distances_html(snapshot: LiveSnapshot, style: Style) -> str:
    """Return the pair that matters most, how many are near, and contact minutes.

    Args:
        snapshot: the last frame that was analysed.
        style: whether people are named by their numbers.
    """
    contact_pairs = [pair for pair in snapshot.scene.pairs if pair.in_contact]
    total_s = sum(contact.total_s for contact in snapshot.scene.contacts)
    cells = "".join(
        (
            stat_html("Pairs near now", str(len(contact_pairs))),
            stat_html(
                "For too long", str(sum(pair.exceeds_limit for pair in contact_pairs))
            ),
            stat_html("Contact since Start", format_duration(total_s)),
        )
    )
    return (
        f'{STATS_CSS}<div class="maskdet-live maskdet-near">'
        "<section><h3>Most "
        f"pressing</h3>{_format_highest_risk_pair(snapshot.scene, style)}</section>"
        f'<section><dl class="three">{cells}</dl></section>'
        f"{_format_contacts(snapshot, style)}</div>"
    )


def highest_risk_pair_html(scene: Scene, style: Style) -> str:
    """Return the pair that matters most at one moment, in words.

    Args:
        scene: that moment; pairs without times are as good.
        style: whether people are named by their numbers.
    """
    return (
        f'{STATS_CSS}<div class="maskdet-live maskdet-near">'
        "<section><h3>Most "
        f"pressing</h3>{_format_highest_risk_pair(scene, style)}</section></div>"
    )


def format_duration(seconds: float) -> str:
    """Return a time in few words, as in "12 s" and "1.5 min"."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _format_highest_risk_pair(scene: Scene, style: Style) -> str:
    """Return the pair that is near with somebody bare, in words."""
    pair = find_highest_risk_pair(scene)
    if pair is None:
        return "<p><span>Nobody is near another without a mask.</span></p>"
    people = " and ".join(
        format_face_caption(
            scene.labels[row],
            float(scene.confidences[row]),
            replace(style, labels=True, percentages=False),
            track_id=int(np.asarray(scene.track_ids)[row]),
        )
        for row in (pair.first, pair.second)
    )
    distance_text = format_pair_caption(pair._replace(exceeds_limit=False))
    duration_html = (
        f"<p>Near for {format_duration(pair.contact_s)}</p>" if pair.contact_s else ""
    )
    return f"<p><b>{people}</b><b>{distance_text}</b></p>{duration_html}"


def _format_contacts(snapshot: LiveSnapshot, style: Style) -> str:
    """Return the pairs that were near for longest, if people have numbers."""
    if not style.ids or not snapshot.scene.contacts:
        return ""
    rows = "".join(
        f"<p><span>#{contact.first_id} and #{contact.second_id}</span>"
        f"<span>{format_duration(contact.total_s)}, at once "
        f"{format_duration(contact.longest_s)}</span></p>"
        for contact in snapshot.scene.contacts[:_MAX_CONTACTS]
    )
    n_more = len(snapshot.scene.contacts) - _MAX_CONTACTS
    more_html = f"<small>and {n_more} more pairs</small>" if n_more > 0 else ""
    return f"<section><h3>Contacts since Start</h3>{rows}{more_html}</section>"


def distance_error(settings: Settings, size_wh: tuple[int, int]) -> str:
    """Return one line on why distances cannot be told, or an empty text.

    Args:
        settings: `distance` and what it needs.
        size_wh: width and height of the images in pixels.
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
    """Keeps a stream from settings that it cannot measure with, and so would fail."""

    def __init__(self) -> None:
        """Start without having been asked."""
        self._cache_key: tuple[Settings, tuple[int, int]] | None = None
        self._cached_settings = Settings()

    def effective_settings(
        self, requested: Settings, size_wh: tuple[int, int]
    ) -> Settings:
        """Return the settings, without distances if they cannot be told.

        It is looked at only once, as refusing a floor takes longer than a frame.
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
    """Return the points on the floor as they lie in the mirrored image.

    They stay in order, clockwise from the far left one.

    Args:
        points: as in `Settings`: eight numbers or none.
    """
    if not points:
        return ()
    far_left, far_right, near_right, near_left = (
        (1 - x, y) for x, y in zip(points[::2], points[1::2], strict=True)
    )
    return (*far_right, *far_left, *near_left, *near_right)
