"""How distances are measured: the choice that a page with video shows.

The choices are part of the visitor's preferences, which are their only source: a
widget tells them at once, and shows what they say in the next run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import streamlit as st

from maskdet.proximity import FACE_HEIGHT_M
from maskdet.proximity.body import FACE_HEIGHT_ERROR
from maskdet.settings import DISTANCE_METHODS
from maskdet.types import Settings
from maskdet.web import session

_LIMITS_M: Final = (1.0, 1.8, 2.0)

_MODE_TITLES: Final = {
    "off": "Off",
    "relative": "In heads",
    "pinhole": "By field of view",
    "ground_plane": "By the floor",
}

_MODE_DESCRIPTIONS: Final = {
    "off": "Distances between people are not measured.",
    "relative": "Without knowing the camera: distances in heights of faces, right "
    "across the picture and rough along the camera's look. There is no plan.",
    "pinhole": "In metres, from the size of each face and the camera's field of view; "
    f"faces differ, so expect errors of about {100 * FACE_HEIGHT_ERROR:.0f} %.",
    "ground_plane": "In metres, from four points on the floor whose distances you "
    "know: the most exact way, to about 5 % for people who stand.",
}

_FIELDS: Final = (
    "distance",
    "contact_distance_m",
    "contact_duration_s",
    "field_of_view_deg",
    "ground_width_m",
    "ground_depth_m",
)


def get_distance_widget_values(settings: Settings) -> dict[str, object]:
    """Return the value of each widget by its key."""
    return {_get_widget_key(name): getattr(settings, name) for name in _FIELDS}


def fill_widgets(widget_values: Mapping[str, object]) -> None:
    """Give widgets that are about to be shown their values where they lack them."""
    is_synchronized = session.is_previous_run_complete()
    for key, value in widget_values.items():
        if not is_synchronized or st.session_state.get(key) != value:
            st.session_state[key] = value


def update_distance_settings(**changes: object) -> None:
    """Put other settings of distance in force."""
    preferences = session.get_preferences()
    settings = dataclasses.replace(preferences.settings, **changes)  # type: ignore[arg-type]
    session.store_preferences(dataclasses.replace(preferences, settings=settings))


def render_distance_settings() -> Settings:
    """Show how distances are measured; return the settings in force."""
    settings = session.get_preferences().settings
    fill_widgets(get_distance_widget_values(settings))
    st.segmented_control(
        "Distances between people",
        DISTANCE_METHODS,
        format_func=_MODE_TITLES.__getitem__,
        required=True,
        key=_get_widget_key("distance"),
        on_change=_apply_widget,
        args=("distance",),
    )
    mode = settings.distance
    st.caption(_MODE_DESCRIPTIONS[mode])
    if mode != "off":
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            _render_contact_limits(settings)
            if mode == "pinhole":
                _render_field_of_view()
    return settings


def _render_contact_limits(settings: Settings) -> None:
    options, current_m = _LIMITS_M, settings.contact_distance_m
    n_face_heights = current_m / FACE_HEIGHT_M
    st.segmented_control(
        "Near is closer than",
        options if current_m in options else (*options, current_m),
        format_func=lambda limit_m: f"{limit_m:g} m",
        required=True,
        key=_get_widget_key("contact_distance_m"),
        on_change=_apply_widget,
        args=("contact_distance_m",),
        help=f"{current_m:g} m are about {n_face_heights:.0f} heights of a face.",
    )
    _render_number_input("contact_duration_s", "Too long after (s)", (0.0, 3600.0, 1.0))


def _render_field_of_view() -> None:
    _render_number_input(
        "field_of_view_deg",
        "Field of view (degrees)",
        (10.0, 170.0, 1.0),
        "Of the camera, from left to right. Webcams and phones have 55 to 80, "
        "wide ones 90 and more; the maker's page says it.",
    )


def render_rectangle_size() -> None:
    """Ask for the two lengths of the rectangle on the floor."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        _render_number_input("ground_width_m", "From 1 to 2 (m)", (0.1, 1000.0, 0.1))
        _render_number_input("ground_depth_m", "From 2 to 3 (m)", (0.1, 1000.0, 0.1))


def _render_number_input(
    name: str,
    title: str,
    limits: tuple[float, float, float],
    help_: str | None = None,
) -> None:
    low, high, step = limits
    st.number_input(
        title,
        low,
        high,
        step=step,
        format="%g",
        key=_get_widget_key(name),
        on_change=_apply_widget,
        args=(name,),
        width=150,
        help=help_,
    )


def _apply_widget(name: str) -> None:
    value = st.session_state.get(_get_widget_key(name))
    # A choice that the browser has not been told yet comes back as none.
    if value is not None:
        update_distance_settings(**{name: value})


def _get_widget_key(name: str) -> str:
    return f"distance.{name}"
