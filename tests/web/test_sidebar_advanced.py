"""Class weights, names and colours in the sidebar, without a browser."""

from __future__ import annotations

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import TwoStage
from maskdet.serving.preferences import Preferences
from maskdet.style import Style
from maskdet.types import Label
from maskdet.web import session
from tests.helpers.app import APP, component_data, open_page, run_app
from tests.helpers.fakes import FakeClassifier, FakeDetector


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = [[100.0, 100.0, 180.0, 200.0]]
    fake = TwoStage(FakeDetector(boxes, [0.9]), FakeClassifier((0.03, 0.96, 0.01)))
    monkeypatch.setattr(session, "load_analyzer", lambda *names, **how: fake)
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_resource.clear()  # every AppTest has the same session


def chosen(app: AppTest) -> Preferences:
    preferences: Preferences = app.session_state["maskdet.preferences"]
    return preferences


def name(app: AppTest, key: str, value: str) -> AppTest:
    app.sidebar.text_input(key=f"choice.name.{key}").set_value(value)
    return run_app(app)


def page(app: AppTest) -> str:
    html = "".join(part.proto.body for part in app.main if part.type == "html")
    tables = "".join(str(part.value.to_dict()) for part in app.main.dataframe)
    faces = str(component_data(app, "overlay").get("faces", ""))
    return html + tables + faces


def test_custom_names_are_used_in_tables_tiles_and_cards() -> None:
    app = name(open_page("image"), "no_mask", "Uncovered face")
    assert chosen(app).style.class_names == {"no_mask": "Uncovered face"}
    assert page(app).count("Uncovered face") >= 3
    assert "No mask" not in page(app)
    assert "class_names" in app.sidebar.code[0].value
    again = open_page("image", class_names='{"no_mask": "Uncovered face"}')
    assert again.sidebar.text_input(key="choice.name.no_mask").value == "Uncovered face"


@pytest.mark.parametrize(
    ("value", "line"),
    [("<b>", "letters of any script"), ("mask", "name of two classes")],
)
def test_an_invalid_name_is_reported_and_the_previous_names_stay(
    value: str, line: str
) -> None:
    app = name(open_page("image"), "no_mask", "Uncovered")
    name(app, "no_mask", value)
    assert line in app.sidebar.warning[0].value.replace("\\", "")
    assert chosen(app).style.class_names == {"no_mask": "Uncovered"}


def test_custom_colours_stay_and_others_follow_the_palette() -> None:
    app = open_page("image")
    app.sidebar.color_picker(key="choice.colour.mask").set_value("#123456")
    run_app(app)
    assert chosen(app).style.class_colours == {"mask": "#123456"}
    app.sidebar.selectbox(key="choice.palette").set_value("colour-blind")
    run_app(app)
    style = chosen(app).style
    assert style == Style(palette="colour-blind", class_colours={"mask": "#123456"})
    picker = app.sidebar.color_picker(key="choice.colour.no_mask")
    assert picker.value == style.colour_css(Label.NO_MASK)
    next(
        one for one in app.sidebar.button if one.label == "Default names and colours"
    ).click()
    run_app(app)
    assert chosen(app).style == Style(palette="colour-blind")
    assert app.sidebar.color_picker(key="choice.colour.mask").value == "#0072b2"


def test_class_weights_reach_the_settings_and_cannot_all_be_zero() -> None:
    app = open_page("video")
    for key in ("mask", "no_mask"):
        app.sidebar.slider(key=f"choice.weight.{key}").set_value(0.0)
    run_app(app)
    assert chosen(app).settings.class_weights == (0.0, 0.0, 1.0)
    app.sidebar.slider(key="choice.weight.incorrect").set_value(0.0)
    run_app(app)
    assert "At least one weight must be above 0" in app.sidebar.warning[0].value
    assert chosen(app).settings.class_weights == (0.0, 0.0, 1.0)


def test_a_name_of_any_script_is_accepted_with_a_note_about_images() -> None:
    app = name(open_page("image"), "no_mask", "マスクなし")
    assert chosen(app).style.class_names == {"no_mask": "マスクなし"}
    assert page(app).count("マスクなし") >= 3
    (line,) = (
        one.value for one in app.sidebar.caption if "Cyrillic letters" in one.value
    )
    assert "they show “No mask” for “マスクなし”" in line
    run_app(app.switch_page("pages/video.py"))
    assert app.sidebar.slider(key="choice.weight.no_mask").label == "マスクなし"
    name(app, "no_mask", "Porté")
    assert not any("Cyrillic letters" in one.value for one in app.sidebar.caption)
