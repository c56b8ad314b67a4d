"""Built-in data of the Tune page: which is chosen, and the sample scenes."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import streamlit as st

from maskdet.evaluation import predictions
from maskdet.evaluation.labelled_set import import_dataset
from maskdet.evaluation.predictions import BUNDLED_ANALYZERS, load_bundled_predictions
from maskdet.types import CLASSES
from maskdet.web import session
from tests.helpers.app import run_app
from tests.helpers.tune_page import (
    APP,
    open_tune_page,
    page_texts,
    press_button,
    select_segment,
)

SCENES = Path(__file__).resolve().parents[3] / "samples" / "scenes"


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model file exists."""
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_resource.clear()


def test_the_page_opens_on_the_analyzer_of_live() -> None:
    app = open_tune_page()
    stored = app.main.selectbox(key="tune.stored")
    assert stored.value == "onepass-fast on ilc-val"
    assert "Fast on ilc-2021" in stored.options
    app.main.selectbox(key="tune.stored").set_value("onepass-fast on kaggle-val")
    run_app(app)
    # A chosen set stays when the analyzer of Live changes.
    preferences = app.session_state["maskdet.preferences"]
    changed = dataclasses.replace(preferences, analyzer="mtcnn")
    app.session_state["maskdet.preferences"] = changed
    app.session_state["maskdet.pending"] = changed
    run_app(app)
    assert app.main.selectbox(key="tune.stored").value == "mtcnn on kaggle-val"
    app.main.selectbox(key="tune.stored").set_value("haar on ilc-val")
    run_app(run_app(app))
    assert app.main.selectbox(key="tune.stored").value == "haar on ilc-val"


def test_without_predictions_of_the_analyzer_of_live_others_are_shown() -> None:
    app = open_tune_page(analyzer="haar-live")
    assert app.main.selectbox(key="tune.stored").value in predictions.list_bundled()


def test_the_gallery_shows_faces_of_the_sample_scenes() -> None:
    app = open_tune_page()
    shown = page_texts(app)
    assert "not a measure of accuracy" in shown
    assert "206 images" in shown, "the numbers are of the validation set"
    assert shown.count("data:image/jpeg;base64,") == shown.count("<figure>") == 12
    select_segment(app, "faces_of", "The data above, without images")
    shown = page_texts(app)
    assert "<figure>" in shown
    assert "data:image/jpeg" not in shown


def test_the_sample_scenes_can_be_tuned_on() -> None:
    app = open_tune_page()
    app.main.selectbox(key="tune.stored").set_value("onepass-fast on scenes")
    run_app(app)
    shown = page_texts(app)
    assert "14 images, 116 faces" in shown
    assert "Images included: composed from public-domain portraits" in shown
    assert "data:image/jpeg;base64," in shown
    assert "The data above" not in shown
    press_button(app, "Suggest settings")
    assert app.session_state["maskdet.tuning"].proposal is not None


@pytest.mark.parametrize("analyzer", BUNDLED_ANALYZERS)
def test_predictions_on_the_scenes_are_for_their_labels(analyzer: str) -> None:
    stored = load_bundled_predictions(f"{analyzer} on scenes").ground_truth
    labels = import_dataset(SCENES, "scenes").ground_truth
    assert [f"{name}.jpg" for name in stored.names] == [*labels.names]
    assert stored.labels.tolist() == labels.labels.tolist()
    np.testing.assert_allclose(stored.faces.boxes, labels.faces.boxes, atol=0.1)


def test_the_scenes_are_small_and_credited() -> None:
    coco = json.loads((SCENES / "_annotations.coco.json").read_text())
    assert len(coco["annotations"]) >= 40
    counts = Counter(row["category_id"] for row in coco["annotations"])
    assert min(counts.values()) >= 10
    assert len(counts) == len(CLASSES)
    images = {row["file_name"] for row in coco["images"]}
    assert images == {path.name for path in SCENES.glob("*.jpg")}
    assert sum(path.stat().st_size for path in SCENES.iterdir()) < 1_000_000
    credits_text = (SCENES.parent / "CREDITS.md").read_text(encoding="utf-8")
    assert "`scenes/*.jpg`" in credits_text
    assert f"{len(coco['annotations'])} faces" in credits_text
