"""The download of a missing model on the Models page, without a browser or network."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.model_files.model_zoo import MODEL_FILES, DownloadProgress
from maskdet.web import session
from maskdet.web.models import downloads
from tests.helpers.app import APP, open_page, run_app


class FakePublisher:
    """Replaces download and search of model files: those of `ssd` are missing."""

    def __init__(self, error: Exception | None = None) -> None:
        self.missing = {"ssd", "ssd-graph"}
        self.error = error
        self.requested: list[str] = []

    def model_path(self, name: str) -> Path:
        if name in self.missing:
            raise FileNotFoundError(f"model file {name} is missing; fetch it")
        return APP

    def fetch_model(self, name: str, progress: DownloadProgress) -> Path:
        self.requested.append(name)
        progress(1, 2)
        if self.error is not None:
            raise self.error
        self.missing.clear()
        return APP


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> FakePublisher:
    fake = FakePublisher()
    monkeypatch.setattr(session, "model_path", fake.model_path)
    monkeypatch.setattr(downloads, "model_path", fake.model_path)
    monkeypatch.setattr(downloads, "fetch_model", fake.fetch_model)
    monkeypatch.setattr(downloads, "is_admin", lambda: True)
    st.cache_resource.clear()  # every AppTest has the same session
    return fake


def open_analyzer(name: str) -> AppTest:
    app = open_page("models")
    app.main.button_group(key="models.analyzer").set_value(name)
    return run_app(app)


def download_buttons(app: AppTest) -> list[str]:
    return [
        button.label for button in app.main.button if "Download" in (button.label or "")
    ]


def test_a_missing_model_is_downloaded_and_can_be_used(
    publisher: FakePublisher,
) -> None:
    app = open_analyzer("ssd")
    assert publisher.requested == [], "nothing is fetched unless asked for"
    n_bytes = MODEL_FILES["ssd"].n_bytes + MODEL_FILES["ssd-graph"].n_bytes
    assert download_buttons(app) == [f"Download ({n_bytes / 1e6:.1f} MB)"]
    app.main.button(key="models.download.ssd").click()
    run_app(app)
    assert publisher.requested == ["ssd"]
    assert download_buttons(app) == []
    assert not app.main.button(key="models.use_analyzer.ssd").disabled


def test_a_failed_download_is_one_line(publisher: FakePublisher) -> None:
    publisher.error = ConnectionError("could not download x (timeout); check the net")
    app = open_analyzer("ssd")
    app.main.button(key="models.download.ssd").click()
    run_app(app)
    (error,) = app.main.error
    assert "could not download x" in error.value.replace("\\", "")
    assert "\n" not in error.value
    assert len(download_buttons(app)) == 1, "it can be tried again"


def test_other_visitors_cannot_download(
    publisher: FakePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "is_admin", lambda: False)
    app = open_analyzer("ssd")
    assert download_buttons(app) == []
    captions = " ".join(part.value for part in app.main.caption)
    assert "from the server's own machine, or by an administrator" in captions


def test_an_installed_model_and_a_missing_library_have_no_download(
    publisher: FakePublisher,
) -> None:
    assert download_buttons(open_analyzer("yunet")) == []
    assert download_buttons(open_analyzer("mtcnn")) == []
