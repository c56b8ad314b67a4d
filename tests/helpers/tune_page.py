"""Helpers that run the Tune page without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.evaluation import predictions
from maskdet.web import session
from tests.helpers.app import open_page, run_app
from tests.helpers.tune_predictions import make_page_predictions

APP = Path(__file__).resolve().parents[2] / "app.py"


def use_fake_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer predictions of two analyzers on one set, and files of every model."""
    names = {f"{name} on village": name for name in ("onepass", "mtcnn")}
    monkeypatch.setattr(predictions, "list_bundled", lambda: tuple(names))
    monkeypatch.setattr(
        predictions,
        "load_bundled_predictions",
        lambda name: make_page_predictions(analyzer=names[name]),
    )
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_resource.clear()


def open_tune_page(**query: str) -> AppTest:
    return open_page("tune", **query)


def select_segment(app: AppTest, key: str, value: Any) -> AppTest:
    app.main.button_group(key=f"tune.{key}").set_value(value)
    return run_app(app)


def move_slider(app: AppTest, key: str, value: float) -> AppTest:
    app.main.slider(key=f"tune.{key}").set_value(value)
    return run_app(app)


def press_button(app: AppTest, label: str) -> AppTest:
    next(button for button in app.main.button if button.label == label).click()
    return run_app(app)


def page_texts(app: AppTest) -> str:
    kinds = ("markdown", "caption", "info", "warning", "error", "html")
    return "\n".join(str(part.value) for kind in kinds for part in app.main.get(kind))


def chart_datasets(app: AppTest, chart: int) -> dict[str, Any]:
    """Return the tables of a chart by name."""
    proto = app.main.get("vega_lite_chart")[chart].proto
    tables = {}
    for dataset in proto.datasets:
        with pa.ipc.open_stream(dataset.data.data) as reader:
            tables[dataset.name] = reader.read_all().to_pylist()
    return tables
