"""The Models page: compare analyzers and classifiers, and choose one."""

from __future__ import annotations

import streamlit as st

from maskdet.web.models.analyzers import render_analyzers
from maskdet.web.models.classifiers import render_classifiers
from maskdet.web.widgets import select_segment

_SECTIONS = {"Analyzers": render_analyzers, "Classifiers": render_classifiers}


def render_models_page() -> None:
    """Show the page: one of its two sections."""
    st.title("Models")
    section = select_segment(
        "Section", list(_SECTIONS), key="models.section", show_label=False
    )
    _SECTIONS[section]()
