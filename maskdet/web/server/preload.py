"""Has browsers fetch the code of the first elements while they read Streamlit's own.

Streamlit's start page names only a part of its files. A browser asks for those of the
sliders, buttons and components one after the other when the page needs them, and shows
grey bars meanwhile.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Final

from maskdet.web.server.static_files import STREAMLIT_FOLDER

_ELEMENTS: Final = (
    *("Html", "Button", "Slider", "Selectbox", "Checkbox", "ButtonGroup"),
    *("BidiComponent", "ComponentInstance"),
)
"""Files, without hash and suffix, of the elements at the top of the Live page."""

_IMPORT: Final = re.compile(r'(?:from|import)"\./([\w.-]+\.js)"')


@functools.cache
def format_preload_header(base_path: str, folder: Path = STREAMLIT_FOLDER) -> str:
    """Return the `Link` header of the start page.

    The files have a low priority: Streamlit's own come first.

    Args:
        base_path: path of the server; empty for its root.
        folder: Streamlit's static files.

    Returns:
        Empty if this version of Streamlit has no such files.
    """
    options = "rel=modulepreload; crossorigin; fetchpriority=low"
    return ", ".join(
        f"<{base_path}/static/js/{name}>; {options}" for name in _list_modules(folder)
    )


def _list_modules(folder: Path) -> list[str]:
    """Return the files of the elements, with what they import, in this order."""
    start_page = folder / "index.html"
    scripts = folder / "static" / "js"
    if not start_page.is_file():
        return []
    known = set(re.findall(r"static/js/([\w.-]+\.js)", start_page.read_text("utf-8")))
    pending = [
        file.name
        for name in reversed(_ELEMENTS)
        for file in scripts.glob(f"{name}.*.js")
    ]
    modules: dict[str, None] = {}
    while pending:
        name = pending.pop()
        if name not in known and (scripts / name).is_file():
            known.add(name)
            modules[name] = None
            pending += _IMPORT.findall((scripts / name).read_text("utf-8"))
    return [*modules]
