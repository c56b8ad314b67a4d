"""Streamlit's own code from memory, compressed: a page needs a hundred of its files.

For each visitor and file, Streamlit 1.67 takes several steps in other threads, and it
does not compress them.
"""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Final

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from maskdet.web.server import streamlit_patches

STREAMLIT_FOLDER: Final = Path(st.__file__).parent / "static"

_PATH: Final = re.compile(r"/static/(?:js|css)/[\w.-]+\.(js|css)")
_MEDIA_TYPES: Final = {"js": "text/javascript", "css": "text/css"}
_HEADERS: Final = {
    # As from Streamlit: the name of a file has a hash of its content.
    "Cache-Control": "public, immutable, max-age=31536000",
    "Content-Encoding": "gzip",
    "Vary": "Accept-Encoding",
}

_responses: Final[dict[str, Response]] = {}
"""The response to each path that was requested, at most 7 MB for all of Streamlit."""


async def respond_with_code(scope: Scope) -> Response | None:
    """Return a file of Streamlit's code; None if the request is for something else.

    Args:
        scope: see the ASGI specification.
    """
    path = scope["path"].removeprefix(streamlit_patches.get_base_path())
    match = _PATH.fullmatch(path)
    encodings = Headers(scope=scope).get("accept-encoding", "")
    if not match or scope["method"] != "GET" or "gzip" not in encodings:
        return None
    if path not in _responses:
        file = STREAMLIT_FOLDER / path.removeprefix("/")
        if not file.is_file():
            return None
        content = await run_in_threadpool(lambda: gzip.compress(file.read_bytes(), 6))
        media_type = _MEDIA_TYPES[match[1]]
        _responses[path] = Response(content, 200, _HEADERS, media_type)
    return _responses[path]
