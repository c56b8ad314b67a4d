"""The badge in the header of every page while events are recorded."""

from __future__ import annotations

from typing import Final

import streamlit as st

from maskdet.web.components import read_css
from maskdet.web.events import service
from maskdet.web.widgets import escape_markdown
from maskdet.wording import format_count

_MAX_NAMES: Final = 2


def render_recording_badge() -> None:
    """Render the badge, which leads to the Events page; call it in `app.py`.

    It always takes one place among the elements, as the browser rebuilds those that
    move.
    """
    names = service.list_recorded_cameras()
    with st.container(key="recording_badge"):
        if names:
            st.html(f"<style>{read_css('maskdet.web.events', 'badge')}</style>")
            st.page_link(
                "pages/events.py",
                label=escape_markdown(f"REC {format_camera_names(names)}"),
                icon=":material/radio_button_checked:",
            )


def format_camera_names(names: list[str]) -> str:
    """Return the names in one line; many are counted."""
    shown, n_more = names[:_MAX_NAMES], len(names) - _MAX_NAMES
    text = ", ".join(shown)
    return f"{text} and {format_count(n_more, 'other')}" if n_more > 0 else text
