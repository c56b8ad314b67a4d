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
from maskdet.settings import DISTANCES
from maskdet.types import Settings
from maskdet.web import session

_LIMITS_M: Final = (1.0, 1.8, 2.0)

_MODES: Final = {
    "off": "Off",
    "relative": "In heads",
    "pinhole": "By field of view",
    "ground_plane": "By the floor",
}

_MEANINGS: Final = {
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


def values(settings: Settings) -> dict[str, object]:
    """Return the value of each widget by its key."""
    return {_key(name): getattr(settings, name) for name in _FIELDS}


def fill(wanted: Mapping[str, object]) -> None:
    """Give widgets that are about to be shown their values where they lack them."""
    known = session.ended_here()
    for key, value in wanted.items():
        if not known or st.session_state.get(key) != value:
            st.session_state[key] = value


def change(**changed: object) -> None:
    """Put other settings of distance in force."""
    chosen = session.preferences()
    settings = dataclasses.replace(chosen.settings, **changed)  # type: ignore[arg-type]
    session.remember(dataclasses.replace(chosen, settings=settings))


def choose() -> Settings:
    """Show how distances are measured; return the settings in force."""
    settings = session.preferences().settings
    fill(values(settings))
    st.segmented_control(
        "Distances between people",
        DISTANCES,
        format_func=_MODES.__getitem__,
        required=True,
        key=_key("distance"),
        on_change=_told,
        args=("distance",),
    )
    mode = settings.distance
    st.caption(_MEANINGS[mode])
    if mode != "off":
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            _limits(settings)
            if mode == "pinhole":
                _field_of_view()
    return settings


def _limits(settings: Settings) -> None:
    usual, now_m = _LIMITS_M, settings.contact_distance_m
    heads = now_m / FACE_HEIGHT_M
    st.segmented_control(
        "Near is closer than",
        usual if now_m in usual else (*usual, now_m),
        format_func=lambda limit_m: f"{limit_m:g} m",
        required=True,
        key=_key("contact_distance_m"),
        on_change=_told,
        args=("contact_distance_m",),
        help=f"{now_m:g} m are about {heads:.0f} heights of a face.",
    )
    _number("contact_duration_s", "Too long after (s)", (0.0, 3600.0, 1.0))


def _field_of_view() -> None:
    _number(
        "field_of_view_deg",
        "Field of view (degrees)",
        (10.0, 170.0, 1.0),
        "Of the camera, from left to right. Webcams and phones have 55 to 80, "
        "wide ones 90 and more; the maker's page says it.",
    )


def rectangle() -> None:
    """Ask for the two lengths of the rectangle on the floor."""
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        _number("ground_width_m", "From 1 to 2 (m)", (0.1, 1000.0, 0.1))
        _number("ground_depth_m", "From 2 to 3 (m)", (0.1, 1000.0, 0.1))


def _number(
    name: str,
    title: str,
    range_step: tuple[float, float, float],
    help_: str | None = None,
) -> None:
    low, high, step = range_step
    st.number_input(
        title,
        low,
        high,
        step=step,
        format="%g",
        key=_key(name),
        on_change=_told,
        args=(name,),
        width=150,
        help=help_,
    )


def _told(name: str) -> None:
    value = st.session_state.get(_key(name))
    # A choice that the browser has not been told yet comes back as none.
    if value is not None:
        change(**{name: value})


def _key(name: str) -> str:
    return f"distance.{name}"
