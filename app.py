"""The dashboard: `streamlit run app.py`."""

from __future__ import annotations

import logging

import streamlit as st

from maskdet.web import (
    camera,
    live_hooks,
    route,
    session,
    streamlit_hooks,
    uploads,
)
from maskdet.web.sidebar import sidebar

# Without a handler at the root, what fails in streamlit-webrtc is printed nowhere.
logging.basicConfig(level=logging.WARNING)
uploads.keep_in_memory()
streamlit_hooks.protect_app()
route.keep_to_the_page()
live_hooks.relay_newest_frames()
live_hooks.share_session_lock()
live_hooks.collect_by_timer(session.tidy)

# An emoji comes with the page; a Material icon would be asked of a Google server.
st.set_page_config(page_title="maskdet", page_icon="😷", layout="wide")
page = st.navigation(
    [
        st.Page("pages/live.py", title="Live", icon=":material/videocam:"),
        st.Page("pages/image.py", title="Image", icon=":material/image:"),
        st.Page("pages/video.py", title="Video", icon=":material/movie:"),
        st.Page("pages/tune.py", title="Tune", icon=":material/tune:"),
        st.Page("pages/models.py", title="Models", icon=":material/leaderboard:"),
        st.Page("pages/events.py", title="Events", icon=":material/event_note:"),
        st.Page("pages/about.py", title="About", icon=":material/info:"),
    ]
)
session.begin()
if page.title != "Live":
    camera.leave()
sidebar(live=page.title in ("Live", "Video"))
page.run()
session.end()
uploads.free_unused()
