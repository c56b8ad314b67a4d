"""The sidebar by page, without a browser: what it shows, and what it keeps."""

from __future__ import annotations

import json

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import (
    ANALYZERS,
    AUTO,
    TwoStage,
    get_analyzer_title,
)
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.web import session
from maskdet.web.sidebar import ADVANCED_KEY, FILES_KEY, describe_file_error
from tests.helpers.app import APP, open_page, open_sidebar, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector

THRESHOLDS = {"choice.min_score", "choice.min_confidence"}
ANALYZER = {"choice.analyzer"}
BLUR = {"choice.blur"}
CLASSES = {"choice.palette", "choice.name.mask", "choice.colour.mask"}
TRACKING = {"choice.smoothing", "choice.memory_s", "choice.ids", "choice.weight.mask"}
CAMERA = {"choice.mirror", "choice.camera_wh", "choice.camera_fps"}
MODEL = {"choice.refine"}
LIMITS = {"choice.min_face_px", "choice.nms_iou"}
EVERYTHING = THRESHOLDS | ANALYZER | BLUR | CLASSES | TRACKING | CAMERA | MODEL | LIMITS


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [[100.0, 100.0, 180.0, 200.0]]
    fake = TwoStage(FakeDetector(boxes, [0.9]), FakeClassifier((0.03, 0.96, 0.01)))
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: fake)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    monkeypatch.setattr(
        "streamlit_webrtc.component.get_this_session_info", lambda: None
    )
    st.cache_resource.clear()  # every AppTest has the same session


def widget_keys(app: AppTest) -> set[str]:
    kinds = ("slider", "selectbox", "toggle", "number_input", "text_input")
    return {
        str(widget.key)
        for kind in (*kinds, "color_picker", "button_group")
        for widget in app.sidebar.get(kind)
    }


def chosen(app: AppTest) -> Preferences:
    preferences: Preferences = app.session_state["maskdet.preferences"]
    return preferences


def go_to(app: AppTest, page: str) -> AppTest:
    return run_app(app.switch_page(f"pages/{page}.py"))


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("live", EVERYTHING),
        ("video", EVERYTHING - CAMERA),
        ("image", EVERYTHING - CAMERA - TRACKING),
        ("tune", BLUR | MODEL | CLASSES),
        ("models", set()),
        ("events", set()),
        ("about", set()),
    ],
)
def test_a_page_shows_what_acts_on_it(page: str, shown: set[str]) -> None:
    app = open_page(page)
    assert widget_keys(app) & EVERYTHING == shown
    assert any(button.label == "Reset to defaults" for button in app.sidebar.button)
    assert not shown or any(
        part.label == "Advanced" for part in app.sidebar.get("expander")
    )


def test_a_closed_expander_costs_nothing_and_keeps_the_values() -> None:
    app = open_page("live", memory_s="2.5", palette="colour-blind")
    assert widget_keys(app) & EVERYTHING == EVERYTHING
    assert app.sidebar.code
    before = chosen(app)
    for key in (ADVANCED_KEY, FILES_KEY):
        app.session_state[key] = False
    run_app(app)
    basic = {"choice.analyzer", "choice.min_score", "choice.min_confidence"}
    assert widget_keys(app) & EVERYTHING == basic | BLUR
    # Code blocks, uploads and colour pickers need 2 MB of JavaScript.
    for kind in ("code", "file_uploader", "color_picker", "number_input"):
        assert not app.sidebar.get(kind), kind
    assert chosen(app) == before
    run_app(open_sidebar(app))
    assert chosen(app) == before
    assert app.sidebar.slider(key="choice.memory_s").value == 2.5


