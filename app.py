"""The dashboard: `streamlit run app.py`."""

from __future__ import annotations

import logging
from pathlib import Path

import streamlit as st

from maskdet.web.sidebar import sidebar

# Without a handler at the root, what fails in streamlit-webrtc is printed nowhere.
logging.basicConfig(level=logging.WARNING)

st.set_page_config(page_title="maskdet", page_icon=":material/masks:", layout="wide")
page = st.navigation(
    [
        st.Page(path, title=title, icon=icon)
        for path, title, icon in (
            ("pages/live.py", "Live", ":material/videocam:"),
            ("pages/image.py", "Image", ":material/image:"),
            ("pages/about.py", "About", ":material/info:"),
        )
        if Path(path).is_file()
    ]
)
sidebar()
page.run()
