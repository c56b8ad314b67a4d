"""The classifiers section of the Models page, run without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import (
    AUTO,
    TwoStage,
    get_analyzer_title,
    resolve_analyzer,
)
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER, ClassifierFile
from maskdet.evaluation import training_runs
from maskdet.settings import Settings
from maskdet.web import session
from maskdet.web.models import classifiers
from maskdet.web.models.tables import SET_TITLES
from tests.helpers.app import face_titles, open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image
from tests.helpers.training_runs import FACTS, LARGE_FACTS, write_training_run

APP = Path(__file__).resolve().parents[3] / "app.py"
OTHER = "twin"
FIRST = resolve_analyzer(AUTO, live=True)
TWIN = ClassifierFile("classifier", 1.3, "Twin")


@pytest.fixture(autouse=True)
def loaded_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, str]]:
    """Write three runs, two of them available; return the models that get loaded."""
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


def open_dashboard(page: str = "models", **query: str) -> AppTest:
    app = open_page(page, **query)
    if page == "models":
        app.main.button_group(key="models.section").set_value("Classifiers")
        run_app(app)
    return app


def go_to(app: AppTest, page: str) -> AppTest:
    return run_app(app.switch_page(f"pages/{page}.py"))


def choose(app: AppTest, name: str) -> AppTest:
    app.main.button_group(key="models.run").set_value(name)
    return run_app(app)


def use_button(app: AppTest) -> Any:
    return next(
        button for button in app.main.button if button.label == "Use this model"
    )


def chosen_classifier(app: AppTest) -> str:
    return app.session_state["maskdet.preferences"].classifier


def texts(app: AppTest, *kinds: str) -> str:
    kinds = kinds or ("markdown", "caption", "warning", "info", "html")
    parts = [str(part.value) for kind in kinds for part in app.main.get(kind)]
    return "\n".join(parts).replace("\\", "")


def column(app: AppTest, group: str, heading: str) -> list[Any]:
    """Return a column of the table of runs."""
    return app.main.dataframe[0].value[group, heading].tolist()


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(part.proto.spec) for part in app.main.get("vega_lite_chart")]


def test_all_runs_are_listed_and_explained() -> None:
    app = open_dashboard()
    assert app.title[0].value == "Models"
    assert column(app, "", "Model") == ["maskdet", "custom-cnn", OTHER]
    assert column(app, "", "Status") == ["active", "metrics only", "available"]
    for title in SET_TITLES.values():
        assert all(number > 50 for number in column(app, title, "%"))
    assert "the most informative" in texts(app, "caption")
    assert "maskdet export" in texts(app, "caption")
    assert not app.warning


def test_the_metric_can_be_no_mask_recall_or_balanced_accuracy() -> None:
    app = open_dashboard()
    accuracies = [column(app, "Faces test", "%")]
    for measure in ("no_mask_recall", "balanced_accuracy"):
        app.main.button_group(key="models.measure").set_value(measure)
        accuracies.append(column(run_app(app), "Faces test", "%"))
    assert accuracies[0] != accuracies[1] != accuracies[2]
    assert accuracies[1][0] == pytest.approx(90)


def test_the_charts_are_of_the_selected_dataset() -> None:
    app = open_dashboard()
    assert len(charts(app)) == 2 + 7
    assert "n = 33" in str(charts(app)), "kaggle-val is the default"
    app.main.selectbox(key="models.set").set_value("ilc-val/found")
    run_app(app)
    assert "n = 42" in str(charts(app))
    app.main.multiselect(key="models.compare_with").set_value([OTHER])
    run_app(app)
    assert len(charts(app)) == 2 + 7


def test_the_button_applies_the_model(loaded_models) -> None:
    app = choose(open_dashboard(), OTHER)
    assert not use_button(app).disabled
    title = get_analyzer_title(FIRST)
    pipeline = f"{title} detects, classifier {OTHER} classifies every face"
    assert f"With it: On video: {pipeline}." in texts(app, "caption")
    use_button(app).click()
    run_app(app)
    assert "twin" in app.toast[0].value
    assert chosen_classifier(app) == OTHER
    assert use_button(app).disabled
    assert column(app, "", "Status")[2] == "active"
    assert f"classifier={OTHER}" in app.sidebar.code[0].value
    go_to(app, "live")
    assert loaded_models[-1] == (FIRST, OTHER)
    assert app.sidebar.selectbox(key="choice.classifier").value == OTHER


def test_a_run_without_weights_says_why_it_cannot_be_used() -> None:
    app = choose(open_dashboard(), "custom-cnn")
    assert use_button(app).disabled
    assert "(368 MB) are not included, only its metrics" in texts(app, "caption")
    assert "our own samples" not in texts(app)


def test_a_model_with_a_missing_file_is_reported_and_not_offered(monkeypatch) -> None:
    def path(name: str) -> Path:
        if name == "gone":
            raise FileNotFoundError("model file gone.tflite is missing; restore it")
        return APP

    monkeypatch.setitem(CLASSIFIERS, OTHER, ClassifierFile("gone", 1.0, "Gone"))
    monkeypatch.setitem(CLASSIFIERS, "third", TWIN)
    monkeypatch.setattr(session, "model_path", path)
    app = choose(open_dashboard(classifier=OTHER), OTHER)
    assert chosen_classifier(app) == DEFAULT_CLASSIFIER
    assert "twin is not available on this server: model file gone.tflite" in texts(
        app, "warning"
    )
    assert use_button(app).disabled
    assert "gone.tflite is missing; restore it" in texts(app, "caption")
    go_to(app, "image")
    assert OTHER not in app.sidebar.selectbox(key="choice.classifier").options


def test_a_link_chooses_the_model_and_an_unknown_name_is_reported() -> None:
    assert chosen_classifier(open_dashboard(classifier=OTHER)) == OTHER
    app = open_dashboard(classifier="magic")
    assert chosen_classifier(app) == DEFAULT_CLASSIFIER
    assert len(app.warning) == 1
    assert "classifier must be one of maskdet" in texts(app, "warning")
    assert "not 'magic'" in texts(app, "warning")


def test_with_one_model_the_sidebar_has_no_choice_of_models(monkeypatch) -> None:
    for name in [name for name in CLASSIFIERS if name != DEFAULT_CLASSIFIER]:
        monkeypatch.delitem(CLASSIFIERS, name)
    app = open_dashboard()
    assert "Active: **maskdet**" in texts(app)
    go_to(app, "image")
    keys = [box.key for box in app.sidebar.selectbox]
    assert "choice.analyzer" in keys
    assert "choice.classifier" not in keys


def test_another_model_classifies_images_again() -> None:
    app = open_dashboard("image")
    labels = face_titles(app)
    app.sidebar.selectbox(key="choice.classifier").set_value(OTHER)
    run_app(app)
    assert labels == ["No mask"]
    assert face_titles(app) == ["Mask"]


def test_a_running_stream_continues_with_another_model() -> None:
    app = open_dashboard("live")
    state = app.session_state["maskdet.live"]
    _, stream = state._active
    part_types = [part.type for part in app.main]
    app.sidebar.selectbox(key="choice.classifier").set_value(OTHER)
    run_app(app)
    assert state._active[1] is stream, "the stream must not be restarted"
    image = make_grey_image(320, 240)
    assert [
        label.key for label in stream.step(image, 0.0, Settings()).scene.labels
    ] == ["mask"]
    assert [part.type for part in app.main] == part_types, "the layout must not change"
    app.sidebar.selectbox(key="choice.classifier").set_value(DEFAULT_CLASSIFIER)
    run_app(app)
    assert [
        label.key for label in stream.step(image, 1.0, Settings()).scene.labels
    ] == ["no_mask"]


def test_each_pair_of_analyzer_and_model_is_loaded_once(loaded_models) -> None:
    app = open_dashboard("live")
    for name in (OTHER, DEFAULT_CLASSIFIER, OTHER):
        app.sidebar.selectbox(key="choice.classifier").set_value(name)
        run_app(app)
    assert loaded_models == [
        (FIRST, DEFAULT_CLASSIFIER),
        (FIRST, OTHER),
    ]


def test_the_model_card_is_shown_without_html(tmp_path) -> None:
    app = open_dashboard()
    card = next(tab for tab in app.main.tabs if tab.label == "Model card")
    assert "#### Limits" in card.markdown[0].value
    assert not card.markdown[0].allow_html


def test_errors_are_counted_and_only_samples_are_shown() -> None:
    app = open_dashboard()
    assert "2 of 30 wrong: 1 “Mask” predicted as “No mask”" in texts(app, "markdown")
    assert "**6 of 10 wrong**" in texts(app, "markdown")
    assert texts(app, "html").count("<figure>") == 6
    assert "NASA, Eileen Collins, public domain" in texts(app, "caption")


def test_without_runs_there_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path / "none")
    app = open_dashboard()
    assert len(app.info) == 1
    assert "No training runs found" in app.info[0].value
    assert not app.main.dataframe


def test_a_broken_run_is_reported_and_the_others_are_shown(tmp_path) -> None:
    (tmp_path / OTHER / "facts.json").write_text("{")
    app = open_dashboard()
    assert len(app.warning) == 1
    assert "Training run twin cannot be shown" in texts(app, "warning")
    assert column(app, "", "Model") == ["maskdet", "custom-cnn"]
