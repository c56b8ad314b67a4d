"""The sidebar: every choice a visitor has, on every page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar, cast

import streamlit as st

from maskdet.media import ROTATIONS
from maskdet.style import PALETTES, Style
from maskdet.types import Settings
from maskdet.web import distance, session
from maskdet.web.live_distance import mirror_points
from maskdet.web.markdown import escape_markdown
from maskdet.web.networks import render_model_choice
from maskdet.web.preferences import Preferences, format_rotation
from maskdet.web.sidebar_advanced import (
    get_advanced_widget_values,
    render_advanced_settings,
)
from maskdet.web.sidebar_people import render_smoothing

_CAMERA_SIZES_WH: tuple[tuple[int, int], ...] = ((320, 240), (640, 480), (1280, 720))
_CAMERA_RATES_FPS: tuple[int, ...] = (5, 10, 15, 30)

_MAX_SETTINGS_MB = 1

_Option = TypeVar("_Option")


def render_sidebar(*, live: bool = False) -> Preferences:
    """Show the sidebar and return what it says; call it once, in `app.py`.

    There its widgets are on every page, so their values survive a change of page.

    Args:
        live: whether the page shows video: who is at work there may be another.
    """
    _fill_sidebar(session.pop_pending_preferences())
    with st.sidebar:
        preferences = _render_choices(live=live)
        _render_settings_files(preferences)
    session.store_preferences(preferences)
    # The place is taken in any case: whatever moves down the page is built anew by
    # the browser, and a live picture would stop.
    warning_area = st.empty()
    if session.get_warning():
        warning_area.warning(
            escape_markdown(session.get_warning()), icon=":material/warning:"
        )
    return preferences


def _fill_sidebar(pending: Preferences | None) -> None:
    """Give the widgets their values; they have no other source of them."""
    if pending is None and session.is_previous_run_complete():
        return
    for key, value in _get_widget_values(pending or session.get_preferences()).items():
        current = st.session_state.get(key, value) if pending is None else value
        st.session_state[key] = current


def _get_widget_values(preferences: Preferences) -> dict[str, object]:
    """Return the value of each widget by its key."""
    style, settings = preferences.style, preferences.settings
    drawn_parts = {"boxes": style.boxes, "labels": style.labels}
    drawn_parts["percentages"] = style.percentages
    return {
        "choice.analyzer": preferences.analyzer,
        "choice.classifier": preferences.classifier,
        "choice.refine": preferences.refine,
        "choice.min_score": settings.min_score,
        "choice.min_confidence": settings.min_confidence,
        "choice.min_face_px": settings.min_face_px,
        "choice.nms_iou": settings.nms_iou,
        "choice.smoothing": settings.smoothing,
        "choice.smoothing_window_s": settings.smoothing_window_s,
        "choice.memory_s": settings.memory_s,
        "choice.parts": [part for part, drawn in drawn_parts.items() if drawn],
        "choice.palette": style.palette,
        "choice.scale": style.scale,
        "choice.ids": style.ids,
        "choice.blur": style.blur,
        "choice.mirror": preferences.mirror,
        "choice.rotate": preferences.rotate,
        "choice.camera_wh": (preferences.camera_width, preferences.camera_height),
        "choice.camera_fps": preferences.camera_fps,
        **get_advanced_widget_values(preferences),
        **distance.get_distance_widget_values(settings),
    }


def _render_choices(*, live: bool) -> Preferences:
    analyzer, classifier, refine = render_model_choice(live=live)
    with st.expander("Thresholds", expanded=True, icon=":material/tune:"):
        settings = _render_thresholds(session.get_preferences().settings)
    with st.expander("People over time", icon=":material/history:"):
        smoothing, window_s, memory_s = render_smoothing()
        settings = dataclasses.replace(
            settings,
            smoothing=smoothing,
            smoothing_window_s=window_s,
            memory_s=memory_s,
        )
    with st.expander("Drawing", icon=":material/palette:"):
        style = _render_drawing_options()
    with st.expander("Advanced", icon=":material/settings:"):
        settings, style = render_advanced_settings(
            settings, style, session.get_preferences()
        )
    with st.expander("Camera", icon=":material/photo_camera:"):
        mirror = st.toggle(
            "Mirror the live picture",
            key="choice.mirror",
            help="Turns it left to right, so that you move as in a mirror.",
        )
        rotate = st.selectbox(
            "Rotate the live picture",
            ROTATIONS,
            format_func=format_rotation,
            key="choice.rotate",
            help="For a camera that hangs upside down or on its side.",
        )
        width, height = _select_camera_size()
        fps = _select_camera_rate()
    if mirror != session.get_preferences().mirror:
        settings = dataclasses.replace(
            settings, ground_points=mirror_points(settings.ground_points)
        )
    return Preferences(
        analyzer=analyzer,
        settings=settings,
        style=style,
        mirror=mirror,
        rotate=rotate,
        camera_width=width,
        camera_height=height,
        camera_fps=fps,
        classifier=classifier,
        refine=refine,
    )


def _render_thresholds(previous: Settings) -> Settings:
    """Ask for the thresholds; all else stays as it was before."""
    min_score = st.slider(
        "Face score",
        *(0.0, 1.0),
        key="choice.min_score",
        step=0.01,
        help="How sure the finder must be that something is a face. "
        "Lower finds more faces, and more things that are none.",
    )
    min_confidence = st.slider(
        "Confidence",
        *(0.0, 1.0),
        key="choice.min_confidence",
        step=0.01,
        help="Below it a face is shown as unsure.",
    )
    min_face_px = st.number_input(
        "Smallest face (pixels)",
        *(1.0, 2000.0),
        key="choice.min_face_px",
        step=1.0,
        format="%g",
        help="Faces whose shorter side is smaller are left out.",
    )
    nms_iou = st.slider(
        "Overlap",
        *(0.0, 1.0),
        key="choice.nms_iou",
        step=0.01,
        help="Of two boxes that overlap more, the weaker goes. Raise it in crowds.",
    )
    return dataclasses.replace(
        previous,
        min_score=min_score,
        min_confidence=min_confidence,
        min_face_px=min_face_px,
        nms_iou=nms_iou,
    )


def _render_drawing_options() -> Style:
    blur = st.toggle(
        "Blur faces in every output",
        key="choice.blur",
        help="In the live picture, results, cards and downloads: every face that is "
        "found becomes a few coarse squares.",
    )
    ids = st.toggle(
        "Show numbers of people",
        key="choice.ids",
        help="As in “#3”, for people who are followed from picture to picture.",
    )
    parts = st.pills(
        "Draw",
        ("boxes", "labels", "percentages"),
        selection_mode="multi",
        format_func=str.capitalize,
        key="choice.parts",
        help="What is drawn on each face.",
    )
    palette = st.selectbox(
        "Colours",
        PALETTES,
        format_func=str.capitalize,
        key="choice.palette",
        help="Label and line style tell the faces apart in every palette.",
    )
    scale = st.slider(
        "Size of text and lines",
        *(0.5, 3.0),
        key="choice.scale",
        step=0.25,
        help="1 suits the size of the picture.",
    )
    return Style(
        palette=palette,
        scale=scale,
        ids=ids,
        blur=blur,
        boxes="boxes" in parts,
        labels="labels" in parts,
        percentages="percentages" in parts,
    )


def _select_camera_size() -> tuple[int, int]:
    return st.selectbox(
        "Camera size",
        _add_current_option(_CAMERA_SIZES_WH, "choice.camera_wh"),
        format_func=lambda size_wh: f"{size_wh[0]} x {size_wh[1]}",
        key="choice.camera_wh",
        help="Asked of the camera when you press Start; it may give another. "
        "Larger shows smaller faces and is slower.",
    )


def _select_camera_rate() -> int:
    return st.selectbox(
        "Camera rate",
        _add_current_option(_CAMERA_RATES_FPS, "choice.camera_fps"),
        format_func=lambda fps: f"{fps} pictures a second",
        key="choice.camera_fps",
        help="Asked of the camera when you press Start. "
        "More than can be analysed are skipped, never queued.",
    )


def _add_current_option(options: Sequence[_Option], key: str) -> list[_Option]:
    """Return the usual options, and the value in force should it be another."""
    value = cast(_Option, st.session_state[key])
    return [*options] if value in options else [*options, value]


def _render_settings_files(preferences: Preferences) -> None:
    with st.expander("Save, load, share", icon=":material/save:"):
        st.download_button(
            "Save settings",
            preferences.to_json(),
            file_name="maskdet-settings.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
            width="stretch",
            help="Writes everything chosen here into a small JSON file.",
        )
        st.file_uploader(
            "Load settings",
            type="json",
            key="choice.file",
            on_change=_load_settings_file,
            max_upload_size=_MAX_SETTINGS_MB,
            help="A file that “Save settings” wrote.",
        )
        st.button(
            "Reset to defaults",
            icon=":material/restart_alt:",
            on_click=session.set_preferences,
            args=(Preferences(),),
            width="stretch",
        )
        st.caption("This link opens the page with these settings:")
        st.code(
            preferences.to_link(st.context.url or ""), language=None, wrap_lines=True
        )


def _load_settings_file() -> None:
    file = st.session_state["choice.file"]
    if file is None:
        return
    if (
        file.size > _MAX_SETTINGS_MB * 2**20
    ):  # the widget's limit holds in the browser only
        session.set_warning(
            f"The file was not loaded: it has more than {_MAX_SETTINGS_MB} MB."
        )
        return
    try:
        session.set_preferences(Preferences.from_json(file.getvalue()))
    except ValueError as error:
        session.set_warning(f"The file was not loaded: {error}.")
