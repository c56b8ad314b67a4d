"""Who finds and labels the faces, as chosen in the sidebar, without a browser."""

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
from maskdet.settings import Settings
from maskdet.web import session
from tests.helpers.app import open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector, make_grey_image

APP = Path(__file__).resolve().parents[2] / "app.py"
FAST, THOROUGH = "onepass-fast", "onepass"
ONCE, TWICE = (0.1, 0.8, 0.1), (0.8, 0.1, 0.1)

Asked = list[tuple[str, bool]]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Offer our network over fakes; return who was loaded, with a second look or not.

    A face is masked where large faces are read twice, bare where they are not.
    """
    loaded: Asked = []

    def load(name: str, classifier: str, *, refine: bool) -> TwoStage:
        loaded.append((name, refine))
        finder = FakeDetector([[100.0, 100.0, 180.0, 200.0]], [0.9])
        return TwoStage(finder, FakeClassifier(TWICE if refine else ONCE))

    for name in (FAST, THOROUGH):
        monkeypatch.setitem(ANALYZERS, name, f"{name} is being tested")
    monkeypatch.setattr(pipelines, "DEFAULT_ANALYZER", THOROUGH)
    looks = {THOROUGH: Refiner}
    monkeypatch.setattr(pipelines, "_REFINERS", looks)
    monkeypatch.setattr(session, "load_analyzer", load)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    st.cache_resource.clear()  # every AppTest has the same session
    return loaded


@pytest.fixture
def fast_looks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fast analyzer have a second look too."""
    looks = dict.fromkeys((FAST, THOROUGH), Refiner)
    monkeypatch.setattr(pipelines, "_REFINERS", looks)


def opened(page: str, **query: str) -> AppTest:
    return open_page(page, **query)


def go_to(app: AppTest, page: str) -> AppTest:
    return run_app(app.switch_page(f"pages/{page}.py"))


def read_twice(app: AppTest, value: bool) -> AppTest:
    app.sidebar.toggle(key="choice.refine").set_value(value)
    return run_app(app)


def pick(app: AppTest, name: str) -> AppTest:
    app.sidebar.selectbox(key="choice.analyzer").set_value(name)
    return run_app(app)


def captions(app: AppTest) -> list[str]:
    return [caption.value for caption in app.sidebar.caption]


def labels(app: AppTest) -> list[str]:
    found: list[str] = app.main.dataframe[-1].value["Label"].tolist()
    return found


def test_auto_takes_the_fast_one_on_live_and_the_thorough_one_on_pictures(asked):
    app = opened("live")
    assert app.sidebar.selectbox(key="choice.analyzer").value == AUTO
    assert captions(app)[0] == f"Here **{FAST}**: {FAST} is being tested."
    assert asked == [(FAST, True)]
    go_to(app, "image")
    assert captions(app)[0] == f"Here **{THOROUGH}**: {THOROUGH} is being tested."
    assert asked == [(FAST, True), (THOROUGH, True)]


def test_auto_is_the_embedded_default_while_our_network_is_not_here(asked, monkeypatch):
    for name in (FAST, THOROUGH):
        monkeypatch.delitem(ANALYZERS, name)
    monkeypatch.setattr(pipelines, "DEFAULT_ANALYZER", "mtcnn")
    app = go_to(opened("live"), "image")
    assert captions(app)[0] == f"Here **mtcnn**: {ANALYZERS['mtcnn']}."
    assert asked == [("mtcnn", True)]


def test_whoever_is_chosen_by_name_works_everywhere(asked):
    app = go_to(opened("live", analyzer=THOROUGH), "image")
    assert captions(app)[0] == f"{THOROUGH} is being tested."
    assert asked == [(THOROUGH, True)]


def test_auto_is_not_offered_where_its_file_is_missing(asked, monkeypatch):
    def path(name: str) -> Path:
        if name == "onepass":
            raise FileNotFoundError("onepass.tflite is missing; restore it")
        return APP

    ours = replace(pipelines.MODEL_FILES["classifier"], name="onepass")
    monkeypatch.setitem(pipelines.MODEL_FILES, "onepass", ours)
    monkeypatch.setattr(session, "model_path", path)
    app = opened("live")
    offered = app.sidebar.selectbox(key="choice.analyzer")
    assert offered.value not in (AUTO, FAST, THOROUGH)
    assert not {FAST, THOROUGH} & set(offered.options)
    told = app.warning[0].value.replace("\\", "")
    assert "auto cannot be used here: onepass.tflite is missing" in told


@pytest.mark.parametrize(
    ("page", "name", "can"),
    [
        ("image", AUTO, True),
        ("live", AUTO, False),
        ("live", THOROUGH, True),
        ("image", "haar", False),
    ],
)
def test_the_refinement_is_offered_where_there_is_one(page, name, can):
    toggle = opened(page, analyzer=name).sidebar.toggle(key="choice.refine")
    assert toggle.disabled is not can
    assert toggle.value is True


def test_pictures_are_labelled_anew_without_the_refinement(asked):
    app = opened("image")
    assert labels(app) == ["Mask"]
    assert labels(read_twice(app, False)) == ["No mask"]
    assert "refine=false" in app.sidebar.code[0].value
    assert labels(read_twice(app, True)) == ["Mask"]
    assert asked == [(THOROUGH, True), (THOROUGH, False)], "each is loaded once"


def test_a_running_stream_stops_reading_twice_and_goes_on(fast_looks_twice):
    app = opened("live")
    state = app.session_state["maskdet.live"]
    _, stream = state._active
    places = [part.type for part in app.main]
    image = make_grey_image(320, 240)
    assert [
        label.key for label in stream.step(image, 0.0, Settings()).scene.labels
    ] == ["mask"]
    read_twice(app, False)
    assert state._active[1] is stream, "the stream was not started anew"
    assert [part.type for part in app.main] == places, "nothing moved the image"
    assert [
        label.key for label in stream.step(image, 9.0, Settings()).scene.labels
    ] == ["no_mask"]


def test_who_never_looks_twice_is_not_loaded_anew(asked):
    app = opened("image", refine="false")
    assert labels(app) == ["No mask"]
    assert labels(pick(app, "haar")) == ["Mask"]
    opened("image", analyzer="haar")
    assert asked == [(THOROUGH, False), ("haar", True)]


def test_a_mask_model_that_is_not_asked_says_so(monkeypatch):
    monkeypatch.setitem(CLASSIFIERS, "twin", CLASSIFIERS[DEFAULT_CLASSIFIER])
    told = ":gray[Not asked here: the analyzer labels the faces itself.]"
    app = opened("image")
    assert told not in captions(app)
    assert told in captions(read_twice(app, False))
    assert told not in captions(pick(app, "haar"))
