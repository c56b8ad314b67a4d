"""The sidebar of all pages: models, thresholds, tracking, overlay, camera, files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final, TypeVar, cast

import streamlit as st

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    classifies_every_face,
    describe_pipeline,
    has_refinement,
    list_own_model_problems,
    resolve_analyzer,
)
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.media import ROTATIONS
from maskdet.settings import SMOOTHING_METHODS, Settings
from maskdet.smoothing import TRACKING_PRESETS, TrackingPreset
from maskdet.style import PALETTES, Style
from maskdet.types import CLASSES, Label
from maskdet.web import distance, session
from maskdet.web.distance import mirror_points
from maskdet.web.preferences import Preferences, format_rotation
from maskdet.web.widgets import escape_markdown

_SMOOTHING_TITLES: Final = {
    "log_pool": "Confidence-weighted",
    "latest": "Off (per frame)",
    "mean": "Average of all frames",
    "window": "Moving average",
    "ema": "Exponential average",
}

_FIELDS: Final = ("analyzer", "classifier", "refine", "mirror", "rotate", "camera_fps")
_SETTINGS_FIELDS: Final = (
    *("min_score", "min_confidence", "min_face_px", "nms_iou"),
    *("smoothing", "smoothing_window_s", "memory_s"),
)
_STYLE_FIELDS: Final = ("palette", "scale", "ids", "blur")
"""Fields of `Preferences`, `Settings` and `Style` with the widget `choice.FIELD`."""

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


def _render_smoothing() -> None:
    smoothing = st.selectbox(
        "Label smoothing",
        SMOOTHING_METHODS,
        format_func=_SMOOTHING_TITLES.__getitem__,
        key="choice.smoothing",
        help="How the label of a person is computed from several frames.",
    )
    st.slider(
        "Smoothing window (s)",
        *_get_slider_range_s("choice.smoothing_window_s", 10.0),
        key="choice.smoothing_window_s",
        step=0.1,
        help="A longer window gives steadier labels, but reacts later when a person "
        "takes the mask off.",
        disabled=smoothing in ("latest", "mean"),
    )
    st.slider(
        "Keep lost tracks for (s)",
        *_get_slider_range_s("choice.memory_s", 15.0),
        key="choice.memory_s",
        step=0.1,
        help="How long a person keeps their ID and label after their face is lost; "
        "the confidence of the label decreases in this time.",
    )
    st.caption("Presets, from the three examples of MaskDetection (ami-a):")
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
            f"**{preset.title}**: {escape_markdown(preset.description)}"
            for preset in TRACKING_PRESETS.values()
        )
    )


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


def _get_advanced_values(preferences: Preferences) -> dict[str, object]:
    """Return the value of each widget of the Advanced section by its key."""
    style = preferences.style
    weights = zip(CLASSES, preferences.settings.class_weights, strict=True)
    return {
        **{_get_class_widget_key("weight", label): weight for label, weight in weights},
        **{
            _get_class_widget_key("name", label): style.class_names.get(label.key, "")
            for label in Label
        },
        **{
            _get_class_widget_key("colour", label): style.colour_css(label)
            for label in Label
        },
    }


def _render_advanced_settings(
    settings: Settings, style: Style, previous: Preferences
) -> tuple[Settings, Style]:
    """Render the Advanced section; return settings and style with its values.

    Args:
        settings: values of the other sections.
        style: likewise, with the palette.
        previous: preferences of the previous run, which replace invalid new values.
    """
    # The weights are shown above the names, but use the names of this run.
    weights_area = st.container()
    style = _render_class_styles(style, previous.style)
    with weights_area:
        return _render_class_weights(settings, previous.settings, style), style


def _render_class_weights(
    settings: Settings, previous: Settings, style: Style
) -> Settings:
    st.caption(
        "**Class weights.** How much a frame that shows this class counts for the "
        "label of a person: by the factor Σ probability · weight. Frames of a class "
        "with weight 0 do not change the label."
    )
    weights = tuple(
        st.slider(
            escape_markdown(style.title(label)),
            *(0.0, 1.0),
            key=_get_class_widget_key("weight", label),
            step=0.05,
        )
        for label in CLASSES
    )
    try:
        return dataclasses.replace(settings, class_weights=weights)
    except ValueError:
        st.warning(
            "At least one weight must be above 0. The previous weights are used.",
            icon=":material/warning:",
        )
        return dataclasses.replace(settings, class_weights=previous.class_weights)


def _render_class_styles(style: Style, previous: Style) -> Style:
    st.caption(
        "**Names and colours.** Used in images, tables, charts and counts. Files "
        "keep the keys `mask`, `no_mask`, `incorrect`, `unknown`."
    )
    colours = dict(_update_custom_colours(style, previous))
    names = {}
    for label in Label:
        name, colour = st.columns([4, 1], vertical_alignment="bottom")
        names[label.key] = name.text_input(
            label.title,
            key=_get_class_widget_key("name", label),
            placeholder=label.title,
            max_chars=24,
        ).strip()
        colour.color_picker(
            f"Colour of {label.title}",
            key=_get_class_widget_key("colour", label),
            label_visibility="collapsed",
        )
    st.button(
        "Default names and colours",
        icon=":material/restart_alt:",
        on_click=_reset_class_styles,
        disabled=not (any(names.values()) or colours),
        width="stretch",
    )
    style = dataclasses.replace(style, class_colours=colours)
    custom_names = {key: name for key, name in names.items() if name}
    try:
        style = dataclasses.replace(style, class_names=custom_names)
    except ValueError as error:
        st.warning(
            escape_markdown(f"{error}. The previous names are used."),
            icon=":material/warning:",
        )
        style = dataclasses.replace(style, class_names=previous.class_names)
    note = style.substitution_note
    if note:
        st.caption(escape_markdown(f"{note[:1].upper()}{note[1:]}."))
    return style


def _update_custom_colours(style: Style, previous: Style) -> dict[str, str]:
    """Return the visitor's own colours, and update the colour pickers.

    A picker that shows the previous colour was not used, so a new palette changes it.
    """
    custom = dict(previous.class_colours)
    for label in Label:
        picked = str(st.session_state[_get_class_widget_key("colour", label)]).lower()
        if picked != previous.colour_css(label):
            custom[label.key] = picked
    updated = dataclasses.replace(style, class_colours=custom)
    for label in Label:
        st.session_state[_get_class_widget_key("colour", label)] = updated.colour_css(
            label
        )
    return custom


def _reset_class_styles() -> None:
    preferences = session.get_preferences()
    style = dataclasses.replace(preferences.style, class_names={}, class_colours={})
    session.set_preferences(dataclasses.replace(preferences, style=style))


def _get_class_widget_key(kind: str, label: Label) -> str:
    return f"choice.{kind}.{label.key}"


def _render_model_choice(*, live: bool) -> None:
    resolved_name = _select_analyzer(live=live)
    refine = _toggle_refinement(resolved_name)
    classifier = _select_classifier()
    classifies_all = classifies_every_face(resolved_name, classifier)
    if not classifies_all and not (
        refine and has_refinement(resolved_name, classifier)
    ):
        st.caption(":gray[Not used: this analyzer classifies faces itself.]")
    pipeline = describe_pipeline(resolved_name, classifier, refine=refine)
    st.caption(f"Pipeline: {escape_markdown(pipeline)}.")
    problems = list_own_model_problems()
    if problems:
        with st.expander(f":gray[Unusable own models: {len(problems)}]"):
            for line in problems:
                st.caption(f"{escape_markdown(line)}.")


def _select_analyzer(*, live: bool) -> str:
    """Render the choice of the analyzer; return the name of the one in use."""
    missing = session.list_unavailable_analyzers()
    names = [name for name in (AUTO, *ANALYZERS) if name not in missing]
    _replace_missing_model("choice.analyzer", names)
    name = st.selectbox(
        "Analyzer",
        names,
        format_func=lambda name: "Auto (by page)" if name == AUTO else name,
        key="choice.analyzer",
        help="Detects the faces and classifies each of them. Analyzers differ in "
        "recall and speed. Auto selects a fast analyzer for video and an accurate one "
        "for images.",
    )
    resolved_name = resolve_analyzer(name, live=live)
    st.caption(
        f"Using **{resolved_name}**: {ANALYZERS[resolved_name]}."
        if name == AUTO
        else f"{ANALYZERS[name]}."
    )
    if missing:
        with st.expander(f":gray[Not installed: {', '.join(missing)}]"):
            for other, line in missing.items():
                st.caption(f"**{other}**: {escape_markdown(line)}.")
    return resolved_name


def _toggle_refinement(analyzer: str) -> bool:
    """Render the refinement option; disabled where the analyzer has no refinement."""
    return st.toggle(
        "Re-check low-confidence faces",
        key="choice.refine",
        disabled=not has_refinement(analyzer, st.session_state["choice.classifier"]),
        help="The classifier re-checks faces of low confidence: more reliable labels "
        "and fewer false positives, slightly slower. Two-stage analyzers, and "
        "classifiers other than the default one, always classify every face.",
    )


def _select_classifier() -> str:
    """Render the choice of the classifier, if more than one is available."""
    missing = session.list_unavailable_classifiers()
    names = [name for name in CLASSIFIERS if name not in missing]
    _replace_missing_model("choice.classifier", names)
    if len(names) < 2:
        return cast(str, st.session_state["choice.classifier"])
    name = st.selectbox(
        "Mask classifier",
        names,
        format_func=lambda name: (
            f"{name} (default)" if name == DEFAULT_CLASSIFIER else name
        ),
        key="choice.classifier",
        help="The default classifier is used where the analyzer needs it, as the line "
        "below says. Any other classifies every face. The Models page compares them.",
    )
    if missing:
        st.caption(f":gray[Not installed: {', '.join(missing)}]")
    return str(name)


def _replace_missing_model(key: str, names: Sequence[str]) -> None:
    """Select the first of `names` if the selected model no longer exists."""
    selected = st.session_state[key]
    if selected not in names and names:
        st.session_state[key] = names[0]
        line = f"{selected} is no longer in your models folder; using {names[0]}."
        st.warning(escape_markdown(line), icon=":material/warning:")


def render_sidebar(*, live: bool = False) -> Preferences:
    """Render the sidebar and return its values; call it once, in `app.py`.

    So its widgets are on every page, and their values survive a change of page.

    Args:
        live: whether the page shows video, for which `AUTO` selects another analyzer.
    """
    _fill_sidebar(session.pop_pending_preferences())
    with st.sidebar:
        preferences = _render_choices(live=live)
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


def _fill_sidebar(pending: Preferences | None) -> None:
    """Set the values of the widgets from the preferences."""
    if pending is None and session.is_previous_run_complete():
        return
    for key, value in _get_widget_values(pending or session.get_preferences()).items():
        current = st.session_state.get(key, value) if pending is None else value
        st.session_state[key] = current


def _get_widget_values(preferences: Preferences) -> dict[str, object]:
    """Return the value of each widget by its key."""
    style, settings = preferences.style, preferences.settings
    fields_by_part = (
        (preferences, _FIELDS),
        (settings, _SETTINGS_FIELDS),
        (style, _STYLE_FIELDS),
    )
    return {
        **{
            f"choice.{name}": getattr(part, name)
            for part, names in fields_by_part
            for name in names
        },
        "choice.parts": [name for name in _DRAWN_PARTS if getattr(style, name)],
        "choice.camera_wh": (preferences.camera_width, preferences.camera_height),
        **_get_advanced_values(preferences),
        **distance.get_distance_widget_values(settings),
    }


def _render_choices(*, live: bool) -> Preferences:
    previous = session.get_preferences()
    _render_model_choice(live=live)
    with st.expander("Thresholds", expanded=True, icon=":material/tune:"):
        _render_thresholds()
    with st.expander("Tracking", icon=":material/history:"):
        _render_smoothing()
    with st.expander("Overlay", icon=":material/palette:"):
        _render_drawing_options()
    settings = dataclasses.replace(previous.settings, **_read_widgets(_SETTINGS_FIELDS))
    drawn = {name: name in st.session_state["choice.parts"] for name in _DRAWN_PARTS}
    style = Style(**(_read_widgets(_STYLE_FIELDS) | drawn))
    with st.expander("Advanced", icon=":material/settings:"):
        settings, style = _render_advanced_settings(settings, style, previous)
    with st.expander("Camera", icon=":material/photo_camera:"):
        _render_camera()
    width, height = st.session_state["choice.camera_wh"]
    if st.session_state["choice.mirror"] != previous.mirror:
        settings = dataclasses.replace(
            settings, ground_points=mirror_points(settings.ground_points)
        )
    return Preferences(
        settings=settings,
        style=style,
        camera_width=width,
        camera_height=height,
        source=previous.source,
        camera=previous.camera,
        **_read_widgets(_FIELDS),
    )


def _read_widgets(names: Sequence[str]) -> dict[str, Any]:
    """Return the values of the widgets of some fields, by the name of the field."""
    return {name: st.session_state[f"choice.{name}"] for name in names}


def _render_thresholds() -> None:
    st.slider(
        "Face detection threshold",
        *(0.0, 1.0),
        key="choice.min_score",
        step=0.01,
        help="Minimum detection score of a face. A lower threshold finds more faces "
        "and more false positives.",
    )
    st.slider(
        "Minimum confidence",
        *(0.0, 1.0),
        key="choice.min_confidence",
        step=0.01,
        help="Faces with a lower confidence are shown as unsure.",
    )
    st.number_input(
        "Minimum face size (px)",
        *(1.0, 2000.0),
        key="choice.min_face_px",
        step=1.0,
        format="%g",
        help="Faces whose shorter side is smaller are ignored.",
    )
    st.slider(
        "NMS IoU threshold",
        *(0.0, 1.0),
        key="choice.nms_iou",
        step=0.01,
        help="Of two boxes with a higher IoU, the one with the lower score is removed "
        "(non-maximum suppression). Raise it in crowds.",
    )


def _render_drawing_options() -> None:
    st.toggle(
        "Blur faces (live, results and downloads)",
        key="choice.blur",
        help="Pixelates every detected face in the live video, results, cards and "
        "downloads.",
    )
    st.toggle(
        "Show tracking IDs",
        key="choice.ids",
        help="As in “#3”, for people who are tracked over several frames.",
    )
    st.pills(
        "Show",
        _DRAWN_PARTS,
        selection_mode="multi",
        format_func=str.capitalize,
        key="choice.parts",
        help="What is drawn on each face.",
    )
    st.selectbox(
        "Colours",
        PALETTES,
        format_func=str.capitalize,
        key="choice.palette",
        help="Labels and line styles distinguish the classes in every palette.",
    )
    st.slider(
        "Label and line size",
        *(0.5, 3.0),
        key="choice.scale",
        step=0.25,
        help="Relative to the default size for the image.",
    )


def _render_camera() -> None:
    st.toggle(
        "Mirror the live video",
        key="choice.mirror",
        help="Flips the video left to right.",
    )
    st.selectbox(
        "Rotate the live video",
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
        "Frame rate",
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
    with st.expander("Save, load, link", icon=":material/save:"):
        render_settings_download(
            "Save settings",
            preferences,
            help_="Downloads all sidebar settings as a JSON file.",
        )
        st.file_uploader(
            "Load settings",
            type="json",
            key="choice.file",
            on_change=_load_settings_file,
            max_upload_size=_MAX_SETTINGS_MB,
            help="A file from “Save settings”.",
        )
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
    st.caption("Link to these settings:")
    st.code(preferences.to_link(st.context.url or ""), language=None, wrap_lines=True)


def _load_settings_file() -> None:
    file = st.session_state["choice.file"]
    if file is None:
        return
    # The browser alone enforces the widget's limit.
    if file.size > _MAX_SETTINGS_MB * 2**20:
        session.set_warning(
            f"The file was not loaded: it is larger than {_MAX_SETTINGS_MB} MB."
        )
        return
    try:
        session.set_preferences(Preferences.from_json(file.getvalue()))
    except ValueError as error:
        session.set_warning(f"The file was not loaded: {error}.")
