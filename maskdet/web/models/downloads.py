"""The button of the Models page that downloads a model file from its publisher."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import streamlit as st

from maskdet.model_files.model_zoo import MODEL_FILES, fetch_model, model_path
from maskdet.web.events.service import is_admin
from maskdet.web.widgets import escape_markdown

_REQUESTED_KEY: Final = "maskdet.models.requested"

_FETCHED_KEY: Final = "maskdet.models.fetched"


def render_download(name: str) -> None:
    """Render the button, or who may download; nothing if there is nothing to download.

    Args:
        name: name of the model file; others that it needs are downloaded too.
    """
    if st.session_state.pop(_FETCHED_KEY, "") == name:
        st.toast(f"**{escape_markdown(name)}** is installed.", icon=":material/check:")
    files = _list_missing_files(name)
    if not files:
        return
    n_bytes = sum(MODEL_FILES[file].n_bytes for file in files)
    size = f"{max(n_bytes / 1e6, 0.1):.1f} MB"
    host = urlsplit(MODEL_FILES[name].url).hostname
    if not is_admin():
        st.caption(
            f"It can be downloaded ({size}) from the server's own machine, or by an "
            "administrator."
        )
        return
    st.button(
        f"Download ({size})",
        icon=":material/download:",
        on_click=_request_download,
        args=(name,),
        key=f"models.download.{name}",
        help=f"From {host}. The file is kept only if its checksum is right. No image "
        "is sent.",
    )
    if st.session_state.pop(_REQUESTED_KEY, "") == name:
        _download(name)


def _request_download(name: str) -> None:
    st.session_state[_REQUESTED_KEY] = name


def _list_missing_files(name: str) -> list[str]:
    """Return the missing files of a model if their publisher has them all."""
    if name not in MODEL_FILES:
        return []
    missing = []
    for file in (name, *MODEL_FILES[name].requires):
        try:
            model_path(file)
        except (FileNotFoundError, RuntimeError):
            missing.append(file)
    return missing if all(MODEL_FILES[file].url for file in missing) else []


def _download(name: str) -> None:
    """Download the files with a progress bar, then show the page again."""
    text = f"Downloading {escape_markdown(name)} …"
    bar = st.progress(0.0, text)

    def show_progress(received: int, expected: int) -> None:
        bar.progress(min(1.0, received / expected), text)

    try:
        fetch_model(name, show_progress)
    except (OSError, RuntimeError) as error:
        bar.empty()
        st.error(escape_markdown(f"{error}."), icon=":material/error:")
        return
    st.session_state[_FETCHED_KEY] = name
    st.rerun()
