"""The dashboard: `streamlit run app.py`."""

from __future__ import annotations

import logging

import streamlit as st

from maskdet.web import session
from maskdet.web.cameras.config import list_cameras
from maskdet.web.cameras.feeds import get_camera_feeds
from maskdet.web.events.badge import render_recording_badge
from maskdet.web.live import page as live_page
from maskdet.web.live.encoder import LiveEncoder
from maskdet.web.live.processed_track import ProcessedTrack
from maskdet.web.live.relay import NewestFrameRelay
from maskdet.web.server import guard, navigation, streamlit_patches, uploads
from maskdet.web.sidebar import render_sidebar
from maskdet.web.theme import render_theme

# Without a handler at the root, errors of streamlit-webrtc are not printed anywhere.
logging.basicConfig(level=logging.WARNING)
streamlit_patches.patch_streamlit()
streamlit_patches.relay_frames_with(NewestFrameRelay)
streamlit_patches.encode_video_with(LiveEncoder)
streamlit_patches.process_frames_with(ProcessedTrack)
guard.guard_server()
navigation.ignore_stale_reruns()
session.start_garbage_collector()

cameras = list_cameras()
get_camera_feeds().watch(cameras)

# An emoji is part of the page; a Material icon would be fetched from a Google server.
st.set_page_config(page_icon="😷", layout="wide")
page = st.navigation(
    [
        st.Page("pages/live.py", title="Live", icon=":material/videocam:"),
        *(
            [st.Page("pages/cameras.py", title="Cameras", icon=":material/grid_view:")]
            if cameras
            else []
        ),
        st.Page("pages/image.py", title="Image", icon=":material/image:"),
        st.Page("pages/video.py", title="Video", icon=":material/movie:"),
        st.Page("pages/tune.py", title="Tune", icon=":material/tune:"),
        st.Page("pages/models.py", title="Models", icon=":material/leaderboard:"),
        st.Page("pages/events.py", title="Events", icon=":material/event_note:"),
        st.Page("pages/about.py", title="About", icon=":material/info:"),
    ]
)
st.set_page_config(page_title=f"{page.title} - maskdet")
render_theme()
session.begin_run()
render_recording_badge()
if page.title != "Live":
    live_page.release_viewer_slot()
render_sidebar(page.title)
with st.sidebar:
    session.render_tab_reporter()
page.run()
session.end_run()
uploads.delete_unused_files()
