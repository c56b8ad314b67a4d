"""Models: who finds and labels the faces, side by side, and the choice of it."""

from __future__ import annotations

import streamlit as st

from maskdet.web.entry import require_app_entry
from maskdet.web.models_masks import render_classifiers
from maskdet.web.models_whole import render_analyzers

_SECTIONS = {"Whole analyzers": render_analyzers, "Mask models": render_classifiers}


def render_models_page() -> None:
    """Show the page: one of its two parts."""
    st.title("Models")
    section = st.segmented_control(
        "Part",
        list(_SECTIONS),
        default=next(iter(_SECTIONS)),
        required=True,
        label_visibility="collapsed",
        key="models.part",
        persist_state="session",
    )
    _SECTIONS[section]()


require_app_entry()
render_models_page()
