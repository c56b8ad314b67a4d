"""Analyzer, classifier and refinement in the sidebar, without a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers import pipelines
from maskdet.analyzers.onepass import Refiner
from maskdet.analyzers.pipelines import ANALYZERS, AUTO, TwoStage
from maskdet.classifier import CLASSIFIERS, DEFAULT_CLASSIFIER
from maskdet.model_files.model_zoo import MODEL_FILES
from maskdet.settings import Settings
from maskdet.web import session
from tests.helpers.app import face_titles, open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

APP = Path(__file__).resolve().parents[2] / "app.py"
FAST, ACCURATE = "onepass-fast", "onepass"
UNREFINED, REFINED = (0.1, 0.8, 0.1), (0.8, 0.1, 0.1)

Loaded = list[tuple[str, bool]]


@pytest.fixture(autouse=True)
def loaded_models(monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Replace the models by fakes; return the loaded names, with refinement or not.

    The face is masked with refinement, and unmasked without.
    """
    loaded: Loaded = []

    def load(name: str, classifier: str, *, refine: bool) -> TwoStage:
        loaded.append((name, refine))
        detector = FakeDetector([[100.0, 100.0, 180.0, 200.0]], [0.9])
        return TwoStage(detector, FakeClassifier(REFINED if refine else UNREFINED))

    for name in (FAST, ACCURATE):
        monkeypatch.setitem(ANALYZERS, name, f"{name} is being tested")
    refiners = {ACCURATE: Refiner}
    monkeypatch.setattr(pipelines, "_REFINERS", refiners)
    monkeypatch.setattr(session, "load_analyzer", load)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    st.cache_resource.clear()  # every AppTest has the same session
    return loaded


@pytest.fixture
def fast_refinement(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the fast analyzer a refinement too."""
    refiners = dict.fromkeys((FAST, ACCURATE), Refiner)
    monkeypatch.setattr(pipelines, "_REFINERS", refiners)


def opened(page: str, **query: str) -> AppTest:
    return open_page(page, **query)


def go_to(app: AppTest, page: str) -> AppTest:
    return run_app(app.switch_page(f"pages/{page}.py"))


def set_refinement(app: AppTest, value: bool) -> AppTest:
    app.sidebar.toggle(key="choice.refine").set_value(value)
    return run_app(app)


def select_analyzer(app: AppTest, name: str) -> AppTest:
    app.sidebar.selectbox(key="choice.analyzer").set_value(name)
    return run_app(app)


def captions(app: AppTest) -> list[str]:
    return [caption.value for caption in app.sidebar.caption]


def test_auto_is_fast_on_live_and_accurate_on_images(loaded_models):
    app = opened("live")
    assert app.sidebar.selectbox(key="choice.analyzer").value == AUTO
    assert captions(app)[0] == f"Using **Fast**: {FAST} is being tested."
    assert loaded_models == [(FAST, True)]
    go_to(app, "image")
    assert captions(app)[0] == f"Using **Accurate**: {ACCURATE} is being tested."
    assert loaded_models == [(FAST, True), (ACCURATE, True)]


def test_an_analyzer_chosen_by_name_is_used_on_all_pages(loaded_models):
    app = go_to(opened("live", analyzer=ACCURATE), "image")
    assert captions(app)[0] == f"{ACCURATE} is being tested."
    assert loaded_models == [(ACCURATE, True)]


def test_auto_is_not_offered_where_its_file_is_missing(loaded_models, monkeypatch):
    def path(name: str) -> Path:
        if name == "onepass":
            raise FileNotFoundError("onepass.tflite is missing; restore it")
        return APP

    ours = replace(MODEL_FILES["classifier"], name="onepass")
    monkeypatch.setitem(MODEL_FILES, "onepass", ours)
    monkeypatch.setattr(session, "model_path", path)
    app = opened("live")
    offered = app.sidebar.selectbox(key="choice.analyzer")
    assert offered.value not in (AUTO, FAST, ACCURATE)
    assert not {FAST, ACCURATE} & set(offered.options)
    warning = app.warning[0].value.replace("\\", "")
    assert "auto is not available on this server: onepass.tflite is missing" in warning


@pytest.mark.parametrize(
    ("page", "name", "can"),
    [
        ("image", AUTO, True),
        ("live", AUTO, False),
        ("live", ACCURATE, True),
        ("image", "haar", False),
    ],
)
def test_refinement_is_enabled_where_the_analyzer_has_it(page, name, can):
    toggle = opened(page, analyzer=name).sidebar.toggle(key="choice.refine")
    assert toggle.disabled is not can
    assert toggle.value is True


def test_images_are_classified_again_without_refinement(loaded_models):
    app = opened("image")
    assert face_titles(app) == ["Mask"]
    assert face_titles(set_refinement(app, False)) == ["No mask"]
    assert "refine=false" in app.sidebar.code[0].value
    assert face_titles(set_refinement(app, True)) == ["Mask"]
    assert loaded_models == [(ACCURATE, True), (ACCURATE, False)], "each is loaded once"


def test_a_running_stream_continues_without_refinement(fast_refinement):
    app = opened("live")
    state = app.session_state["maskdet.live"]
    _, stream = state._active
    places = [part.type for part in app.main]
    image = make_grey_image(320, 240)
    assert [
        label.key for label in stream.step(image, 0.0, Settings()).scene.labels
    ] == ["mask"]
    set_refinement(app, False)
    assert state._active[1] is stream, "the stream was not restarted"
    assert [part.type for part in app.main] == places, "the video did not move"
    assert [
        label.key for label in stream.step(image, 9.0, Settings()).scene.labels
    ] == ["no_mask"]


def test_an_analyzer_without_refinement_is_not_reloaded(loaded_models):
    app = opened("image", refine="false")
    assert face_titles(app) == ["No mask"]
    assert face_titles(select_analyzer(app, "haar")) == ["Mask"]
    opened("image", analyzer="haar")
    assert loaded_models == [(ACCURATE, False), ("haar", True)]


def test_an_unused_classifier_is_marked_as_such(monkeypatch):
    monkeypatch.setitem(CLASSIFIERS, "twin", CLASSIFIERS[DEFAULT_CLASSIFIER])
    note = ":gray[Not used: this analyzer classifies faces itself.]"
    app = opened("image")
    assert note not in captions(app)
    assert note in captions(set_refinement(app, False))
    assert note not in captions(select_analyzer(app, "haar"))
