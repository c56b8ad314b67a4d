"""Helpers of the tests of the events of `maskdet video`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.cli import main, video, video_events
from maskdet.events import Event
from maskdet.events.config import sqlite_url
from maskdet.events.database import EventFilter
from maskdet.events.store import EventStore
from tests.helpers.fakes import FakeClassifier, FakeDetector


def fake_unmasked_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let every video show one person without a mask, and use temporary databases."""

    def load(*_, **__):
        return TwoStage(
            FakeDetector([[5, 5, 45, 55]], [0.9]), FakeClassifier((0.02, 0.96, 0.02))
        )

    monkeypatch.setattr(video, "load_analyzer", load)
    monkeypatch.setattr(video_events, "FLUSH_TIMEOUT_S", 5.0)
    monkeypatch.setenv("MASKDET_EVENTS_URL", sqlite_url(tmp_path / "usual.sqlite3"))
    for name in ("EVENTS_DAYS", "WEBHOOK_SECRET", "MQTT_PASSWORD"):
        monkeypatch.delenv(f"MASKDET_{name}", raising=False)


def run_video(*words: object) -> int:
    return main(["video", *map(str, words)])


def read_events(file: Path) -> Sequence[Event]:
    return EventStore(sqlite_url(file)).read(EventFilter())[::-1]


def error_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("maskdet: ")]
