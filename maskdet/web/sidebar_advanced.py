"""The sidebar's rarer choices: weights, names and colours of the classes."""

from __future__ import annotations

import dataclasses

import streamlit as st

from maskdet.style import Style
from maskdet.types import CLASSES, Label, Settings
from maskdet.web import session
from maskdet.web.markdown import escape_markdown
from maskdet.web.preferences import Preferences


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
