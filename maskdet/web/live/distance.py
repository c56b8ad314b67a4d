"""The Distance section of the Live page: method, bird's-eye view and contacts."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import streamlit as st

from maskdet.web import distance, session
from maskdet.web.distance import distance_error, distances_html, render_birds_eye
from maskdet.web.live import state
from maskdet.web.widgets import escape_markdown

STILL_KEY: Final = "maskdet.still"
"""Where the session has the frame on which the points of the floor are set."""


def render_distance_section(stream_state: Any) -> None:
    """Render the section; call it below the live video, as its height changes.

    Args:
        stream_state: the return value of `render_stream`.
    """
    st.header("Distance", divider="gray")
    mode = distance.render_distance_settings().distance
    if mode == "off":
        return
    interval_s = 1.0 if stream_state.playing else None
    results = st.fragment(_render_distances, run_every=interval_s)
    if mode != "ground_plane":
        results()
        return
    editor_column, results_column = st.columns(2, gap="medium")
    with editor_column:
        _render_ground_calibration()
    with results_column:
        results()


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


def _render_distances() -> None:
    """Render distances of the last frame, or the reason why there are none."""
    preferences = session.get_preferences()
    snapshot = state.get_live_state().get_snapshot()
    size_wh = preferences.camera_width, preferences.camera_height
    problem = distance_error(
        preferences.settings, size_wh if snapshot is None else snapshot.size_wh
    )
    if problem:
        st.warning(escape_markdown(problem), icon=":material/square_foot:")
        return
    if snapshot is None or not state.get_live_state().get_stats().fps_analyzed:
        st.info("Press **Start** above to see the distances between people.")
        return
    birds_eye_image = render_birds_eye(
        snapshot.scene,
        snapshot.scene.positions,
        snapshot.settings,
        preferences.style,
        snapshot.size_wh,
    )
    if birds_eye_image is None:
        st.html(distances_html(snapshot, preferences.style))
        return
    image_column, distances_column = st.columns(2)
    image_column.image(
        birds_eye_image,
        "Bird's-eye view",
        channels="BGR",
        alt="Bird's-eye view of where people stand",
    )
    distances_column.html(distances_html(snapshot, preferences.style))
