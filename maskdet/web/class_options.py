"""Widgets of the sidebar for each class: weight, name and colour."""

from __future__ import annotations

import dataclasses

import streamlit as st

from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.types import CLASSES, Label
from maskdet.web import session
from maskdet.web.widgets import escape_markdown


def get_class_weight_values(settings: Settings) -> dict[str, object]:
    """Return the value of each weight's widget by its key."""
    weights = zip(CLASSES, settings.class_weights, strict=True)
    return {_get_class_widget_key("weight", label): weight for label, weight in weights}


def get_class_style_values(style: Style) -> dict[str, object]:
    """Return the value of each widget of names and colours by its key."""
    return {
        **{
            _get_class_widget_key("name", label): style.class_names.get(label.key, "")
            for label in Label
        },
        **{
            _get_class_widget_key("colour", label): style.colour_css(label)
            for label in Label
        },
    }


def render_class_weights(settings: Settings, style: Style) -> Settings:
    """Render the weights of the classes; return the settings with them.

    Args:
        settings: settings of the previous run, whose weights replace invalid new ones.
        style: names of the classes.
    """
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
        return settings


def render_class_styles(style: Style, previous: Style) -> Style:
    """Render names and colours of the classes; return the style with them.

    Args:
        style: values of the other widgets, with the palette.
        previous: style of the previous run, which replaces invalid new names.
    """
    st.caption(
        "Used in images, tables, charts and counts. Files "
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
