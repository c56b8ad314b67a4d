"""Models: who finds and labels the faces, side by side, and the choice of it."""

from __future__ import annotations

import streamlit as st

from maskdet.web.models.analyzers import render_analyzers
from maskdet.web.models.classifiers import render_classifiers

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
