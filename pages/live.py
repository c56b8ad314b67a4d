"""Live: the camera's picture, analysed while it runs."""

from __future__ import annotations

import streamlit as st

from maskdet.web import camera, session
from maskdet.web.entry import through_app


def page() -> None:
    """Show the page."""
    st.title("Live")
    st.write(
        "Press **Start** and let the browser use the camera: each face gets a label."
    )
    preferences = session.preferences()
    picture, numbers = st.columns([7, 3], gap="medium")
    with picture:
        running = camera.stream(preferences)
        camera.help_with_camera()
        camera.snapshot(preferences)
    with numbers:
        camera.numbers(running)


through_app()
page()
