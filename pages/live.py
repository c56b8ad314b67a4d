"""Live: the camera's picture, analysed while it runs."""

from __future__ import annotations

import streamlit as st

from maskdet.web import camera, distance_live, session
from maskdet.web.entry import require_app_entry


def render_live_page() -> None:
    """Show the page."""
    st.title("Live")
    st.write(
        "Press **Start** and let the browser use the camera: everybody gets a number "
        "and a label, which they keep while they turn away."
    )
    preferences = session.get_preferences()
    video_column, stats_column = st.columns([7, 3], gap="medium")
    with video_column:
        stream_state = camera.render_stream(preferences)
        camera.render_connection_help()
        camera.render_snapshot(preferences)
    with stats_column:
        camera.render_live_stats(stream_state)
    distance_live.render_distance_section(stream_state)


require_app_entry()
render_live_page()
