"""What the Tune page hands on to Live and Image, run without a browser."""

from __future__ import annotations

import pytest

from maskdet.analyzer import AUTO
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.tune import bundled
from tests.tune_page_driving import move, opened, run, texts, use_made_up
from tests.tune_page_fakes import scored


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    use_made_up(monkeypatch)


def test_live_uses_the_sliders_only_when_told_to() -> None:
    app = move(opened(smoothing="latest"), "min_score", 0.35)
    assert app.sidebar.slider(key="choice.min_score").value == 0.5
    app.main.button(key="tune.use").click()
    run(app)
    assert app.sidebar.slider(key="choice.min_score").value == 0.35
    in_force = app.session_state["maskdet.preferences"]
    assert in_force.analyzer == "onepass"
    assert in_force.settings.smoothing == "latest"
    assert app.main.button(key="tune.use").disabled


def test_live_labels_as_the_scores_were_labelled() -> None:
    app = opened(classifier="tutorial", second_look="false")
    assert "and its mask model" in texts(app)
    app.main.button(key="tune.use").click()
    run(app)
    in_force = app.session_state["maskdet.preferences"]
    assert in_force.classifier == DEFAULT_CLASSIFIER
    assert in_force.second_look
    assert "In use: these thresholds, with **onepass**" in texts(app)
    assert "Image goes on with" not in texts(app)


def test_image_is_not_claimed_where_another_analyzer_is_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = scored(analyzer="onepass-fast")
    monkeypatch.setattr(bundled, "load_bundled", lambda name: fast)
    app = move(opened(), "min_score", 0.35)
    assert "Image goes on with **onepass**" in texts(app)
    app.main.button(key="tune.use").click()
    run(app)
    assert app.session_state["maskdet.preferences"].analyzer == AUTO
    assert [one.value for one in app.toast] == ["Live now uses these settings."]


def test_it_is_said_that_live_judges_over_time() -> None:
    assert "Live judges people over time" in texts(opened())


def test_the_link_to_share_has_what_the_sliders_say() -> None:
    app = move(opened(), "min_score", 0.35)
    assert "min_score=0.35" in app.main.code[0].value


def test_what_is_calibrated_can_neither_be_used_nor_shared() -> None:
    app = move(opened(), "min_score", 0.35)
    settings = next(one for one in app.main.download_button if "JSON" in one.label)
    assert not settings.disabled
    app.main.toggle(key="tune.calibrated").set_value(True)
    run(app)
    assert app.main.button(key="tune.use").disabled
    settings = next(one for one in app.main.download_button if "JSON" in one.label)
    assert settings.disabled
    assert not app.main.code
    assert "Live has no calibration" in texts(app)
