"""Text of strangers, made harmless for Streamlit's Markdown."""

from __future__ import annotations

import re


def escape_markdown(text: str) -> str:
    """Return Markdown that shows `text` as it is.

    A link, a file or an error may hold anything, also the picture or address of a
    stranger. Only signs of ASCII can be escaped: before others a backslash stays.
    """
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
