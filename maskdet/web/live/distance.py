"""The Distance section of the Live page: method, bird's-eye view and contacts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import streamlit as st

from maskdet.html_templates import encode_data_url, render_html
from maskdet.media import encode_jpeg
from maskdet.web import distance, session
from maskdet.web.distance import distance_error, distances_html, render_birds_eye
from maskdet.web.live import state
from maskdet.web.live.readouts import render_parts
from maskdet.web.server.updates import PublishedRun
from maskdet.web.theme import is_dark_theme
from maskdet.web.widgets import escape_markdown

if TYPE_CHECKING:
    from markupsafe import Markup

STILL_KEY: Final = "maskdet.still"
"""Where the session has the frame on which the points of the floor are set."""

PART: Final = "distances"

_TEMPLATE: Final = """<div class="maskdet-measured">
{% if image_url %}<figure><img src="{{ image_url }}"
alt="Bird's-eye view of where people stand"><figcaption>Bird's-eye view</figcaption>
</figure>{% endif %}
{{ distances }}</div>"""


def render_distance_section(run: PublishedRun) -> None:
    """Render the section; call it below the live video, as its height changes.

    Args:
        run: what this run of the page has published; with `PART` unless distances are
            off.
    """
    st.header("Distance", divider="gray")
    mode = distance.render_distance_settings().distance
    if mode == "off":
        return
    if mode != "ground_plane":
        _render_distances(run)
        return
    editor_column, results_column = st.columns(2, gap="medium")
    with editor_column:
        _render_ground_calibration()
    with results_column:
        _render_distances(run)


def _render_ground_calibration() -> None:
    if STILL_KEY not in st.session_state:
        _capture_still()
    distance.render_point_editor(st.session_state.get(STILL_KEY))
    st.button(
        "Capture a new frame",
        icon=":material/photo_camera:",
        on_click=_capture_still,
        help="Uses the current frame of the camera. Press Start above first.",
    )


def _capture_still() -> None:
    snapshot = state.get_live_state().get_snapshot()
    if snapshot is not None:
        face_boxes = np.concatenate(
            [snapshot.scene.faces.boxes, snapshot.scene.blur_boxes]
        )
        st.session_state[STILL_KEY] = distance.StillImage(snapshot.image, face_boxes)


def _render_distances(run: PublishedRun) -> None:
    """Render distances of the last frame, or the reason why there are none."""
    preferences = session.get_preferences()
    snapshot = state.get_live_state().get_snapshot()
    size_wh = preferences.camera_width, preferences.camera_height
    problem = distance_error(
        preferences.settings, size_wh if snapshot is None else snapshot.size_wh
    )
    if problem:
        st.warning(escape_markdown(problem), icon=":material/square_foot:")
    elif snapshot is None:
        st.info("Press **Start** above to see the distances between people.")
    else:
        render_parts(run, [PART])


def watch_distances() -> Callable[[], Markup]:
    """Return a function for any thread: the distances of the last frame as HTML."""
    shown, style = state.get_live_state(), session.get_preferences().style
    dark = is_dark_theme()

    def render_distances() -> Markup:
        snapshot = shown.get_snapshot()
        if snapshot is None or snapshot.settings.distance == "off":
            return render_html("")
        birds_eye_image = render_birds_eye(
            snapshot.scene,
            snapshot.scene.positions,
            snapshot.settings,
            style,
            snapshot.size_wh,
            dark=dark,
        )
        image_url = ""
        if birds_eye_image is not None:
            image_url = encode_data_url(encode_jpeg(birds_eye_image))
        return render_html(
            _TEMPLATE, image_url=image_url, distances=distances_html(snapshot, style)
        )

    return render_distances