def test_values_survive_pages_that_do_not_show_them() -> None:
    app = open_page("live")
    app.sidebar.slider(key="choice.min_score").set_value(0.35)
    app.sidebar.selectbox(key="choice.smoothing").set_value("ema")
    app.sidebar.slider(key="choice.weight.mask").set_value(0.5)
    app.sidebar.selectbox(key="choice.camera_wh").set_value((320, 240))
    app.sidebar.button_group(key="choice.parts").set_value(["boxes"])
    run_app(app)
    before = chosen(app)
    assert before.settings.min_score == 0.35
    assert before.settings.class_weights == (0.5, 1.0, 1.0)
    for page in ("about", "image", "tune", "events", "models", "video"):
        assert chosen(go_to(app, page)) == before, page
    go_to(app, "live")
    assert chosen(app) == before
    assert app.sidebar.slider(key="choice.min_score").value == 0.35
    assert app.sidebar.selectbox(key="choice.camera_wh").value == (320, 240)
    assert not app.sidebar.toggle(key="choice.blur").value


def test_a_reset_where_widgets_are_hidden_resets_them() -> None:
    app = open_page("live", min_score="0.35", mirror="false", palette="colour-blind")
    go_to(app, "about")
    next(one for one in app.sidebar.button if one.label == "Reset to defaults").click()
    run_app(app)
    assert chosen(app) == Preferences()
    go_to(app, "live")
    assert chosen(app) == Preferences()
    assert app.sidebar.slider(key="choice.min_score").value == Settings().min_score
    assert app.sidebar.toggle(key="choice.mirror").value is True


def test_the_analyzers_have_titles_with_a_meaning() -> None:
    titles = [get_analyzer_title(name) for name in (AUTO, *ANALYZERS)]
    assert titles[:3] == ["Auto", "Accurate", "Fast"]
    assert len(set(titles)) == len(titles)
    assert get_analyzer_title("mtcnn") == "MTCNN (classic)"
    assert get_analyzer_title("of-a-plugin") == "of-a-plugin"
    box = open_page("image").sidebar.selectbox(key="choice.analyzer")
    assert box.options[:3] == titles[:3]


def test_each_preset_says_what_it_sets() -> None:
    app = open_page("live")
    text = " ".join(part.value for part in app.sidebar.caption)
    captions = text.replace("\\", "")
    assert app.sidebar.button(key="preset.track-head").label == "Accurate, averaged"
    assert "detection threshold 0.4; mean of the last 10 frames" in captions


def test_a_preset_of_a_missing_model_cannot_be_used(monkeypatch) -> None:
    def path(name: str) -> object:
        if name == "ssd":
            raise FileNotFoundError("ssd is missing")
        return APP

    monkeypatch.setattr(session, "model_path", path)
    app = open_page("live")
    assert app.sidebar.button(key="preset.track-face").disabled
    assert not app.sidebar.button(key="preset.track-onepass").disabled
    assert "ssd" not in app.sidebar.selectbox(key="choice.analyzer").options


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            b'{"settings": {"min_score": 7}}',
            "“Face detection threshold” must be a number from 0 to 1, not 7",
        ),
        (b'{"memory_s": -1}', "“Keep lost tracks for (s)” must be"),
        (b'{"magic": 1}', "unknown setting 'magic'"),
        (b"{", "this file is not valid JSON"),
        (b'{"analyzer": "x"}', "“Analyzer” must be one of auto"),
    ],
)
def test_a_wrong_file_is_reported_in_words_of_the_page(
    content: bytes, line: str
) -> None:
    with pytest.raises(ValueError, match=r"setting|must|JSON") as error:
        Preferences.from_json(content)
    message = describe_file_error(error.value)
    assert line in message
    assert "accepted are analyzer" not in message
    assert "min_score" not in message


def test_the_report_about_a_file_stands_beside_the_uploader() -> None:
    app = open_page("events")
    app.sidebar.file_uploader(key="choice.file").set_value(
        ("torn.json", b'{"min_score": 7}', "application/json")
    )
    run_app(app)
    assert not app.main.warning
    assert "Face detection threshold" in app.sidebar.warning[0].value
    right = json.dumps({"min_score": 0.7}).encode()
    app.sidebar.file_uploader(key="choice.file").set_value(
        ("right.json", right, "application/json")
    )
    run_app(app)
    assert not app.sidebar.warning
    assert chosen(app).settings.min_score == 0.7
