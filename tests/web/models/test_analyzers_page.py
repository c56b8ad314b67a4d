"""The analyzers section of the Models page, run without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    get_analyzer_title,
    resolve_analyzer,
)
from maskdet.evaluation import comparison
from maskdet.evaluation.comparison import format_comparison
from maskdet.web import session
from tests.helpers.analyzer_results import make_analyzer_results
from tests.helpers.app import open_page, run_app

APP = Path(__file__).resolve().parents[3] / "app.py"


@pytest.fixture(autouse=True)
def comparison_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A comparison of three analyzers, one of which does not exist."""
    path = tmp_path / "analyzers.json"
    path.write_text(
        format_comparison(make_analyzer_results("mtcnn", "yunet", "oracle"))
    )
    monkeypatch.setattr(comparison, "COMPARISON_FILE", path)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_data.clear()
    return path


def open_models_page(**query: str) -> AppTest:
    return open_page("models", **query)


def choose(app: AppTest, key: str, value: str) -> AppTest:
    app.main.button_group(key=f"models.{key}").set_value(value)
    return run_app(app)


def column(app: AppTest, group: str, heading: str) -> list[Any]:
    return app.main.dataframe[0].value[group, heading].tolist()


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(part.proto.spec) for part in app.main.get("vega_lite_chart")]


def y_titles(app: AppTest) -> list[str]:
    """Return the title of the y axis of each chart."""
    layers = [chart["layer"][1] for chart in charts(app)]
    return [layer["encoding"]["y"]["title"] for layer in layers]


def texts(app: AppTest, *kinds: str) -> str:
    parts = [str(part.value) for kind in kinds for part in app.main.get(kind)]
    return "\n".join(parts).replace("\\", "")


def use_button(app: AppTest) -> Any:
    return next(
        button for button in app.main.button if button.label == "Use this analyzer"
    )


def test_the_analyzers_are_listed_first() -> None:
    app = open_models_page(analyzer="mtcnn")
    assert app.main.header[0].value == "Analyzers: detection and classification"
    assert column(app, "", "Analyzer") == ["mtcnn", "yunet", "oracle"]
    assert column(app, "", "Status") == ["active", "available", "not installed"]
    faces = column(app, "kaggle-853: faces", "Value")
    assert faces == pytest.approx([0.6, 0.7, 0.8])
    assert column(app, "ilc-2021: mask", "95 % interval")[0] == "0.500 to 0.590"
    assert column(app, "Time per image (ms)", "ilc-2021") == [10, 20, 30]
    assert column(app, "", "Description") == [
        ANALYZERS["mtcnn"],
        ANALYZERS["yunet"],
        "",
    ]
    assert not app.main.warning


def test_small_faces_can_be_ignored_and_default_thresholds_shown() -> None:
    app = choose(open_models_page(), "view", "ap_large")
    assert column(app, "kaggle-853: faces", "Value")[0] == pytest.approx(0.61)
    assert "smaller than 20 px are ignored" in texts(app, "caption")
    choose(app, "view", "default_thresholds")
    assert column(app, "kaggle-853: recall", "Value")[0] == pytest.approx(0.3)
    with pytest.raises(KeyError):
        column(app, "kaggle-853: faces", "Value")


def test_each_dataset_has_a_chart_of_the_selected_metric_against_time() -> None:
    app = open_models_page()
    assert [chart["title"] for chart in charts(app)] == ["kaggle-853", "ilc-2021"]
    assert y_titles(app) == ["Faces", "Faces"]
    choose(app, "metric.ap", "no_mask")
    assert y_titles(app) == ["No mask", "No mask"]
    choose(app, "view", "default_thresholds")
    choose(app, "metric.default_thresholds", "three_states")
    assert y_titles(app) == ["Class accuracy", "Class accuracy"]
    choose(app, "view", "ap_large")
    assert y_titles(app) == ["No mask", "No mask"], "the metric was kept"


def test_the_button_applies_the_analyzer() -> None:
    app = choose(open_models_page(), "analyzer", "yunet")
    assert not use_button(app).disabled
    use_button(app).click()
    run_app(app)
    assert "YuNet" in app.toast[0].value
    assert app.session_state["maskdet.preferences"].analyzer == "yunet"
    assert use_button(app).disabled
    assert column(app, "", "Status")[1] == "active"
    assert "analyzer=yunet" in app.sidebar.code[0].value
    use_button(choose(app, "analyzer", AUTO)).click()
    run_app(app)
    assert app.session_state["maskdet.preferences"].analyzer == AUTO


def test_auto_names_the_active_analyzers() -> None:
    app = open_models_page()
    assert use_button(app).disabled, "auto is the default"
    active = {resolve_analyzer(AUTO, live=live) for live in (True, False)}
    titles = [get_analyzer_title(name) for name in active]
    assert all(f"**{title}**" in texts(app, "markdown") for title in titles)
    assert "Fast for video, Accurate for images" in texts(app, "markdown")


def test_a_missing_model_file_says_how_to_get_it(monkeypatch) -> None:
    def path(name: str) -> Path:
        if name == "yunet":
            raise FileNotFoundError("model file y.onnx is missing; fetch it")
        return APP

    monkeypatch.setattr(session, "model_path", path)
    app = choose(open_models_page(), "analyzer", "yunet")
    assert use_button(app).disabled
    assert "y.onnx is missing; fetch it" in texts(app, "caption")
    assert column(app, "", "Status")[1] == "not installed"


def test_without_a_comparison_one_line_says_how_to_create_it(
    comparison_file: Path,
) -> None:
    comparison_file.unlink()
    app = open_models_page()
    assert len(app.main.info) == 1
    assert "maskdet evaluate analyzers" in app.main.info[0].value
    assert not app.main.dataframe
    use_button(choose(app, "analyzer", "haar")).click()
    run_app(app)
    assert app.session_state["maskdet.preferences"].analyzer == "haar"


def test_a_broken_comparison_is_one_line_without_a_path(comparison_file: Path) -> None:
    comparison_file.write_text("{")
    app = open_models_page()
    assert len(app.main.warning) == 1
    assert "analyzers.json is not valid JSON." in texts(app, "warning")
    assert str(comparison_file.parent) not in texts(app, "warning")


def test_a_changed_comparison_is_read_without_a_restart(comparison_file: Path) -> None:
    app = open_models_page()
    comparison_file.write_text(format_comparison(make_analyzer_results("haar")))
    run_app(app)
    assert column(app, "", "Analyzer") == ["haar"]
