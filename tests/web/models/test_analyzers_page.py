"""The Models page's whole analyzers and their choice, run without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import ANALYZERS, AUTO, resolve_analyzer
from maskdet.evaluation import comparison
from maskdet.evaluation.comparison import format_comparison
from maskdet.web import session
from tests.helpers.analyzer_results import make_analyzer_results
from tests.helpers.app import open_page, run_app

APP = Path(__file__).resolve().parents[3] / "app.py"


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A comparison of three analyzers, one of which nobody knows here."""
    path = tmp_path / "analyzers.json"
    path.write_text(
        format_comparison(make_analyzer_results("mtcnn", "yunet", "oracle"))
    )
    monkeypatch.setattr(comparison, "COMPARISON_FILE", path)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_data.clear()
    return path


def opened(**query: str) -> AppTest:
    return open_page("models", **query)


def choose(app: AppTest, key: str, value: str) -> AppTest:
    app.main.button_group(key=f"models.{key}").set_value(value)
    return run_app(app)


def column(app: AppTest, group: str, heading: str) -> list[Any]:
    return app.main.dataframe[0].value[group, heading].tolist()


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(part.proto.spec) for part in app.main.get("vega_lite_chart")]


def heights(app: AppTest) -> list[str]:
    """Return what each chart has upwards."""
    layers = [chart["layer"][1] for chart in charts(app)]
    return [layer["encoding"]["y"]["title"] for layer in layers]


def texts(app: AppTest, *kinds: str) -> str:
    parts = [str(part.value) for kind in kinds for part in app.main.get(kind)]
    return "\n".join(parts).replace("\\", "")


def use_button(app: AppTest) -> Any:
    return next(one for one in app.main.button if one.label == "Use this analyzer")


def test_analyzers_stand_side_by_side_first() -> None:
    app = opened(analyzer="mtcnn")
    assert app.main.header[0].value == "Analyzers: who finds and labels"
    assert column(app, "", "Analyzer") == ["mtcnn", "yunet", "oracle"]
    assert column(app, "", "Use") == ["in use", "can be used", "not here"]
    faces = column(app, "kaggle-val: faces", "Value")
    assert faces == pytest.approx([0.6, 0.7, 0.8])
    assert column(app, "ilc-val: mask", "95 % interval")[0] == "0.500 to 0.590"
    assert column(app, "Time an image (ms)", "ilc-val") == [10, 20, 30]
    assert column(app, "", "What it is") == [ANALYZERS["mtcnn"], ANALYZERS["yunet"], ""]
    assert not app.main.warning


def test_small_faces_can_be_left_out_and_what_is_shown_looked_at() -> None:
    app = choose(opened(), "view", "ap_large")
    assert column(app, "kaggle-val: faces", "Value")[0] == pytest.approx(0.61)
    assert "smaller than 20 px count neither way" in texts(app, "caption")
    choose(app, "view", "shown")
    assert column(app, "kaggle-val: faces found", "Value")[0] == pytest.approx(0.3)
    with pytest.raises(KeyError):
        column(app, "kaggle-val: faces", "Value")


def test_each_set_is_drawn_against_time_for_the_measure_that_is_chosen() -> None:
    app = opened()
    assert [chart["title"] for chart in charts(app)] == ["kaggle-val", "ilc-val"]
    assert heights(app) == ["Faces", "Faces"]
    choose(app, "against.ap", "no_mask")
    assert heights(app) == ["No mask", "No mask"]
    choose(app, "view", "shown")
    choose(app, "against.shown", "three_states")
    assert heights(app) == ["Label right", "Label right"]
    choose(app, "view", "ap_large")
    assert heights(app) == ["No mask", "No mask"], "the measure was kept"


def test_pressing_use_puts_the_analyzer_in_force() -> None:
    app = choose(opened(), "analyzer", "yunet")
    assert not use_button(app).disabled
    use_button(app).click()
    run_app(app)
    assert "yunet" in app.toast[0].value
    assert app.sidebar.selectbox(key="choice.analyzer").value == "yunet"
    assert use_button(app).disabled
    assert column(app, "", "Use")[1] == "in use"
    assert "analyzer=yunet" in app.sidebar.code[0].value
    use_button(choose(app, "analyzer", AUTO)).click()
    run_app(app)
    assert app.sidebar.selectbox(key="choice.analyzer").value == AUTO


def test_auto_says_who_is_at_work() -> None:
    app = opened()
    assert use_button(app).disabled, "it is what a first visit gets"
    at_work = {resolve_analyzer(AUTO, live=live) for live in (True, False)}
    assert all(f"**{name}**" in texts(app, "markdown") for name in at_work)
    assert "the best that is here" in texts(app, "markdown")


def test_an_analyzer_whose_file_is_missing_says_how_to_get_it(monkeypatch) -> None:
    def path(name: str) -> Path:
        if name == "yunet":
            raise FileNotFoundError("model file y.onnx is missing; fetch it")
        return APP

    monkeypatch.setattr(session, "model_path", path)
    app = choose(opened(), "analyzer", "yunet")
    assert use_button(app).disabled
    assert "y.onnx is missing; fetch it" in texts(app, "caption")
    assert column(app, "", "Use")[1] == "not here"


def test_without_a_comparison_one_line_says_how_to_make_it(file: Path) -> None:
    file.unlink()
    app = opened()
    assert len(app.main.info) == 1
    assert "maskdet evaluate analyzers" in app.main.info[0].value
    assert not app.main.dataframe
    use_button(choose(app, "analyzer", "haar")).click()
    run_app(app)
    assert app.sidebar.selectbox(key="choice.analyzer").value == "haar"


def test_a_broken_comparison_is_one_line_without_a_folder(file: Path) -> None:
    file.write_text("{")
    app = opened()
    assert len(app.main.warning) == 1
    assert "analyzers.json is not valid JSON." in texts(app, "warning")
    assert str(file.parent) not in texts(app, "warning")


def test_a_new_comparison_is_read_without_a_restart(file: Path) -> None:
    app = opened()
    file.write_text(format_comparison(make_analyzer_results("haar")))
    run_app(app)
    assert column(app, "", "Analyzer") == ["haar"]
