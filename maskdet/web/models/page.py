"""The Models page: compare analyzers and classifiers, and choose one."""

from __future__ import annotations

import streamlit as st

from maskdet.web.models.analyzers import render_analyzers
from maskdet.web.models.classifiers import render_classifiers

_SECTIONS = {"Analyzers": render_analyzers, "Classifiers": render_classifiers}


def render_models_page() -> None:
    """Show the page: one of its two sections."""
    st.title("Models")
    section = st.segmented_control(
        "Section",
        list(_SECTIONS),
        default=next(iter(_SECTIONS)),
        required=True,
        label_visibility="collapsed",
        key="models.section",
        persist_state="session",
    )
    _SECTIONS[section]()
