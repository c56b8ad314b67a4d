"""The sidebar: the settings that act on the page, and all settings as file and link."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, TypeVar, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    describe_pipeline,
    get_analyzer_title,
    has_refinement,
    list_own_model_problems,
    resolve_analyzer,
)
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.media import ROTATIONS
from maskdet.serving.preferences import Preferences, format_rotation
from maskdet.settings import SMOOTHING_METHODS, Settings
from maskdet.smoothing import TRACKING_PRESETS, TrackingPreset
from maskdet.style import PALETTES, Style
from maskdet.web import session
from maskdet.web.class_options import (
    get_class_style_values,
    get_class_weight_values,
    render_class_styles,
    render_class_weights,
)
from maskdet.web.distance import mirror_points
from maskdet.web.widgets import escape_markdown

Section: TypeAlias = Literal[
    "analyzer",
    "thresholds",
    "blur",
    "classifier",
    "face_limits",
    "overlay",
    "classes",
    "tracking",
    "camera",
]

_BASIC: Final[tuple[Section, ...]] = ("analyzer", "thresholds", "blur")
_IMAGE: Final[tuple[Section, ...]] = (
    *_BASIC,
    *("classifier", "face_limits", "overlay", "classes"),
)
_VIDEO: Final[tuple[Section, ...]] = (*_IMAGE, "tracking")

_PAGE_SECTIONS: Final[Mapping[str, tuple[Section, ...]]] = {
    "Live": (*_VIDEO, "camera"),
    "Image": _IMAGE,
    "Video": _VIDEO,
    "Tune": ("blur", "classifier", "classes"),
}
"""The sections that act on each page; other pages have only the settings as a file."""

_SECTION_FIELDS: Final[Mapping[Section, tuple[str, ...]]] = {
    "analyzer": ("analyzer",),
    "thresholds": ("min_score", "min_confidence"),
    "blur": ("blur",),
    "classifier": ("refine", "classifier"),
    "face_limits": ("min_face_px", "nms_iou"),
    "tracking": ("smoothing", "smoothing_window_s", "memory_s", "ids"),
    "overlay": ("scale",),
    "classes": ("palette",),
    "camera": ("mirror", "rotate", "camera_fps"),
}
"""Fields of `Preferences`, `Settings` and `Style` with the widget `choice.FIELD`."""

_VIDEO_PAGES: Final = ("Live", "Video")

ADVANCED_KEY: Final = "sidebar.advanced"
FILES_KEY: Final = "sidebar.files"
"""Keys of the expanders. Their content is rendered only while they are open: it needs
large libraries in the browser, such as a syntax highlighter."""

_SHOWN_KEY: Final = "maskdet.sidebar_keys"
"""Session key of the keys of the widgets that the previous run showed."""

_FILE_WARNING_KEY: Final = "maskdet.file_warning"

_SMOOTHING_TITLES: Final = {
    "log_pool": "Confidence-weighted",
    "latest": "Off (per frame)",
    "mean": "Average of all frames",
    "window": "Moving average",
    "ema": "Exponential average",
}

_FIELD_TITLES: Final[Mapping[str, str]] = {
    "analyzer": "Analyzer",
    "classifier": "Mask classifier",
    "min_score": "Face detection threshold",
    "min_confidence": "Minimum confidence",
    "min_face_px": "Minimum face size (px)",
    "nms_iou": "NMS IoU threshold",
    "smoothing": "Label smoothing",
    "smoothing_window_s": "Smoothing window (s)",
    "memory_s": "Keep lost tracks for (s)",
    "class_weights": "Class weights",
    "class_names": "Class names",
    "class_colours": "Class colours",
    "palette": "Colours",
    "scale": "Label and line size",
    "blur": "Blur faces (live, results and downloads)",
    "rotate": "Rotate the live video",
    "mirror": "Mirror the live video",
    "camera_fps": "Frame rate",
}
"""Titles of settings on the page and in messages about a file."""

_DRAWN_PARTS: Final = ("boxes", "labels", "percentages")
"""Fields of `Style` with a widget in common."""

_PRESET_FIELDS: Final = frozenset(
    {"min_score", "min_confidence", "min_face_px", "nms_iou"}
    | {"memory_s", "smoothing", "smoothing_window_s", "class_weights"}
)
"""The settings that a preset changes."""

_CAMERA_SIZES_WH: tuple[tuple[int, int], ...] = ((320, 240), (640, 480), (1280, 720))

_CAMERA_RATES_FPS: tuple[int, ...] = (5, 10, 15, 30)

_MAX_SETTINGS_MB = 1

_Option = TypeVar("_Option")

_Part = TypeVar("_Part", Settings, Style)


def render_sidebar(page: str) -> Preferences:
    """Render what acts on a page, and return the preferences; call it in `app.py`.

    The preferences keep the values of widgets that the page does not show.

    Args:
        page: title of the page.
    """
    sections = _PAGE_SECTIONS.get(page, ())
    has_advanced = bool(set(sections) - set(_BASIC))
    if not st.session_state.get(ADVANCED_KEY):
        sections = tuple(section for section in sections if section in _BASIC)
    _fill_sidebar(session.pop_pending_preferences(), sections)
    with st.sidebar:
        preferences = _render_sections(
            sections, has_advanced=has_advanced, live=page in _VIDEO_PAGES
        )
        _render_settings_files(preferences)
    session.store_preferences(preferences)
    # Reserve the place: the browser rebuilds elements that move down the page, which
    # would stop live video.
    warning_area = st.empty()
    if session.get_warning():
        warning_area.warning(
            escape_markdown(session.get_warning()), icon=":material/warning:"
        )
    return preferences


def _fill_sidebar(pending: Preferences | None, sections: Sequence[Section]) -> None:
    """Set the values of the page's widgets from the preferences, where needed.

    A widget that the previous run did not show may have an outdated value.
    """
    values = _get_widget_values(pending or session.get_preferences(), sections)
    known = st.session_state.get(_SHOWN_KEY, frozenset())
    st.session_state[_SHOWN_KEY] = frozenset(values)
    if pending is None and session.is_previous_run_complete() and known >= set(values):
        return
    for key, value in values.items():
        keeps_current = pending is None and key in known
        current = st.session_state.get(key, value) if keeps_current else value
        st.session_state[key] = current


def _get_widget_values(
    preferences: Preferences, sections: Sequence[Section]
) -> dict[str, object]:
    """Return the value of each widget of some sections by its key."""
    style, settings = preferences.style, preferences.settings
    values: dict[str, object] = {}
    for section in sections:
        for name in _SECTION_FIELDS[section]:
            part = next(
                part for part in (preferences, settings, style) if hasattr(part, name)
            )
            values[f"choice.{name}"] = getattr(part, name)
    if "overlay" in sections:
        values["choice.parts"] = [name for name in _DRAWN_PARTS if getattr(style, name)]
    if "camera" in sections:
        values["choice.camera_wh"] = (
            preferences.camera_width,
            preferences.camera_height,
        )
    if "tracking" in sections:
        values |= get_class_weight_values(settings)
    if "classes" in sections:
        values |= get_class_style_values(style)
    return values


def _render_sections(
    sections: Sequence[Section], *, has_advanced: bool, live: bool
) -> Preferences:
    """Render some sections of a page; return the preferences with their values.

    Args:
        sections: those to render.
        has_advanced: whether the page has Advanced sections, rendered or not.
        live: whether the page analyzes video.
    """
    previous = session.get_preferences()
    if "analyzer" in sections:
        _select_analyzer(live=live)
    if "thresholds" in sections:
        _render_thresholds()
    if "blur" in sections:
        _toggle_blur()
    chosen = previous
    if has_advanced:
        advanced = st.expander(
            "Advanced", key=ADVANCED_KEY, icon=":material/settings:", on_change="rerun"
        )
        with advanced:
            chosen = _render_advanced_sections(sections, previous, live=live)
    return _read_widgets(sections, chosen, previous)


def _render_advanced_sections(
    sections: Sequence[Section], previous: Preferences, *, live: bool
) -> Preferences:
    """Render the Advanced sections; return the preferences with classes and weights."""
    if "classifier" in sections:
        with _open_section("Model"):
            _render_classifier_options(sections, live=live)
    if "face_limits" in sections:
        with _open_section("Detection"):
            _render_face_limits()
    # The weights are shown above the names, but use the names of this run.
    tracking_area = _open_section("Tracking") if "tracking" in sections else None
    if tracking_area:
        with tracking_area:
            _render_tracking()
        with _open_section("Presets"):
            _render_presets()
    if "overlay" in sections:
        with _open_section("Overlay"):
            _render_drawing_options()
    chosen = previous
    if "classes" in sections:
        with _open_section("Names and colours"):
            _select_palette()
            palette = st.session_state["choice.palette"]
            style = dataclasses.replace(previous.style, palette=palette)
            style = render_class_styles(style, previous.style)
        chosen = dataclasses.replace(previous, style=style)
    if tracking_area:
        with tracking_area:
            settings = render_class_weights(previous.settings, chosen.style)
        chosen = dataclasses.replace(chosen, settings=settings)
    if "camera" in sections:
        with _open_section("Camera"):
            _render_camera()
    return chosen


def _open_section(title: str) -> DeltaGenerator:
    """Return a closed section of the Advanced settings."""
    return st.expander(title, type="compact")


def _read_widgets(
    sections: Sequence[Section], chosen: Preferences, previous: Preferences
) -> Preferences:
    """Return the preferences with the values of the widgets of some sections."""
    values: dict[str, Any] = {
        name: st.session_state[f"choice.{name}"]
        for section in sections
        for name in _SECTION_FIELDS[section]
    }
    if "overlay" in sections:
        drawn = st.session_state["choice.parts"]
        values |= {name: name in drawn for name in _DRAWN_PARTS}
    if "camera" in sections:
        width, height = st.session_state["choice.camera_wh"]
        values |= {"camera_width": width, "camera_height": height}
    if values.get("mirror", previous.mirror) != previous.mirror:
        values["ground_points"] = mirror_points(previous.settings.ground_points)
    settings = _replace_fields(chosen.settings, values)
    style = _replace_fields(chosen.style, values)
    return dataclasses.replace(chosen, settings=settings, style=style, **values)


def _replace_fields(part: _Part, values: dict[str, Any]) -> _Part:
    """Return settings or a style with those of the values that it has; remove them."""
    own = {name: values.pop(name) for name in [*values] if hasattr(part, name)}
    return dataclasses.replace(part, **own)


def _render_tracking() -> None:
    smoothing = st.selectbox(
        _FIELD_TITLES["smoothing"],
        SMOOTHING_METHODS,
        format_func=_SMOOTHING_TITLES.__getitem__,
        key="choice.smoothing",
        help="How the label of a person is computed from several frames.",
    )
    st.slider(
        _FIELD_TITLES["smoothing_window_s"],
        *_get_slider_range_s("choice.smoothing_window_s", 10.0),
        key="choice.smoothing_window_s",
        step=0.1,
        help="A longer window gives steadier labels, but reacts later when a person "
        "takes the mask off.",
        disabled=smoothing in ("latest", "mean"),
    )
    st.slider(
        _FIELD_TITLES["memory_s"],
        *_get_slider_range_s("choice.memory_s", 15.0),
        key="choice.memory_s",
        step=0.1,
        help="How long a person keeps their ID and label after their face is lost; "
        "the confidence of the label decreases in this time.",
    )
    st.toggle(
        "Show tracking IDs",
        key="choice.ids",
        help="As in “#3”, for people who are tracked over several frames.",
    )


def _render_presets() -> None:
    """Render a button for each preset, with what it sets."""
    st.caption(
        "The three examples of MaskDetection (ami-a). A preset sets the analyzer, the "
        "thresholds and the tracking."
    )
    missing = session.list_unavailable_analyzers()
    for name, preset in TRACKING_PRESETS.items():
        is_missing = preset.analyzer in missing
        st.button(
            preset.title,
            key=f"preset.{name}",
            disabled=is_missing,
            on_click=_apply_preset,
            args=(preset,),
            width="stretch",
        )
        note = " Not installed: see Models." if is_missing else ""
        st.caption(f"{escape_markdown(preset.description)}{note}")


def _get_slider_range_s(key: str, max_s: float) -> tuple[float, float]:
    """Return the range of a slider, extended to the value of a link or file."""
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


def _select_analyzer(*, live: bool) -> None:
    """Render the choice of the analyzer, and what it is."""
    missing = session.list_unavailable_analyzers()
    names = [name for name in (AUTO, *ANALYZERS) if name not in missing]
    name = st.selectbox(
        _FIELD_TITLES["analyzer"],
        names,
        format_func=get_analyzer_title,
        key="choice.analyzer",
        help="Detects the faces and classifies each of them. Auto selects Fast for "
        "video and Accurate for images. The Models page compares all analyzers.",
    )
    resolved_name = resolve_analyzer(name, live=live)
    using = f"Using **{get_analyzer_title(resolved_name)}**: " if name == AUTO else ""
    st.caption(f"{using}{ANALYZERS[resolved_name]}.")


def _render_classifier_options(sections: Sequence[Section], *, live: bool) -> None:
    """Render refinement and classifier; the pipeline, if the page has an analyzer."""
    if "analyzer" not in sections:
        _toggle_refinement(None)
        _select_classifier()
        return
    resolved_name = resolve_analyzer(st.session_state["choice.analyzer"], live=live)
    refine = _toggle_refinement(resolved_name)
    classifier = _select_classifier()
    classifies_all = classifies_every_face(resolved_name, classifier)
    if not classifies_all and not (
        refine and has_refinement(resolved_name, classifier)
    ):
        st.caption(":gray[Not used: this analyzer classifies faces itself.]")
    pipeline = describe_pipeline(
        resolved_name, classifier, refine=refine, with_title=True
    )
    st.caption(f"Pipeline: {escape_markdown(pipeline)}.")
    problems = list_own_model_problems()
    if problems:
        st.caption(f"Unusable own models: {len(problems)}; see Models.")


def _toggle_refinement(analyzer: str | None) -> bool:
    """Render the refinement option; disabled where the analyzer has no refinement."""
    classifier = st.session_state["choice.classifier"]
    return st.toggle(
        "Re-check low-confidence faces",
        key="choice.refine",
        disabled=analyzer is not None and not has_refinement(analyzer, classifier),
        help="The classifier re-checks faces of low confidence: more reliable labels "
        "and fewer false positives, slightly slower. Two-stage analyzers, and "
        "classifiers other than the default one, always classify every face.",
    )


def _select_classifier() -> str:
    """Render the choice of the classifier, if more than one is available."""
    missing = session.list_unavailable_classifiers()
    names = [name for name in CLASSIFIERS if name not in missing]
    if len(names) < 2:
        return cast(str, st.session_state["choice.classifier"])
    name = st.selectbox(
        _FIELD_TITLES["classifier"],
        names,
        format_func=lambda name: (
            f"{name} (default)" if name == DEFAULT_CLASSIFIER else name
        ),
        key="choice.classifier",
        help="The default classifier is used where the analyzer needs it, as the line "
        "below says. Any other classifies every face. The Models page compares them.",
    )
    return str(name)


def _render_thresholds() -> None:
    st.slider(
        _FIELD_TITLES["min_score"],
        *(0.0, 1.0),
        key="choice.min_score",
        step=0.01,
        help="Minimum detection score of a face. A lower threshold finds more faces "
        "and more false positives.",
    )
    st.slider(
        _FIELD_TITLES["min_confidence"],
        *(0.0, 1.0),
        key="choice.min_confidence",
        step=0.01,
        help="Faces with a lower confidence are shown as unsure.",
    )


def _render_face_limits() -> None:
    st.number_input(
        _FIELD_TITLES["min_face_px"],
        *(1.0, 2000.0),
        key="choice.min_face_px",
        step=1.0,
        format="%g",
        help="Faces whose shorter side is smaller are ignored.",
    )
    st.slider(
        _FIELD_TITLES["nms_iou"],
        *(0.0, 1.0),
        key="choice.nms_iou",
        step=0.01,
        help="Of two boxes with a higher IoU, the one with the lower score is removed "
        "(non-maximum suppression). Raise it in crowds.",
    )


def _toggle_blur() -> None:
    st.toggle(
        _FIELD_TITLES["blur"],
        key="choice.blur",
        help="Pixelates every detected face in the live video, results, cards and "
        "downloads.",
    )


def _render_drawing_options() -> None:
    st.pills(
        "Show",
        _DRAWN_PARTS,
        selection_mode="multi",
        format_func=str.capitalize,
        key="choice.parts",
        help="What is drawn on each face.",
    )
    st.slider(
        _FIELD_TITLES["scale"],
        *(0.5, 3.0),
        key="choice.scale",
        step=0.25,
        help="Relative to the default size for the image.",
    )


def _select_palette() -> None:
    st.selectbox(
        _FIELD_TITLES["palette"],
        PALETTES,
        format_func=str.capitalize,
        key="choice.palette",
        help="Labels and line styles distinguish the classes in every palette.",
    )


def _render_camera() -> None:
    st.toggle(
        _FIELD_TITLES["mirror"],
        key="choice.mirror",
        help="Flips the video left to right.",
    )
    st.selectbox(
        _FIELD_TITLES["rotate"],
        ROTATIONS,
        format_func=format_rotation,
        key="choice.rotate",
        help="For a camera that is mounted upside down or on its side.",
    )
    st.selectbox(
        "Resolution",
        _add_current_option(_CAMERA_SIZES_WH, "choice.camera_wh"),
        format_func=lambda size_wh: f"{size_wh[0]} x {size_wh[1]}",
        key="choice.camera_wh",
        help="Requested when you press Start; the camera may deliver another. "
        "A higher resolution shows smaller faces and is slower.",
    )
    st.selectbox(
        _FIELD_TITLES["camera_fps"],
        _add_current_option(_CAMERA_RATES_FPS, "choice.camera_fps"),
        format_func=lambda fps: f"{fps} fps",
        key="choice.camera_fps",
        help="Requested when you press Start. "
        "Frames that cannot be analyzed in time are dropped, not queued.",
    )


def _add_current_option(options: Sequence[_Option], key: str) -> list[_Option]:
    """Return the options, with the current value appended if it is not among them."""
    value = cast(_Option, st.session_state[key])
    return [*options] if value in options else [*options, value]


def _render_settings_files(preferences: Preferences) -> None:
    expander = st.expander(
        "Save, load, link", key=FILES_KEY, icon=":material/save:", on_change="rerun"
    )
    if not expander.open:
        return
    with expander:
        render_settings_download(
            "Save settings",
            preferences,
            help_="Downloads the settings of all pages as a JSON file.",
        )
        st.file_uploader(
            "Load settings",
            type="json",
            key="choice.file",
            on_change=_load_settings_file,
            max_upload_size=_MAX_SETTINGS_MB,
            help="A file from “Save settings”.",
        )
        if problem := st.session_state.get(_FILE_WARNING_KEY):
            st.warning(escape_markdown(problem), icon=":material/warning:")
        st.button(
            "Reset to defaults",
            icon=":material/restart_alt:",
            on_click=session.set_preferences,
            args=(Preferences(),),
            width="stretch",
        )
        render_settings_link(preferences)


def render_settings_download(
    title: str, preferences: Preferences, *, help_: str, disabled: bool = False
) -> None:
    """Render the download of settings as a file that the sidebar can load."""
    st.download_button(
        title,
        preferences.to_json(),
        file_name="maskdet-settings.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
        disabled=disabled,
        width="stretch",
        help=help_,
    )


def render_settings_link(preferences: Preferences) -> None:
    """Render a link that opens this page with the settings."""
    st.caption("Link to this page with these settings:")
    st.code(preferences.to_link(st.context.url or ""), language=None, wrap_lines=True)


def _load_settings_file() -> None:
    file = st.session_state["choice.file"]
    st.session_state[_FILE_WARNING_KEY] = ""
    if file is None:
        return
    # The browser alone enforces the widget's limit.
    if file.size > _MAX_SETTINGS_MB * 2**20:
        st.session_state[_FILE_WARNING_KEY] = (
            f"Not loaded: the file is larger than {_MAX_SETTINGS_MB} MB."
        )
        return
    try:
        session.set_preferences(Preferences.from_json(file.getvalue()))
    except ValueError as error:
        st.session_state[_FILE_WARNING_KEY] = (
            f"Not loaded: {describe_file_error(error)}."
        )


def describe_file_error(error: ValueError) -> str:
    """Return the message about a settings file in words of the page."""
    line, _, _ = str(error).partition("; accepted are ")
    for name, title in _FIELD_TITLES.items():
        line = re.sub(rf"(?<![\w.]){name}(?= must be)", f"“{title}”", line)
    return line
