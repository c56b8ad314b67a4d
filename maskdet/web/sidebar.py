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
from maskdet.web.live_distance import mirrored
from maskdet.web.markdown import plain
from maskdet.web.networks import choose_networks
from maskdet.web.preferences import Preferences, rotation_text
from maskdet.web.sidebar_advanced import advanced, advanced_values
from maskdet.web.sidebar_people import choose_following

_CAMERA_SIZES_WH: tuple[tuple[int, int], ...] = ((320, 240), (640, 480), (1280, 720))
_CAMERA_RATES_FPS: tuple[int, ...] = (5, 10, 15, 30)

_MAX_SETTINGS_MB = 1

_Option = TypeVar("_Option")


def sidebar(*, live: bool = False) -> Preferences:
    """Show the sidebar and return what it says; call it once, in `app.py`.

    There its widgets are on every page, so their values survive a change of page.

    Args:
        live: whether the page shows video: who is at work there may be another.
    """
    _fill(session.take_wanted())
    with st.sidebar:
        chosen = _chosen(live=live)
        _keep_and_share(chosen)
    session.remember(chosen)
    # The place is taken in any case: whatever moves down the page is built anew by
    # the browser, and a live picture would stop.
    place = st.empty()
    if session.complaint():
        place.warning(plain(session.complaint()), icon=":material/warning:")
    return chosen


def _fill(wanted: Preferences | None) -> None:
    """Give the widgets their values; they have no other source of them."""
    if wanted is None and session.ended_here():
        return
    for key, value in _values(wanted or session.preferences()).items():
        kept = st.session_state.get(key, value) if wanted is None else value
        st.session_state[key] = kept


def _values(preferences: Preferences) -> dict[str, object]:
    """Return the value of each widget by its key."""
    style, settings = preferences.style, preferences.settings
    parts = {"boxes": style.boxes, "labels": style.labels}
    parts["percentages"] = style.percentages
    return {
        "choice.analyzer": preferences.analyzer,
        "choice.classifier": preferences.classifier,
        "choice.second_look": preferences.second_look,
        "choice.min_score": settings.min_score,
        "choice.min_confidence": settings.min_confidence,
        "choice.min_face_px": settings.min_face_px,
        "choice.nms_iou": settings.nms_iou,
        "choice.smoothing": settings.smoothing,
        "choice.smoothing_window_s": settings.smoothing_window_s,
        "choice.memory_s": settings.memory_s,
        "choice.parts": [part for part, drawn in parts.items() if drawn],
        "choice.palette": style.palette,
        "choice.scale": style.scale,
        "choice.ids": style.ids,
        "choice.blur": style.blur,
        "choice.mirror": preferences.mirror,
        "choice.rotate": preferences.rotate,
        "choice.camera_wh": (preferences.camera_width, preferences.camera_height),
        "choice.camera_fps": preferences.camera_fps,
        **advanced_values(preferences),
        **distance.values(settings),
    }


def _chosen(*, live: bool) -> Preferences:
    analyzer, classifier, second_look = choose_networks(live=live)
    with st.expander("Thresholds", expanded=True, icon=":material/tune:"):
        settings = _settings(session.preferences().settings)
    with st.expander("People over time", icon=":material/history:"):
        smoothing, window_s, memory_s = choose_following()
        settings = dataclasses.replace(
            settings,
            smoothing=smoothing,
            smoothing_window_s=window_s,
            memory_s=memory_s,
        )
    with st.expander("Drawing", icon=":material/palette:"):
        style = _style()
    with st.expander("Advanced", icon=":material/settings:"):
        settings, style = advanced(settings, style, session.preferences())
    with st.expander("Camera", icon=":material/photo_camera:"):
        mirror = st.toggle(
            "Mirror the live picture",
            key="choice.mirror",
            help="Turns it left to right, so that you move as in a mirror.",
        )
        rotate = st.selectbox(
            "Rotate the live picture",
            ROTATIONS,
            format_func=rotation_text,
            key="choice.rotate",
            help="For a camera that hangs upside down or on its side.",
        )
        width, height = _camera_wh()
        fps = _camera_fps()
    if mirror != session.preferences().mirror:
        settings = dataclasses.replace(
            settings, ground_points=mirrored(settings.ground_points)
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
        second_look=second_look,
    )


def _settings(before: Settings) -> Settings:
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
        before,
        min_score=min_score,
        min_confidence=min_confidence,
        min_face_px=min_face_px,
        nms_iou=nms_iou,
    )


def _style() -> Style:
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


def _camera_wh() -> tuple[int, int]:
    return st.selectbox(
        "Camera size",
        _offered(_CAMERA_SIZES_WH, "choice.camera_wh"),
        format_func=lambda size_wh: f"{size_wh[0]} x {size_wh[1]}",
        key="choice.camera_wh",
        help="Asked of the camera when you press Start; it may give another. "
        "Larger shows smaller faces and is slower.",
    )


def _camera_fps() -> int:
    return st.selectbox(
        "Camera rate",
        _offered(_CAMERA_RATES_FPS, "choice.camera_fps"),
        format_func=lambda fps: f"{fps} pictures a second",
        key="choice.camera_fps",
        help="Asked of the camera when you press Start. "
        "More than can be analysed are skipped, never queued.",
    )


def _offered(usual: Sequence[_Option], key: str) -> list[_Option]:
    """Return the usual options, and the value in force should it be another."""
    value = cast(_Option, st.session_state[key])
    return [*usual] if value in usual else [*usual, value]


def _keep_and_share(chosen: Preferences) -> None:
    with st.expander("Save, load, share", icon=":material/save:"):
        st.download_button(
            "Save settings",
            chosen.to_json(),
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
            on_change=_load,
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
        st.code(chosen.link(st.context.url or ""), language=None, wrap_lines=True)


def _load() -> None:
    file = st.session_state["choice.file"]
    if file is None:
        return
    if (
        file.size > _MAX_SETTINGS_MB * 2**20
    ):  # the widget's limit holds in the browser only
        session.complain(
            f"The file was not loaded: it has more than {_MAX_SETTINGS_MB} MB."
        )
        return
    try:
        session.set_preferences(Preferences.from_json(file.getvalue()))
    except ValueError as error:
        session.complain(f"The file was not loaded: {error}.")
