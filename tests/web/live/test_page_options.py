"""Distances, label smoothing and blur on the Live page, without a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import AUTO, resolve_analyzer
from maskdet.settings import Settings
from maskdet.smoothing import TRACKING_PRESETS
from maskdet.web import session
from maskdet.web.distance import DEFAULT_GROUND_POINTS
from tests.helpers.app import live_html, open_page, run_app, use_fake_models

APP = Path(__file__).resolve().parents[3] / "app.py"
BOXES = [[40, 60, 100, 130], [110, 60, 170, 130]]


@pytest.fixture(autouse=True)
def fake_models(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_models(monkeypatch, BOXES)


def opened(**query: str) -> AppTest:
    return open_page("live", **query)


def settings(app: AppTest) -> Settings:
    """Return the settings of the running stream."""
    return app.session_state["maskdet.live"].preferences.settings


def choose(app: AppTest, key: str, value: object) -> AppTest:
    part = next(one for one in app.main.button_group if one.key == key)
    part.set_value(value)
    return run_app(app)


def warnings(app: AppTest) -> list[str]:
    return [one.value.replace("\\", "") for one in app.main.warning]


def texts(app: AppTest) -> str:
    return "\n".join(one.value for one in [*app.main.info, *app.main.caption])


def play(app: AppTest, seconds: float = 2.0) -> None:
    """Analyze the same frame for a while, as the video thread would."""
    state = app.session_state["maskdet.live"]
    running = state.get_or_create_session(
        resolve_analyzer(AUTO, live=True), session.load_analyzer()
    )
    image = np.full((240, 320, 3), 90, np.uint8)
    now_s = state.clock()
    for number in range(round(10 * seconds)):
        time_s = now_s - seconds + number / 10
        view = running.step(image, time_s, state.preferences.settings)
        state.record_frame(running, 1, {"detect": 1.0}, view)


def test_distances_are_off_on_the_first_visit() -> None:
    app = opened()
    assert settings(app).distance == "off"
    assert "Distances between people are not measured." in texts(app)
    assert not app.main.number_input


def test_distance_settings_reach_the_stream_and_the_link() -> None:
    app = choose(opened(), "distance.distance", "pinhole")
    assert settings(app).distance == "pinhole"
    assert "Press **Start** above" in texts(app)
    choose(app, "distance.contact_distance_m", 1.0)
    app.main.number_input(key="distance.contact_duration_s").set_value(7.0)
    run_app(app)
    app.main.number_input(key="distance.field_of_view_deg").set_value(90.0)
    run_app(app)
    chosen = settings(app)
    assert (chosen.contact_distance_m, chosen.contact_duration_s) == (1.0, 7.0)
    assert chosen.field_of_view_deg == 90
    link = app.sidebar.code[0].value
    assert "distance=pinhole" in link
    assert "contact_distance_m=1.0" in link


def test_a_widget_value_of_none_changes_nothing() -> None:
    # Like a browser that was stopped before it received the value.
    app = choose(opened(), "distance.distance", "pinhole")
    app.session_state["maskdet.completed_url"] = "another page"
    choose(app, "distance.distance", None)
    assert settings(app).distance == "pinhole"
    shown = next(one for one in app.main.button_group if one.key == "distance.distance")
    assert shown.value == "pinhole"


def test_distance_settings_survive_other_pages_and_a_moved_slider() -> None:
    app = choose(opened(), "distance.distance", "relative")
    app.switch_page("pages/image.py").run()
    slider = next(
        one for one in app.sidebar.slider if one.label == "Minimum confidence"
    )
    slider.set_value(0.8)
    run_app(app)
    app.switch_page("pages/live.py").run()
    assert (settings(app).distance, settings(app).min_confidence) == ("relative", 0.8)
    assert "face heights" in texts(app)


def test_reset_restores_the_distance_defaults() -> None:
    app = opened(distance="pinhole", contact_distance_m="3.5", blur="true")
    assert settings(app).contact_distance_m == 3.5
    assert app.sidebar.toggle(key="choice.blur").value is True
    reset = next(one for one in app.sidebar.button if one.label == "Reset to defaults")
    reset.click()
    run_app(app)
    assert settings(app) == Settings()
    assert not app.main.number_input
    assert app.sidebar.toggle(key="choice.blur").value is False


def test_missing_floor_points_are_requested_and_entered_ones_are_used() -> None:
    app = choose(opened(), "distance.distance", "ground_plane")
    assert warnings(app) == ["Mark the four corners of a rectangle on the floor first."]
    shown = [
        app.main.number_input(key=f"distance.floor.{number}").value
        for number in range(8)
    ]
    assert shown == pytest.approx([100 * number for number in DEFAULT_GROUND_POINTS])
    app.main.number_input(key="distance.floor.0").set_value(35.0)
    run_app(app)
    assert settings(app).ground_points == (0.35, *DEFAULT_GROUND_POINTS[1:])
    assert warnings(app) == []


def test_invalid_floor_points_are_reported_in_one_line() -> None:
    crossed = "[0.7, 0.5, 0.3, 0.5, 0.1, 0.9, 0.9, 0.9]"
    app = opened(distance="ground_plane", ground_points=crossed)
    (line,) = warnings(app)
    assert line.startswith(
        "The four points must be the corners of a rectangle on the floor"
    )


def test_mirror_flips_the_floor_points() -> None:
    app = opened(
        distance="ground_plane", ground_points="[0.2,0.5,0.7,0.5,0.9,0.9,0.1,0.9]"
    )
    app.sidebar.toggle(key="choice.mirror").set_value(False)
    run_app(app)
    assert settings(app).ground_points == pytest.approx(
        (0.3, 0.5, 0.8, 0.5, 0.9, 0.9, 0.1, 0.9)
    )
    shown = app.main.number_input(key="distance.floor.0").value
    assert shown == pytest.approx(30)


def test_distances_of_a_running_stream_are_shown() -> None:
    app = opened(distance="pinhole")
    play(app)
    run_app(app)
    html = live_html(app)
    assert "#1 No mask and #2 No mask" in html
    assert "<dt>Close pairs</dt><dd>1</dd>" in html
    assert "2 in total" in html
    assert "alt=\"Bird's-eye view" in html


def test_a_preset_sets_only_its_own_settings() -> None:
    app = opened(distance="relative", contact_distance_m="1.0")
    app.sidebar.button(key="preset.track-onepass").click()
    run_app(app)
    preset, now = TRACKING_PRESETS["track-onepass"].settings, settings(app)
    assert (now.smoothing, now.memory_s) == ("ema", preset.memory_s)
    assert now.smoothing_window_s == pytest.approx(preset.smoothing_window_s, abs=0.05)
    assert (now.min_score, now.nms_iou, now.min_face_px) == (0.4, 0.3, 2)
    assert now.min_confidence == 0.67
    assert (now.distance, now.contact_distance_m) == ("relative", 1.0)
    assert app.sidebar.selectbox(key="choice.smoothing").value == "ema"
    assert app.sidebar.selectbox(key="choice.analyzer").value == "onepass-fast"
    assert app.sidebar.toggle(key="choice.refine").value is False
    captions = " ".join(caption.value for caption in app.sidebar.caption)
    assert "Example 3, one network" in captions.replace("\\", "")


def test_smoothing_memory_and_overlay_reach_the_stream() -> None:
    app = opened()
    app.sidebar.selectbox(key="choice.smoothing").select("mean")
    app.sidebar.slider(key="choice.memory_s").set_value(6.0)
    app.sidebar.toggle(key="choice.ids").set_value(False)
    app.sidebar.toggle(key="choice.blur").set_value(True)
    run_app(app)
    assert (settings(app).smoothing, settings(app).memory_s) == ("mean", 6.0)
    style = app.session_state["maskdet.live"].preferences.style
    assert (style.ids, style.blur) == (False, True)
    assert app.sidebar.slider(key="choice.smoothing_window_s").disabled


def test_a_link_can_extend_the_range_of_the_memory_slider() -> None:
    app = opened(memory_s="45")
    assert app.sidebar.slider(key="choice.memory_s").value == 45
    assert settings(app).memory_s == 45
