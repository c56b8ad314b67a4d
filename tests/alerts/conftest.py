"""Fixtures of the tests of alerts."""

from __future__ import annotations

import pytest


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry twice, without noticeable pauses."""
    monkeypatch.setattr("maskdet.alerts.delivery.MAX_ATTEMPTS", 3)
    monkeypatch.setattr("maskdet.alerts.delivery.MAX_DELAY_S", 0.05)
