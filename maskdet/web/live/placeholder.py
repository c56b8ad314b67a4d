"""What stands in the place of the video until the browser has loaded the streamer."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import streamlit as st

from maskdet.html_templates import render_html
from maskdet.web.components import to_media_url
from maskdet.web.live.sources import request_start

PLACE_KEY: Final = "streamer"
"""Key of the container of placeholder and streamer."""

_LOADING_KEY: Final = "streamer_loading"
_START_KEY: Final = "live.start"

# Streamlit has loaded a component once its frame has a height; until then it shows a
# grey bar. An element that leaves would move the streamer, which would stop the video.
# The sizes are those in the streamer, so that nothing jumps.
_TEMPLATE: Final = """<style>
.st-key-{{ place }} [data-testid=stSkeleton] {display: none;}
.st-key-{{ place }}:has(iframe[height]:not([height="0"])) .st-key-{{ loading }} {
  display: none;}
.st-key-{{ place }} {gap: 0;}
.st-key-{{ place }} iframe {display: block;}
.st-key-{{ loading }} {gap: 8px; padding-top: 8px;}
.st-key-{{ loading }} button {min-height: 34px; padding: 0 1.2rem;}
.st-key-{{ loading }} button p {font-size: 1rem; font-weight: 600;}
.st-key-{{ loading }} img {display: block; width: 100%; aspect-ratio: {{ shape }};
  object-fit: cover; border-radius: 8px;}
</style><img src="{{ example }}" alt="">"""


def get_example_url() -> str:
    """Return the URL of the annotated example."""
    return to_media_url(_read_example())


def render_placeholder(shape: str, *, is_starting: bool) -> None:
    """Render the example with a Start button, which a visitor can press at once.

    The streamer is a page of its own with much code; its own button comes later.

    Args:
        shape: width and height of the video, as in CSS.
        is_starting: whether the streamer starts anyway once it is loaded.
    """
    with st.container(key=_LOADING_KEY):
        st.html(
            render_html(
                _TEMPLATE,
                place=PLACE_KEY,
                loading=_LOADING_KEY,
                shape=shape,
                example=get_example_url(),
            )
        )
        st.button(
            "Start",
            key=_START_KEY,
            type="primary",
            disabled=is_starting,
            on_click=request_start,
        )


@st.cache_data(show_spinner=False)
def _read_example() -> bytes:
    """Return the annotated example that stands in the place of the video."""
    return (files("maskdet.web.live") / "example.jpg").read_bytes()
