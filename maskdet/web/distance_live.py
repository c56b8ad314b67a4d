"""The Live page's section on distances: the choice, the plan, and who is too close."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import streamlit as st

from maskdet.web import camera, distance, distance_floor, session
from maskdet.web.distance_plan import plan_of
from maskdet.web.distance_readings import distances_html
from maskdet.web.live_distance import obstacle
from maskdet.web.markdown import plain

_STILL: Final = "maskdet.still"


def section(stream_state: Any) -> None:
    """Show the section; call it below the live picture, as it grows and shrinks.

    Args:
        stream_state: what `camera.stream` returned.
    """
    st.subheader("Distance", divider="gray")
    mode = distance.choose().distance
    if mode == "off":
        return
    interval_s = 1.0 if stream_state.playing else None
    results = st.fragment(_results, run_every=interval_s)
    if mode != "ground_plane":
        results()
        return
    marking, found = st.columns(2, gap="medium")
    with marking:
        _marking()
    with found:
        results()


def _marking() -> None:
    if _STILL not in st.session_state:
        _take()
    distance_floor.mark(st.session_state.get(_STILL))
    st.button(
        "Take the picture anew",
        icon=":material/photo_camera:",
        on_click=_take,
        help="Takes the frame that the camera shows now. Press Start above first.",
    )


def _take() -> None:
    view = camera.live_state().view()
    if view is not None:
        faces = np.concatenate([view.scene.faces.boxes, view.scene.blur_boxes])
        st.session_state[_STILL] = distance_floor.Still(view.image, faces)


def _results() -> None:
    """Show the last frame's plan and numbers, or what keeps them from being known."""
    preferences, view = session.preferences(), camera.live_state().view()
    size_wh = preferences.camera_width, preferences.camera_height
    line = obstacle(preferences.settings, size_wh if view is None else view.size_wh)
    if line:
        st.warning(plain(line), icon=":material/square_foot:")
        return
    if view is None or not camera.live_state().reading().fps_done:
        st.info("Press **Start** above to see how far apart people stand.")
        return
    plan = plan_of(
        view.scene, view.scene.positions, view.settings, preferences.style, view.size_wh
    )
    if plan is None:
        st.html(distances_html(view, preferences.style))
        return
    picture, numbers = st.columns(2)
    title = "From above; one square is a metre"
    picture.image(plan, title, channels="BGR", alt="Plan of where people stand")
    numbers.html(distances_html(view, preferences.style))
