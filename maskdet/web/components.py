"""Browser components made of files, and images for them."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files
from typing import Any

import streamlit as st

from maskdet.html_templates import encode_data_url
from maskdet.web.server import streamlit_patches


# One component for all visitors: it holds only the code that browsers run.
@st.cache_resource(show_spinner=False)
def load_component(folder: str, name: str, *, isolate_styles: bool = True) -> Any:
    """Return the component whose JavaScript, and HTML and CSS if any, have this name.

    Args:
        folder: package of the files, such as `maskdet.web.image`.
        name: of the files, without suffix.
        isolate_styles: whether the styles of the page do not act on it.
    """
    sources = (files(folder) / f"{name}.{suffix}" for suffix in ("html", "css", "js"))
    html, css, js = (
        source.read_text("utf-8") if source.is_file() else None for source in sources
    )
    return st.components.v2.component(
        f"maskdet_{name}", html=html, css=css, js=js, isolate_styles=isolate_styles
    )


@functools.cache
def read_css(folder: str, name: str) -> str:
    """Return a CSS file.

    Args:
        folder: package of the file, such as `maskdet.web.live`.
        name: of the file, without suffix.
    """
    return (files(folder) / f"{name}.css").read_text("utf-8")


def to_media_url(jpeg: bytes) -> str:
    """Return a URL at which the browser of this visitor gets an image.

    Streamlit serves it from memory until a later run of the page no longer asks for it,
    so that a slider sends the URL again and not the image.
    """
    digest = hashlib.sha256(jpeg).hexdigest()
    url = streamlit_patches.add_media_file(jpeg, "image/jpeg", f"maskdet.{digest}")
    return url or encode_data_url(jpeg)


def add_video(content: bytes, place: str, media_type: str = "video/mp4") -> str:
    """Return a URL at which the browser of this visitor streams a video.

    Streamlit keeps it in memory until a later run of the whole page no longer asks for
    it, and sends the parts that the browser requests.

    Args:
        content: the file; may be empty.
        place: identifies the video on the page.
        media_type: MIME type of the file.

    Returns:
        The path on this server; empty without a server or a video.
    """
    if not content:
        return ""
    return streamlit_patches.add_media_file(content, media_type, f"maskdet.{place}")
