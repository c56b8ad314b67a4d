"""Live: the camera's picture, analysed while it runs."""

from __future__ import annotations

import streamlit as st

from maskdet.web import camera, distance_live, session
from maskdet.web.entry import through_app


def page() -> None:
    """Show the page."""
    st.title("Live")
    st.write(
        "Press **Start** and let the browser use the camera: everybody gets a number "
        "and a label, which they keep while they turn away."
    )
    preferences = session.preferences()
    picture, numbers = st.columns([7, 3], gap="medium")
    with picture:
        running = camera.stream(preferences)
        camera.help_with_camera()
        camera.snapshot(preferences)
    with numbers:
        camera.numbers(running)
    distance_live.section(running)


through_app()
page()
