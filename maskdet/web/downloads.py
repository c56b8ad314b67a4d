"""Files that a visitor may take along, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import streamlit as st

FileContent = str | bytes | Callable[[], str | bytes]
"""What is in a file; a function is asked only when the file is wanted."""

Download = tuple[str, FileContent, str, str]
"""Title of the button, content, file name, MIME type."""


def render_downloads(files: Iterable[Download]) -> None:
    """Show a button for each file; taking one does not run the page again."""
    with st.container(horizontal=True):
        for title, content, name, mime in files:
            st.download_button(
                title,
                content,
                file_name=name,
                mime=mime,
                icon=":material/download:",
                on_click="ignore",
            )
