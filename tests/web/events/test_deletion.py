"""Deletion of events: by a local admin, and after the retention period."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maskdet.events import Event
from maskdet.events.database import EventFilter, StoreError
from maskdet.events.store import EventStore
from tests.helpers.app import run_app
from tests.helpers.events_page import (
    event_rows,
    open_events_page,
    page_texts,
    prepare_database,
    store_three_people,
)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The event database of the test."""
    return prepare_database(tmp_path / "data" / "events.sqlite3", monkeypatch)


@pytest.fixture
def store(file: Path) -> EventStore:
    """A database with three people, one of them two days ago."""
    return store_three_people(file)


def test_all_events_are_deleted_after_confirmation(store, monkeypatch) -> None:
    monkeypatch.setattr("maskdet.web.events.service.is_admin", lambda: True)
    app = open_events_page()
    assert "all **5** events of every camera" in page_texts(app, "markdown")
    app.main.button(key="events.delete").click()
    run_app(app)
    assert app.toast[0].value == "5 events were deleted."
    assert store.read(EventFilter()) == []
    assert "No events yet" in page_texts(app, "info")
    assert not run_app(app).toast


def test_remote_visitors_cannot_delete_events(store, monkeypatch) -> None:
    monkeypatch.setattr("maskdet.web.events.service.is_admin", lambda: True)
    app = open_events_page()
    monkeypatch.setattr("maskdet.web.events.service.is_admin", lambda: False)
    # The button is still on the page of the previous run.
    app.main.button(key="events.delete").click()
    run_app(app)
    assert len(store.read(EventFilter())) == 5
    assert "only be deleted from the server's own machine" in page_texts(app, "caption")
    assert "events.delete" not in [button.key for button in app.main.button]
    assert not app.toast


def test_expired_events_are_deleted_without_a_recording(
    store, file, monkeypatch
) -> None:
    monkeypatch.setenv("MASKDET_EVENTS_DAYS", "1")
    app = open_events_page()
    assert len(store.read(EventFilter())) == 4
    old = Event("entered", datetime.now(UTC) - timedelta(days=3), "Door", "run", 9)
    store.add([old])
    run_app(app)
    assert len(store.read(EventFilter())) == 5, "once a day is enough"
    assert not app.main.warning


def test_a_read_only_database_is_shown_with_a_warning(store, monkeypatch) -> None:
    def refuse(*_: object) -> int:
        raise StoreError("the file may only be read")

    monkeypatch.setattr(EventStore, "delete", refuse)
    app = open_events_page()
    assert "old events were not deleted: the file may only be read" in page_texts(
        app, "warning"
    )
    assert len(event_rows(app)) == 4
