"""The sidebar's choice of how people are followed and judged over time."""

from __future__ import annotations

import dataclasses
from typing import Final

import streamlit as st

from maskdet.settings import SMOOTHING_METHODS, SmoothingMethod
from maskdet.voting.presets import TRACKING_PRESETS, TrackingPreset
from maskdet.web import session
from maskdet.web.markdown import escape_markdown

_SMOOTHING_TITLES: Final = {
    "log_pool": "Surest views count most",
    "latest": "Each view alone",
    "mean": "Mean of all views",
    "window": "Mean of the last views",
    "ema": "Fading mean",
}

_PRESET_FIELDS: Final = frozenset(
    {"min_score", "min_confidence", "min_face_px", "nms_iou"}
    | {"memory_s", "smoothing", "smoothing_window_s", "class_weights"}
)
"""The settings that a preset is about; the others stay as they are."""


def render_smoothing() -> tuple[SmoothingMethod, float, float]:
    """Show the choice; return smoothing, its window and the memory, in seconds."""
    smoothing = st.selectbox(
        "Vote",
        SMOOTHING_METHODS,
        format_func=_SMOOTHING_TITLES.__getitem__,
        key="choice.smoothing",
        help="How many views of a person become one label.",
    )
    window_s = st.slider(
        "Views count for (s)",
        *_get_slider_range_s("choice.smoothing_window_s", 10.0),
        key="choice.smoothing_window_s",
        step=0.1,
        help="How far back views count. Longer is steadier, and slower to notice "
        "that somebody takes the mask off.",
        disabled=smoothing in ("latest", "mean"),
    )
    memory_s = st.slider(
        "Remember people for (s)",
        *_get_slider_range_s("choice.memory_s", 15.0),
        key="choice.memory_s",
        step=0.1,
        help="Who turns away keeps number and label for so long; the label fades.",
    )
    st.caption("Presets of the three examples of MaskDetection (ami-a):")
    with st.container(horizontal=True, gap="small"):
        for name, preset in TRACKING_PRESETS.items():
            st.button(
                preset.title,
                key=f"preset.{name}",
                help=preset.description,
                on_click=_apply_preset,
                args=(preset,),
            )
    st.caption(
        "A preset sets the analyzer, the thresholds and all of this section. "
        + " ".join(
            f"**{each_preset.title}**: {escape_markdown(each_preset.description)}"
            for each_preset in TRACKING_PRESETS.values()
        )
    )
    return smoothing, window_s, memory_s


def _get_slider_range_s(key: str, max_s: float) -> tuple[float, float]:
    """Return the ends of a slider; a link or file may ask for more than usual."""
    return 0.1, max(max_s, float(st.session_state[key]))


def _apply_preset(preset: TrackingPreset) -> None:
    preferences = session.get_preferences()
    values = {name: getattr(preset.settings, name) for name in _PRESET_FIELDS}
    session.set_preferences(
        dataclasses.replace(
            preferences,
            analyzer=preset.analyzer,
            refine=preset.refine,
            settings=dataclasses.replace(preferences.settings, **values),
        )
    )
