"""Helpers that run the dashboard without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.web import session
from maskdet.web.sidebar import ADVANCED_KEY, FILES_KEY
from tests.helpers.fakes import FakeClassifier, FakeDetector
from tests.helpers.waiting import WAIT_S

APP = Path(__file__).resolve().parents[2] / "app.py"


def use_fake_models(monkeypatch: pytest.MonkeyPatch, boxes: list[list[int]]) -> None:
    """Let pages analyze with fakes: two faces without a mask, of scores .9 and .8."""
    monkeypatch.setattr(
        session,
        "load_analyzer",
        lambda *names, **how: TwoStage(
            FakeDetector(boxes, [0.9, 0.8]), FakeClassifier((0.04, 0.95, 0.01))
        ),
    )
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    # streamlit-webrtc needs a session, which AppTest does not have.
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    st.cache_resource.clear()  # every AppTest has the same session


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


def live_html(app: AppTest) -> str:
    """Return the HTML of all parts of the Live page that the browser renews."""
    return "".join(
        "".join(json.loads(element.proto.json)["parts"].values())
        for element in app.main.get("bidi_component")
        if element.proto.component_name.endswith("updates")
    )


def face_titles(app: AppTest) -> list[str]:
    """Return the classes of the faces that the Image page shows."""
    return [face["title"] for face in component_data(app, "overlay")["faces"]]


def open_sidebar(app: AppTest) -> AppTest:
    """Open the expanders of the sidebar, from the next run of the page on."""
    for key in (ADVANCED_KEY, FILES_KEY):
        app.session_state[key] = True
    return app


def open_page(page: str, **query: str) -> AppTest:
    """Open a page, by the name of its file, with what its link says."""
    app = open_sidebar(AppTest.from_file(str(APP), default_timeout=WAIT_S))
    for name, value in query.items():
        app.query_params[name] = value
    return run_app(app.switch_page(f"pages/{page}.py"))
