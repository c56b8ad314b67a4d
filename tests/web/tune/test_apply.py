"""Applying settings of the Tune page to Live and Image, without a browser."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from maskdet.analyzers.pipelines import AUTO
from maskdet.classifier import DEFAULT_CLASSIFIER
from maskdet.evaluation import predictions
from tests.helpers.app import run_app
from tests.helpers.tune_page import (
    move_slider,
    open_tune_page,
    page_texts,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import make_page_predictions


@pytest.fixture(autouse=True)
def fake_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_predictions(monkeypatch)


def press_use(app: AppTest) -> AppTest:
    app.main.button(key="tune.use").click()
    return run_app(app)


def test_live_uses_the_sliders_only_after_use_on_live_is_pressed() -> None:
    app = open_tune_page(smoothing="latest", analyzer="onepass")
    move_slider(app, "min_score", 0.35)
    assert "Changes the thresholds only." in page_texts(app)
    assert app.session_state["maskdet.preferences"].settings.min_score == 0.5
    press_use(app)
    applied = app.session_state["maskdet.preferences"]
    assert applied.settings.min_score == 0.35
    assert applied.settings.smoothing == "latest"
    assert app.main.button(key="tune.use").disabled
    assert "In use: these thresholds, with **Accurate**" in page_texts(app)


def test_the_analyzer_changes_only_after_a_question() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.35)
    before = app.session_state["maskdet.preferences"]
    press_use(app)
    assert app.session_state["maskdet.preferences"] == before
    question = "\n".join(part.value for part in app.markdown)
    assert "from **Fast** to **Accurate**: **slower**" in question
    app.button(key="tune.cancel").click()
    run_app(app)
    assert app.session_state["maskdet.preferences"] == before
    press_use(app)
    app.button(key="tune.confirm").click()
    run_app(app)
    applied = app.session_state["maskdet.preferences"]
    assert applied.analyzer == "onepass"
    assert applied.settings.min_score == 0.35


def test_live_gets_the_classifier_of_the_stored_predictions_after_a_question() -> None:
    app = open_tune_page(classifier="tutorial", refine="false", analyzer="onepass")
    assert "Also changes the models" in page_texts(app)
    press_use(app)
    question = "\n".join(part.value for part in app.markdown)
    assert "the classifier, from **tutorial**" in question
    assert "refinement is switched on" in question
    assert "the analyzer of" not in question
    app.button(key="tune.confirm").click()
    run_app(app)
    applied = app.session_state["maskdet.preferences"]
    assert applied.classifier == DEFAULT_CLASSIFIER
    assert applied.refine
    assert "In use: these thresholds, with **Accurate**" in page_texts(app)
    assert "Image keeps" not in page_texts(app)


def test_the_toast_names_live_only_if_image_uses_another_analyzer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast = make_page_predictions(analyzer="onepass-fast")
    monkeypatch.setattr(predictions, "load_bundled_predictions", lambda name: fast)
    app = move_slider(open_tune_page(), "min_score", 0.35)
    assert "Image keeps **Accurate**" in page_texts(app)
    press_use(app)
    assert app.session_state["maskdet.preferences"].analyzer == AUTO
    assert [toast.value for toast in app.toast] == ["Live now uses these settings."]


def test_the_page_says_that_live_smooths_over_time() -> None:
    assert "Live smooths labels over time" in page_texts(open_tune_page())


def test_the_link_has_the_values_of_the_sliders() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.35)
    assert "min_score=0.35" in app.main.code[0].value


def test_calibrated_settings_can_be_neither_applied_nor_exported() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.35)
    settings = next(
        button for button in app.main.download_button if "JSON" in button.label
    )
    assert not settings.disabled
    app.main.toggle(key="tune.calibrated").set_value(True)
    run_app(app)
    assert app.main.button(key="tune.use").disabled
    settings = next(
        button for button in app.main.download_button if "JSON" in button.label
    )
    assert settings.disabled
    assert not app.main.code
    assert "Live does not calibrate confidences" in page_texts(app)
