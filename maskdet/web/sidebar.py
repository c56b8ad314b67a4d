"""The sidebar: every choice a visitor has, on every page.

The sidebar's choice of how people are followed and judged over time.

The sidebar's rarer choices: weights, names and colours of the classes.

The sidebar's choice of networks: who finds the faces, and who labels them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, TypeVar, cast

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
from maskdet.settings import SMOOTHING_METHODS, Settings, SmoothingMethod
from maskdet.smoothing import TRACKING_PRESETS, TrackingPreset
from maskdet.style import PALETTES, Style
from maskdet.types import CLASSES, Label
from maskdet.web import distance, session
from maskdet.web.distance import mirror_points
from maskdet.web.preferences import Preferences, format_rotation
from maskdet.web.widgets import escape_markdown

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


def get_advanced_widget_values(preferences: Preferences) -> dict[str, object]:
    """Return the value of each widget of this section by its key."""
    style = preferences.style
    weights = zip(CLASSES, preferences.settings.class_weights, strict=True)
    return {
        **{_get_class_widget_key("weight", label): weight for label, weight in weights},
        **{
            _get_class_widget_key("name", face_label): style.class_names.get(
                face_label.key, ""
            )
            for face_label in Label
        },
        **{
            _get_class_widget_key("colour", face_label): style.colour_css(face_label)
            for face_label in Label
        },
    }


def render_advanced_settings(
    settings: Settings, style: Style, previous: Preferences
) -> tuple[Settings, Style]:
    """Show the section; return settings and style with what it says.

    Args:
        settings: what the other sections say.
        style: likewise; it has the palette.
        previous: the choices of the run before, which stay where a new one is refused.
    """
    # The weights stand above the names, and have them at once.
    weights_area = st.container()
    style = _render_class_styles(style, previous.style)
    with weights_area:
        return _render_class_weights(settings, previous.settings, style), style


def _render_class_weights(
    settings: Settings, previous: Settings, style: Style
) -> Settings:
    st.caption(
        "**Class weights.** How much a view of a person counts that shows this class, "
        "by the factor Σ probability · weight. With 0 for a class, such views change "
        "nothing that is known of the person."
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
            "At least one class must count. The weights before stay in force.",
            icon=":material/warning:",
        )
        return dataclasses.replace(settings, class_weights=previous.class_weights)


def _render_class_styles(style: Style, previous: Style) -> Style:
    st.caption(
        "**Names and colours.** Your own, in images, tables, charts and counts. Files "
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
        "Standard names and colours",
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
            escape_markdown(f"{error}. The names before stay in force."),
            icon=":material/warning:",
        )
        style = dataclasses.replace(style, class_names=previous.class_names)
    if style.substitution_note:
        st.caption(
            escape_markdown(
                f"{style.substitution_note[:1].upper()}{style.substitution_note[1:]}."
            )
        )
    return style


def _update_custom_colours(style: Style, previous: Style) -> dict[str, str]:
    """Return the colours that are the visitor's own, and let the pickers show all.

    A picker that shows what was in force was not touched, so that a new palette
    changes it.
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


def render_model_choice(*, live: bool) -> tuple[str, str, bool]:
    """Show the choice; return analyzer, mask model and whether large faces are re-read.

    Args:
        live: whether the page shows video: who is at work there may be another.
    """
    analyzer = _select_analyzer(live=live)
    resolved_name = resolve_analyzer(analyzer, live=live)
    refine = _toggle_refinement(resolved_name)
    classifier = _select_classifier()
    classifies_all = classifies_every_face(resolved_name, classifier)
    if not classifies_all and not (
        refine and has_refinement(resolved_name, classifier)
    ):
        st.caption(":gray[Not asked here: the analyzer labels the faces itself.]")
    st.caption(
        "At work: "
        f"{escape_markdown(describe_pipeline(resolved_name, classifier, refine=refine))}."
    )
    _render_model_problems()
    return analyzer, classifier, refine


def _select_analyzer(*, live: bool) -> str:
    missing = session.list_unavailable_analyzers()
    names = [name for name in (AUTO, *ANALYZERS) if name not in missing]
    _replace_missing_model("choice.analyzer", names)
    name = st.selectbox(
        "Analyzer",
        names,
        format_func=_format_analyzer,
        key="choice.analyzer",
        help="Finds the faces and labels each of them. Another one finds other faces, "
        "and takes another time. “auto” takes the best that is here: a fast one on the "
        "Live page, a thorough one for images.",
    )
    resolved_name = resolve_analyzer(name, live=live)
    st.caption(
        f"Here **{resolved_name}**: {ANALYZERS[resolved_name]}."
        if name == AUTO
        else f"{ANALYZERS[name]}."
    )
    if missing:
        with st.expander(f":gray[Not here: {', '.join(missing)}]"):
            for other, line in missing.items():
                st.caption(f"**{other}**: {escape_markdown(line)}.")
    return str(name)


def _format_analyzer(name: str) -> str:
    return "auto: fast on video" if name == AUTO else name


def _toggle_refinement(analyzer: str) -> bool:
    """Offer the second look; its place is taken also where there is none."""
    return st.toggle(
        "Check uncertain faces again",
        key="choice.refine",
        disabled=not has_refinement(analyzer, st.session_state["choice.classifier"]),
        help="Where the confidence of the network is low, the mask model checks the "
        "face again: better labels and fewer false positives, for a little more time. "
        "Two-stage analyzers, and mask models other than the default one, classify "
        "every face in any case.",
    )


def _select_classifier() -> str:
    """Offer the mask models that are here; with only one there is nothing to choose."""
    missing = session.list_unavailable_classifiers()
    names = [name for name in CLASSIFIERS if name not in missing]
    _replace_missing_model("choice.classifier", names)
    if len(names) < 2:
        return cast(str, st.session_state["choice.classifier"])
    name = st.selectbox(
        "Mask model",
        names,
        format_func=_format_classifier,
        key="choice.classifier",
        help="The default one labels faces where it is asked, as the line below says. "
        "Another one labels every face. The Models page shows how well each of them "
        "does.",
    )
    if missing:
        st.caption(f":gray[Not here: {', '.join(missing)}]")
    return str(name)


def _replace_missing_model(key: str, names: Sequence[str]) -> None:
    """Take the first of `names` where the file of the chosen one has gone."""
    selected = st.session_state[key]
    if selected not in names and names:
        st.session_state[key] = names[0]
        line = (
            f"{selected} is no longer in the folder of own models; {names[0]} is used."
        )
        st.warning(escape_markdown(line), icon=":material/warning:")


def _render_model_problems() -> None:
    """Say which files in the folder of own models are not offered, and why."""
    lines = list_own_model_problems()
    if lines:
        with st.expander(f":gray[Own models that cannot be used: {len(lines)}]"):
            for line in lines:
                st.caption(f"{escape_markdown(line)}.")


def _format_classifier(name: str) -> str:
    return f"{name} (default)" if name == DEFAULT_CLASSIFIER else name


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
    # the browser, and a live image would stop.
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
            "Mirror the live image",
            key="choice.mirror",
            help="Turns it left to right, so that you move as in a mirror.",
        )
        rotate = st.selectbox(
            "Rotate the live image",
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
        help="How sure the detector must be that something is a face. "
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
        help="In the live image, results, cards and downloads: every face that is "
        "found becomes a few coarse squares.",
    )
    ids = st.toggle(
        "Show numbers of people",
        key="choice.ids",
        help="As in “#3”, for people who are followed from image to image.",
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
        help="1 suits the size of the image.",
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
        format_func=lambda fps: f"{fps} images a second",
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
