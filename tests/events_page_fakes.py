"""The Events page without a browser, with a database of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzer import TwoStage
from maskdet.events import Event
from maskdet.events.place import sqlite_url
from maskdet.events.store import EventStore
from maskdet.types import Label
from maskdet.web import session
from tests.app_driving import opened_at, run
from tests.fakes import FakeClassifier, FakeDetector

APP = Path(__file__).resolve().parents[1] / "app.py"
MASK, NO_MASK = Label.MASK, Label.NO_MASK


def prepare(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the page keep its events in a file, and load no network."""
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


def three_people(file: Path) -> EventStore:
    """Return a database with three people, one of them two days ago."""
    store = EventStore(sqlite_url(file))
    now = datetime.now(UTC)

    def at(hours: float, person: int, kind: str, label: Label, **more) -> Event:
        values = {"camera": "Door", "session": "run", **more}
        when = now - timedelta(hours=hours)
        return Event(kind, when, person=person, label=label, confidence=0.9, **values)

    store.add(
        [
            at(48, 1, "verdict", NO_MASK, camera="Hall"),
            at(2.2, 2, "verdict", MASK),
            at(2.1, 2, "left", MASK, for_s=360.0),
            at(0.2, 3, "verdict", NO_MASK),
            at(0.1, 3, "alert", NO_MASK, rule="no_mask"),
        ]
    )
    return store


def opened() -> AppTest:
    return opened_at("events")


def texts(app: AppTest, *kinds: str) -> str:
    kinds = kinds or ("markdown", "caption", "warning", "info", "error", "html")
    parts = [str(part.value) for kind in kinds for part in app.main.get(kind)]
    return "\n".join(parts).replace("\\", "")


def switch(app: AppTest, key: str, value: bool = True) -> AppTest:
    app.main.toggle(key=key).set_value(value)
    return run(app)


def write(app: AppTest, key: str, text: str) -> AppTest:
    app.main.text_input(key=key).set_value(text)
    return run(app)


def choices(app: AppTest) -> Any:
    return app.session_state["maskdet.events"]


def rows(app: AppTest) -> list[str]:
    return app.main.dataframe[0].value["What happened"].tolist()
