"""Helpers that run the dashboard without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.helpers.waiting import WAIT_S

APP = Path(__file__).resolve().parents[2] / "app.py"


def run_app(app: AppTest) -> AppTest:
    """Run the page once more and let no exception pass."""
    app.run()
    assert not app.exception
    return app


def component_data(app: AppTest, name: str) -> dict[str, Any]:
    """Return what a browser component draws; nothing if it is not on the page."""
    for element in app.main.get("bidi_component"):
        if element.proto.component_name.endswith(name):
            data: dict[str, Any] = json.loads(element.proto.json)
            return data
    return {}


def face_titles(app: AppTest) -> list[str]:
    """Return the classes of the faces that the Image page shows."""
    return [face["title"] for face in component_data(app, "overlay")["faces"]]


def open_page(page: str, **query: str) -> AppTest:
    """Open a page, by the name of its file, with what its link says."""
    app = AppTest.from_file(str(APP), default_timeout=WAIT_S)
    for name, value in query.items():
        app.query_params[name] = value
    return run_app(app.switch_page(f"pages/{page}.py"))
