"""Models: who finds and labels the faces, side by side, and the choice of it."""

from __future__ import annotations

import streamlit as st

from maskdet.web.entry import through_app
from maskdet.web.models_masks import mask_models
from maskdet.web.models_whole import whole_analyzers

_PARTS = {"Whole analyzers": whole_analyzers, "Mask models": mask_models}


def page() -> None:
    """Show the page: one of its two parts."""
    st.title("Models")
    part = st.segmented_control(
        "Part",
        list(_PARTS),
        default=next(iter(_PARTS)),
        required=True,
        label_visibility="collapsed",
        key="models.part",
        persist_state="session",
    )
    _PARTS[part]()


through_app()
page()
