"""The Models page's mask models and their choice, run without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import AUTO, TwoStage, resolve_analyzer
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER, ClassifierFile
from maskdet.evaluation import training_runs
from maskdet.settings import Settings
from maskdet.web import session
from maskdet.web.models import classifiers
from maskdet.web.models.tables import SET_TITLES
from tests.helpers.app import open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.helpers.training_runs import FACTS, LARGE_FACTS, write_training_run

APP = Path(__file__).resolve().parents[3] / "app.py"
OTHER = "twin"
FIRST = resolve_analyzer(AUTO, live=True)
TWIN = ClassifierFile("classifier", 1.3, "Twin")


@pytest.fixture(autouse=True)
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Three runs, two of which can be used; return the models that were loaded."""
    loaded: list[tuple[str, str]] = []

    def load(
        name: str, classifier: str = DEFAULT_CLASSIFIER, *, refine: bool = True
    ) -> TwoStage:
        loaded.append((name, classifier))
        probs = (0.9, 0.08, 0.02) if classifier == OTHER else (0.1, 0.85, 0.05)
        boxes = [[100.0, 100.0, 180.0, 200.0]]
        return TwoStage(FakeDetector(boxes, [0.9]), FakeClassifier(probs))

    monkeypatch.setitem(CLASSIFIERS, OTHER, TWIN)
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path)
    monkeypatch.setattr(session, "load_analyzer", load)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    monkeypatch.setattr(classifiers, "classifier_path", lambda name: APP)
    monkeypatch.setattr(classifiers, "load_classifier", lambda name: FakeClassifier())
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    st.cache_resource.clear()  # every AppTest has the same session
    st.cache_data.clear()
    write_training_run(tmp_path)
    write_training_run(tmp_path, OTHER, {**FACTS, "title": "Twin"}, n_wrong=5)
    write_training_run(tmp_path, "custom-cnn", LARGE_FACTS, n_wrong=9)
    return loaded


def opened(page: str = "models", **query: str) -> AppTest:
    app = open_page(page, **query)
    if page == "models":
        app.main.button_group(key="models.part").set_value("Mask models")
        run_app(app)
    return app


def go_to(app: AppTest, page: str) -> AppTest:
    return run_app(app.switch_page(f"pages/{page}.py"))


def choose(app: AppTest, name: str) -> AppTest:
    app.main.button_group(key="models.run").set_value(name)
    return run_app(app)


def use_button(app: AppTest) -> Any:
    return next(one for one in app.main.button if one.label == "Use this model")


def in_sidebar(app: AppTest) -> str:
    return app.sidebar.selectbox(key="choice.classifier").value


def texts(app: AppTest, *kinds: str) -> str:
    kinds = kinds or ("markdown", "caption", "warning", "info", "html")
    parts = [str(part.value) for kind in kinds for part in app.main.get(kind)]
    return "\n".join(parts).replace("\\", "")


def column(app: AppTest, group: str, heading: str) -> list[Any]:
    """Return a column of the table of runs."""
    return app.main.dataframe[0].value[group, heading].tolist()


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(part.proto.spec) for part in app.main.get("vega_lite_chart")]


def test_all_runs_stand_side_by_side_and_say_what_to_look_at() -> None:
    app = opened()
    assert app.title[0].value == "Models"
    assert column(app, "", "Model") == ["maskdet", "custom-cnn", OTHER]
    assert column(app, "", "Use") == ["in use", "numbers only", "can be used"]
    for title in SET_TITLES.values():
        assert all(number > 50 for number in column(app, title, "%"))
    assert "Look at the scenes first" in texts(app, "caption")
    assert "maskdet export" in texts(app, "caption")
    assert not app.warning


def test_the_numbers_can_be_those_of_bare_faces_or_three_classes() -> None:
    app = opened()
    seen = [column(app, "Faces test", "%")]
    for measure in ("bare", "balanced"):
        app.main.button_group(key="models.measure").set_value(measure)
        seen.append(column(run_app(app), "Faces test", "%"))
    assert seen[0] != seen[1] != seen[2]
    assert seen[1][0] == pytest.approx(90)


def test_a_run_is_drawn_for_the_set_that_is_chosen() -> None:
    app = opened()
    assert len(charts(app)) == 2 + 7
    assert "n = 33" in str(charts(app)), "true boxes of kaggle-val at first"
    app.main.selectbox(key="models.set").set_value("ilc-val/found")
    run_app(app)
    assert "n = 42" in str(charts(app))
    app.main.multiselect(key="models.beside").set_value([OTHER])
    run_app(app)
    assert len(charts(app)) == 2 + 7


def test_pressing_use_puts_the_model_in_force(asked) -> None:
    app = choose(opened(), OTHER)
    assert not use_button(app).disabled
    use_button(app).click()
    run_app(app)
    assert "twin" in app.toast[0].value
    assert in_sidebar(app) == OTHER
    assert use_button(app).disabled
    assert column(app, "", "Use")[2] == "in use"
    assert f"classifier={OTHER}" in app.sidebar.code[0].value
    go_to(app, "live")
    assert asked[-1] == (FIRST, OTHER)
    go_to(app, "about")
    assert in_sidebar(app) == OTHER


