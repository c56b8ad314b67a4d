"""The sidebar's rarer choices: weights, names and colours of the classes."""

from __future__ import annotations

import dataclasses

import streamlit as st

from maskdet.style import Style
from maskdet.types import CLASSES, Label, Settings
from maskdet.web import session
from maskdet.web.markdown import plain
from maskdet.web.preferences import Preferences


def advanced_values(preferences: Preferences) -> dict[str, object]:
    """Return the value of each widget of this section by its key."""
    style = preferences.style
    weights = zip(CLASSES, preferences.settings.class_weights, strict=True)
    return {
        **{_key("weight", label): weight for label, weight in weights},
        **{_key("name", one): style.class_names.get(one.key, "") for one in Label},
        **{_key("colour", one): style.colour_css(one) for one in Label},
    }


def advanced(
    settings: Settings, style: Style, before: Preferences
) -> tuple[Settings, Style]:
    """Show the section; return settings and style with what it says.

    Args:
        settings: what the other sections say.
        style: likewise; it has the palette.
        before: the choices of the run before, which stay where a new one is refused.
    """
    # The weights stand above the names, and have them at once.
    above = st.container()
    style = _classes(style, before.style)
    with above:
        return _weights(settings, before.settings, style), style


def _weights(settings: Settings, before: Settings, style: Style) -> Settings:
    st.caption(
        "**Class weights.** How much a view of a person counts that shows this class, "
        "by the factor Σ probability · weight. With 0 for a class, such views change "
        "nothing that is known of the person."
    )
    weights = tuple(
        st.slider(
            plain(style.title(label)),
            *(0.0, 1.0),
            key=_key("weight", label),
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
        return dataclasses.replace(settings, class_weights=before.class_weights)


def _classes(style: Style, before: Style) -> Style:
    st.caption(
        "**Names and colours.** Your own, in images, tables, charts and counts. Files "
        "keep the keys `mask`, `no_mask`, `incorrect`, `unknown`."
    )
    colours = dict(_own_colours(style, before))
    names = {}
    for label in Label:
        name, colour = st.columns([4, 1], vertical_alignment="bottom")
        names[label.key] = name.text_input(
            label.title,
            key=_key("name", label),
            placeholder=label.title,
            max_chars=24,
        ).strip()
        colour.color_picker(
            f"Colour of {label.title}",
            key=_key("colour", label),
            label_visibility="collapsed",
        )
    st.button(
        "Standard names and colours",
        icon=":material/restart_alt:",
        on_click=_reset,
        disabled=not (any(names.values()) or colours),
        width="stretch",
    )
    style = dataclasses.replace(style, class_colours=colours)
    own = {key: name for key, name in names.items() if name}
    try:
        style = dataclasses.replace(style, class_names=own)
    except ValueError as error:
        st.warning(
            plain(f"{error}. The names before stay in force."),
            icon=":material/warning:",
        )
        style = dataclasses.replace(style, class_names=before.class_names)
    if style.undrawn:
        st.caption(plain(f"{style.undrawn[:1].upper()}{style.undrawn[1:]}."))
    return style


def _own_colours(style: Style, before: Style) -> dict[str, str]:
    """Return the colours that are the visitor's own, and let the pickers show all.

    A picker that shows what was in force was not touched, so that a new palette
    changes it.
    """
    own = dict(before.class_colours)
    for label in Label:
        picked = str(st.session_state[_key("colour", label)]).lower()
        if picked != before.colour_css(label):
            own[label.key] = picked
    now = dataclasses.replace(style, class_colours=own)
    for label in Label:
        st.session_state[_key("colour", label)] = now.colour_css(label)
    return own


def _reset() -> None:
    before = session.preferences()
    style = dataclasses.replace(before.style, class_names={}, class_colours={})
    session.set_preferences(dataclasses.replace(before, style=style))


def _key(kind: str, label: Label) -> str:
    return f"choice.{kind}.{label.key}"
