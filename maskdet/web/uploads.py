"""What a visitor sends stays in memory on its way in, too."""

from __future__ import annotations

from typing import Final

from starlette.formparsers import MultiPartParser

_ALL: Final = 1 << 40
"""Bytes; above every limit that can be set."""


def keep_in_memory() -> None:
    """Let no upload pass through a file; call it once, before pages are shown.

    Starlette, with which Streamlit receives files, writes what is larger than 1 MB to
    a nameless temporary file, reads that and lets it go. Streamlit refuses what is
    larger than `server.maxUploadSize` before, so memory stays bounded.
    """
    MultiPartParser.spool_max_size = _ALL
