"""Labelling images on the Tune page, without a browser."""

from __future__ import annotations

import numpy as np
import pytest
import streamlit as st

from maskdet.media import read_image
from maskdet.settings import Settings
from maskdet.tuning.annotation import Draft, create_draft
from maskdet.types import Label
from maskdet.web.tune import annotation
from maskdet.web.tune.tune_state import SliderValues, TuneState
from tests.helpers.app import component_data, run_app
from tests.helpers.fakes import ScriptedAnalyzer, ScriptedFace
from tests.helpers.tune_page import (
    open_tune_page,
    page_texts,
    press_button,
    select_segment,
    use_fake_predictions,
)
from tests.helpers.zipped_datasets import make_jpeg

CONFIDENT = ScriptedFace((10, 10, 40, 50), (0.95, 0.03, 0.02), score=0.9)
UNSURE = ScriptedFace((50, 10, 80, 50), (0.3, 0.45, 0.25), score=0.8)


def make_draft(n: int = 2) -> Draft:
    """Return a draft with two faces in each image."""
    analyzer = ScriptedAnalyzer(lambda _: [CONFIDENT, UNSURE])
    return create_draft([(f"{i}.jpg", make_jpeg(i)) for i in range(n)], analyzer)


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> TuneState:
    monkeypatch.setattr(st, "session_state", {})
    state = TuneState(SliderValues(Settings()), Settings())
    state.draft = make_draft()
    return state


def shown_face(state: TuneState) -> tuple[int, int] | None:
    assert state.draft is not None
    return annotation._current_face(state, state.draft)


def label_face(state: TuneState, face: tuple[int, int], label: str) -> None:
    annotation._on_label(state, {"face": list(face), "label": label})


def test_the_most_uncertain_face_is_shown_until_it_is_labelled(
    state: TuneState,
) -> None:
    assert shown_face(state) == (0, 1)
    label_face(state, (0, 1), "incorrect")
    assert state.draft is not None
    face = state.draft.images[0].faces[1]
    assert face.confirmed
    assert face.label is Label.INCORRECT
    assert shown_face(state) == (1, 1)
    label_face(state, (1, 1), "")
    assert len(state.draft.images[1].faces) == 1
    assert shown_face(state) == (0, 0)


def test_a_step_for_a_face_that_is_gone_changes_nothing(state: TuneState) -> None:
    before = state.draft
    for step in (None, {"face": [0, 7], "label": "mask"}):
        annotation._on_label(state, step)
    assert state.draft is before


def test_the_arrow_keys_visit_every_face(state: TuneState) -> None:
    draft = state.draft
    assert draft is not None
    visited = []
    for _ in range(4):
        face = shown_face(state)
        assert face is not None
        visited.append(face)
        annotation._on_move(state, draft, face, 1)
    assert len({*visited}) == 4
    assert shown_face(state) == visited[0]
    annotation._on_move(state, draft, visited[0], -1)
    assert shown_face(state) == visited[-1]


def test_every_step_can_be_undone(state: TuneState) -> None:
    first = state.draft
    label_face(state, (0, 1), "mask")
    annotation._confirm_all(state)
    assert state.draft is not None
    assert not state.draft.rank_unconfirmed()
    annotation._undo(state)
    annotation._undo(state)
    assert state.draft is first
    assert shown_face(state) == (0, 1)
    annotation._undo(state)
    assert state.draft is first


def test_every_step_gives_the_browser_other_data(state: TuneState) -> None:
    draft = state.draft
    assert draft is not None
    steps = [state.label_steps]
    for step in (
        lambda: label_face(state, (0, 1), "mask"),
        lambda: label_face(state, (0, 9), "mask"),
        lambda: annotation._on_move(state, draft, (0, 0), 4),
        lambda: annotation._undo(state),
        lambda: annotation._undo(state),
    ):
        step()
        steps.append(state.label_steps)
    assert len({*steps}) == len(steps)


def test_the_history_is_limited(state: TuneState) -> None:
    for _ in range(annotation._MAX_UNDO + 5):
        label_face(state, (0, 1), "mask")
    assert len(state.draft_history) == annotation._MAX_UNDO


def test_the_surroundings_keep_the_place_of_the_face() -> None:
    image = np.full((200, 300, 3), 40, np.uint8)
    image[80:120, 100:140] = (0, 0, 250)
    for box in ((100, 80, 140, 120), (0, 0, 30, 40), (260, 150, 300, 200)):
        jpeg, (left, top, width, height) = annotation.crop_surroundings(
            image, np.array(box, np.float32)
        )
        part = read_image(jpeg)
        assert max(part.shape[:2]) == annotation._SURROUNDINGS_PX
        assert 0 <= left < left + width <= 1.001
        assert 0 <= top < top + height <= 1.001
        rows, columns = part.shape[:2]
        # The box keeps its shape.
        ratio = (width * columns) / (height * rows)
        assert ratio == pytest.approx((box[2] - box[0]) / (box[3] - box[1]), rel=0.05)
    jpeg, (left, top, width, height) = annotation.crop_surroundings(
        image, np.array((100, 80, 140, 120), np.float32)
    )
    part = read_image(jpeg)
    rows, columns = part.shape[:2]
    inside = part[
        int((top + 0.1 * height) * rows) : int((top + 0.9 * height) * rows),
        int((left + 0.1 * width) * columns) : int((left + 0.9 * width) * columns),
    ]
    assert inside[..., 2].min() > 200
    assert part[0, 0, 2] < 80


def test_the_image_of_a_missed_face_is_encoded_only_while_it_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use_fake_predictions(monkeypatch)
    app = select_segment(open_tune_page(), "source", "Label images")
    app.session_state["maskdet.tuning"].draft = make_draft()
    run_app(app)
    assert not app.main.get("vega_lite_chart")
    app.session_state["tune.missed"] = True
    run_app(app)
    assert len(app.main.get("vega_lite_chart")) == 1


@pytest.mark.parametrize(("n_images", "enabled"), [(4, False), (5, True)])
def test_tuning_on_labels_needs_ten_confirmed_faces(
    monkeypatch: pytest.MonkeyPatch, n_images: int, enabled: bool
) -> None:
    use_fake_predictions(monkeypatch)
    app = select_segment(open_tune_page(), "source", "Label images")
    state = app.session_state["maskdet.tuning"]
    state.draft = make_draft(n_images)
    run_app(app)
    assert component_data(app, "labeller")["place"] == "Face 2 of 2 in 0.jpg"
    assert "Confirm 10 more faces" in page_texts(app)
    press_button(app, f"Confirm all {2 * n_images}")
    button = app.main.button(key="tune.on_labels")
    assert button.disabled != enabled
    if not enabled:
        assert "Confirm 2 more faces" in page_texts(app)
        return
    press_button(app, "Tune on these labels")
    primary = [
        button.label for button in app.main.button if button.proto.type == "primary"
    ]
    assert primary == ["Run on 5 images"]
