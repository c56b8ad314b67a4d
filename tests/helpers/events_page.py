"""Helpers that run the Events page without a browser, with a temporary database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.events import Event
from maskdet.events.config import sqlite_url
from maskdet.events.store import EventStore
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.events.recorders import Recorder
from tests.helpers.app import open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector

APP = Path(__file__).resolve().parents[2] / "app.py"
MASK, NO_MASK = Label.MASK, Label.NO_MASK


def prepare_database(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Store the page's events in a file, and replace the analyzer by a fake."""
    monkeypatch.setenv("MASKDET_EVENTS_URL", sqlite_url(file))
    monkeypatch.delenv("MASKDET_EVENTS_DAYS", raising=False)
    monkeypatch.delenv("MASKDET_ALERT_HOSTS", raising=False)
    monkeypatch.setattr(
        session,
        "load_analyzer",
        lambda *_, **__: TwoStage(FakeDetector(), FakeClassifier()),
    )
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    st.cache_resource.clear()  # every AppTest has the same session
    return file


def store_three_people(file: Path) -> EventStore:
    """Return a database with three people, one of them two days ago."""
    store = EventStore(sqlite_url(file))
    now = datetime.now(UTC)

    def make_event(
        hours: float, person: int, kind: str, label: Label, **fields
    ) -> Event:
        values = {"camera": "Door", "session": "run", **fields}
        when = now - timedelta(hours=hours)
        return Event(kind, when, person=person, label=label, confidence=0.9, **values)

    store.add(
        [
            make_event(48, 1, "classified", NO_MASK, camera="Hall"),
            make_event(2.2, 2, "classified", MASK),
            make_event(2.1, 2, "left", MASK, for_s=360.0),
            make_event(0.2, 3, "classified", NO_MASK),
            make_event(0.1, 3, "alert", NO_MASK, rule="no_mask"),
        ]
    )
    return store


def open_events_page() -> AppTest:
    # Without a browser, no tab ID arrives in the first run.
    return run_app(open_page("events"))


def page_texts(app: AppTest, *kinds: str) -> str:
    kinds = kinds or ("markdown", "caption", "warning", "info", "error", "html")
    parts = [str(part.value) for kind in kinds for part in app.main.get(kind)]
    return "\n".join(parts).replace("\\", "")


def set_toggle(app: AppTest, key: str, value: bool = True) -> AppTest:
    app.main.toggle(key=key).set_value(value)
    return run_app(app)


def enter_text(app: AppTest, key: str, text: str) -> AppTest:
    app.main.text_input(key=key).set_value(text)
    return run_app(app)


def get_recorder(app: AppTest) -> Recorder:
    recorder: Recorder = app.session_state["maskdet.recorder"]
    return recorder


def event_rows(app: AppTest) -> list[str]:
    return app.main.dataframe[0].value["Description"].tolist()