def test_a_run_without_weights_says_why_it_cannot_be_used() -> None:
    app = choose(opened(), "custom-cnn")
    assert use_button(app).disabled
    assert "368 MB, do not ship, only its numbers" in texts(app, "caption")
    assert "our own samples" not in texts(app)


def test_a_model_whose_file_is_missing_is_told_and_not_offered(monkeypatch) -> None:
    def path(name: str) -> Path:
        if name == "gone":
            raise FileNotFoundError("model file gone.tflite is missing; restore it")
        return APP

    monkeypatch.setitem(CLASSIFIERS, OTHER, ClassifierFile("gone", 1.0, "Gone"))
    monkeypatch.setitem(CLASSIFIERS, "third", TWIN)
    monkeypatch.setattr(session, "model_path", path)
    app = choose(opened(classifier=OTHER), OTHER)
    assert in_sidebar(app) == DEFAULT_CLASSIFIER
    assert OTHER not in app.sidebar.selectbox(key="choice.classifier").options
    assert "twin is not available on this server: model file gone.tflite" in texts(app, "warning")
    assert use_button(app).disabled
    assert "gone.tflite is missing; restore it" in texts(app, "caption")


def test_a_link_chooses_the_model_and_an_unknown_one_is_told() -> None:
    assert in_sidebar(opened(classifier=OTHER)) == OTHER
    app = opened(classifier="magic")
    assert in_sidebar(app) == DEFAULT_CLASSIFIER
    assert len(app.warning) == 1
    assert "classifier must be one of maskdet" in texts(app, "warning")
    assert "not 'magic'" in texts(app, "warning")


def test_with_one_model_there_is_nothing_to_choose(monkeypatch) -> None:
    for name in [name for name in CLASSIFIERS if name != DEFAULT_CLASSIFIER]:
        monkeypatch.delitem(CLASSIFIERS, name)
    app = opened()
    labels = [one.label for one in app.sidebar.selectbox]
    assert "Mask classifier" not in labels
    assert "In use: **maskdet**" in texts(app)


def test_pictures_are_labelled_anew_by_another_model() -> None:
    app = opened("image")
    labels = app.main.dataframe[-1].value["Label"].tolist()
    app.sidebar.selectbox(key="choice.classifier").set_value(OTHER)
    run_app(app)
    assert labels == ["No mask"]
    assert app.main.dataframe[-1].value["Label"].tolist() == ["Mask"]


def test_a_running_stream_gets_the_other_model_and_goes_on() -> None:
    app = opened("live")
    state = app.session_state["maskdet.live"]
    _, stream = state._active
    places = [part.type for part in app.main]
    app.sidebar.selectbox(key="choice.classifier").set_value(OTHER)
    run_app(app)
    assert state._active[1] is stream, "the stream was not started anew"
    image = make_grey_image(320, 240)
    assert [
        label.key for label in stream.step(image, 0.0, Settings()).scene.labels
    ] == ["mask"]
    assert [part.type for part in app.main] == places, "nothing moved the image"
    app.sidebar.selectbox(key="choice.classifier").set_value(DEFAULT_CLASSIFIER)
    run_app(app)
    assert [
        label.key for label in stream.step(image, 1.0, Settings()).scene.labels
    ] == ["no_mask"]


def test_each_pair_of_finder_and_model_is_loaded_once(asked) -> None:
    app = opened("live")
    for name in (OTHER, DEFAULT_CLASSIFIER, OTHER):
        app.sidebar.selectbox(key="choice.classifier").set_value(name)
        run_app(app)
    assert asked == [
        (FIRST, DEFAULT_CLASSIFIER),
        (FIRST, OTHER),
    ]


def test_the_card_is_shown_without_its_html(tmp_path) -> None:
    app = opened()
    card = next(one for one in app.main.expander if one.label.startswith("Model card"))
    assert "#### Limits" in card.markdown[0].value
    assert not card.markdown[0].allow_html


def test_mistakes_are_counted_and_only_samples_are_pictured() -> None:
    app = opened()
    assert "2 of 30 wrong: 1 “Mask” called “No mask”" in texts(app, "markdown")
    assert "**6 of 10 wrong**" in texts(app, "markdown")
    assert texts(app, "html").count("<figure>") == 6
    assert "NASA, Eileen Collins, public domain" in texts(app, "caption")


def test_no_runs_is_one_clear_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path / "none")
    app = opened()
    assert len(app.info) == 1
    assert "There is no run to show" in app.info[0].value
    assert not app.main.dataframe


def test_a_broken_run_is_told_and_the_others_are_shown(tmp_path) -> None:
    (tmp_path / OTHER / "facts.json").write_text("{")
    app = opened()
    assert len(app.warning) == 1
    assert "The run twin is not shown" in texts(app, "warning")
    assert column(app, "", "Model") == ["maskdet", "custom-cnn"]
