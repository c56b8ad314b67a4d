"""What the Tune page hands on to Live and Image, run without a browser."""

from __future__ import annotations

import pytest

from maskdet.analyzers.pipelines import AUTO
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.tuning import predictions
from tests.helpers.app import run_app
from tests.helpers.tune_page import (
    move_slider,
    open_tune_page,
    page_texts,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import make_page_predictions


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_predictions(monkeypatch)


def test_live_uses_the_sliders_only_when_told_to() -> None:
    app = move_slider(open_tune_page(smoothing="latest"), "min_score", 0.35)
    assert app.sidebar.slider(key="choice.min_score").value == 0.5
    app.main.button(key="tune.use").click()
    run_app(app)
    assert app.sidebar.slider(key="choice.min_score").value == 0.35
    in_force = app.session_state["maskdet.preferences"]
    assert in_force.analyzer == "onepass"
    assert in_force.settings.smoothing == "latest"
    assert app.main.button(key="tune.use").disabled


def test_live_labels_as_the_scores_were_labelled() -> None:
    app = open_tune_page(classifier="tutorial", refine="false")
    assert "and its mask model" in page_texts(app)
    app.main.button(key="tune.use").click()
    run_app(app)
    in_force = app.session_state["maskdet.preferences"]
    assert in_force.classifier == DEFAULT_CLASSIFIER
    assert in_force.refine
    assert "In use: these thresholds, with **onepass**" in page_texts(app)
    assert "Image goes on with" not in page_texts(app)


def test_image_is_not_claimed_where_another_analyzer_is_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = make_page_predictions(analyzer="onepass-fast")
    monkeypatch.setattr(predictions, "load_bundled_predictions", lambda name: fast)
    app = move_slider(open_tune_page(), "min_score", 0.35)
    assert "Image goes on with **onepass**" in page_texts(app)
    app.main.button(key="tune.use").click()
    run_app(app)
    assert app.session_state["maskdet.preferences"].analyzer == AUTO
    assert [one.value for one in app.toast] == ["Live now uses these settings."]


def test_it_is_said_that_live_judges_over_time() -> None:
    assert "Live smooths labels over time" in page_texts(open_tune_page())


def test_the_link_to_share_has_what_the_sliders_say() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.35)
    assert "min_score=0.35" in app.main.code[0].value


def test_what_is_calibrated_can_neither_be_used_nor_shared() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.35)
    settings = next(one for one in app.main.download_button if "JSON" in one.label)
    assert not settings.disabled
    app.main.toggle(key="tune.calibrated").set_value(True)
    run_app(app)
    assert app.main.button(key="tune.use").disabled
    settings = next(one for one in app.main.download_button if "JSON" in one.label)
    assert settings.disabled
    assert not app.main.code
    assert "Live has no calibration" in page_texts(app)
