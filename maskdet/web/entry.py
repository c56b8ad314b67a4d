"""The way into a page: always through `app.py`."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def require_app_entry() -> None:
    """Start again through `app.py` if this page was run without it; call it first.

    Until `st.navigation` has run once in a server's life, Streamlit 1.67 takes a
    folder `pages/` for an app of its old kind. Who opens a page's own address first,
    for example by a shared link, then gets it without sidebar and settings.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
