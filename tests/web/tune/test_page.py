"""The Tune page, run without a browser, on made-up scores."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning import predictions
from maskdet.tuning.goal_search import Proposal
from maskdet.tuning.operating_point import Evaluator
from maskdet.web.tune.controls import _build_report
from maskdet.web.tune.gallery import FaceCard, face_cards_html
from maskdet.web.tune.tune_state import SliderValues, TuneState, TuningSet
from tests.helpers.app import run_app
from tests.helpers.tune_page import (
    chart_datasets,
    move_slider,
    open_tune_page,
    page_texts,
    press_button,
    select_segment,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import make_labelled_set, make_page_predictions


@pytest.fixture(autouse=True)
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_predictions(monkeypatch)


def test_the_first_screen_says_what_to_do_and_has_numbers() -> None:
    shown = page_texts(open_tune_page())
    for words in ("choose data", "move a slider or ask for a goal", "use it on Live"):
        assert words in shown
    assert "60 images, 180 faces" in shown
    assert "were chosen on them: expect a little less elsewhere" in shown
    outcome = Evaluator(make_page_predictions())(Settings())
    found = int((outcome.matched_detections >= 0).sum())
    assert f"{100 * found / 180:.1f} %" in shown


def test_the_matrix_counts_what_the_sliders_show() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.3)
    counts = Evaluator(make_page_predictions())(Settings(min_score=0.3)).confusion
    cells = chart_datasets(app, 1)["cells"]
    assert len(cells) == 19
    for cell in cells:
        assert cell["count"] == counts[cell["row"], cell["column"]]


def test_the_line_stands_where_the_slider_does() -> None:
    app = open_tune_page()
    assert chart_datasets(app, 0)["lines"] == [{"threshold": 0.5}]
    assert chart_datasets(move_slider(app, "min_score", 0.7), 0)["lines"] == [
        {"threshold": 0.7}
    ]
    select_segment(app, "what", "confidence")
    assert chart_datasets(app, 0)["lines"] == [{"threshold": 0.6}]


def test_a_move_shows_the_faces_it_flips_and_can_be_undone() -> None:
    app = open_tune_page()
    assert "Move a slider" in page_texts(app)
    move_slider(app, "min_score", 0.8)
    before, after = (
        Evaluator(make_page_predictions())(Settings(min_score=at)) for at in (0.5, 0.8)
    )
    gone = len(set(before.shown_rows) - set(after.shown_rows))
    assert f"flipped **{gone:,}** faces" in page_texts(app)
    assert "now not shown" in page_texts(app)
    press_button(app, "Undo")
    assert app.main.slider(key="tune.min_score").value == 0.5


def test_a_cell_is_chosen_without_a_mouse() -> None:
    app = select_segment(open_tune_page(), "shown", "A cell")
    app.main.selectbox(key="tune.cell").set_value((0, 4))
    run_app(app)
    missed = Evaluator(make_page_predictions())(Settings()).faces_in_cell(0, 4)
    cards = next(one.value for one in app.main.get("html") if "<figure>" in one.value)
    assert cards.count("<figure>") == min(12, len(missed))
    assert cards.count("truth: Mask") == cards.count("<figure>")


def test_more_faces_are_shown_when_asked_for() -> None:
    app = select_segment(open_tune_page(), "shown", "A cell")
    app.main.selectbox(key="tune.cell").set_value((0, 0))
    run_app(app)
    first = page_texts(app).count("<figure>")
    app.main.button(key="tune.more").click()
    assert page_texts(run_app(app)).count("<figure>") == 2 * first == 24


@pytest.mark.parametrize("view", ["Curves", "Numbers", "How sure", "Compare"])
def test_every_view_is_drawn_and_says_what_it_tells(view: str) -> None:
    app = select_segment(open_tune_page(), "view", view)
    words = {
        "Curves": "The dots are your sliders",
        "Numbers": "Which faces are harder",
        "How sure": "80 % is right 8 times in 10",
        "Compare": "What does each get right that the other",
    }
    assert words[view] in page_texts(app)


def test_two_analyzers_are_compared_on_the_same_set() -> None:
    app = select_segment(open_tune_page(), "view", "Compare")
    against = app.main.selectbox(key="tune.against")
    assert list(against.options) == ["B: mtcnn, same sliders"]
    # The same scores under another name.
    assert "Both get the same faces right." in page_texts(app)


def test_what_was_kept_is_compared_with() -> None:
    app = press_button(open_tune_page(), "Keep as B")
    move_slider(app, "min_score", 0.9)
    select_segment(app, "view", "Compare")
    assert app.main.selectbox(key="tune.against").value == "B: what I kept"
    assert "**B gets more right**, by more than chance" in page_texts(app)


def test_a_goal_is_answered_with_its_price_and_set_by_a_button() -> None:
    app = open_tune_page()
    app.main.button(key="tune.propose").click()
    shown = page_texts(run_app(app))
    assert "Goal: recall of “No mask” at least 95 %" in shown.replace("\\", "")
    assert "these numbers are of the other half" in shown
    before = app.main.slider(key="tune.min_confidence").value
    app.main.button(key="tune.set").click()
    run_app(app)
    assert app.main.slider(key="tune.min_confidence").value != before
    assert app.main.button(key="tune.set").disabled


@pytest.mark.parametrize("kind", ["f1", "cost", "equal"])
def test_other_goals_are_answered_too(kind: str) -> None:
    app = open_tune_page()
    app.main.selectbox(key="tune.goal").set_value(kind)
    run_app(app)
    app.main.button(key="tune.propose").click()
    assert "Proposed: detection score" in page_texts(run_app(app))


def test_the_sliders_follow_the_sidebar_and_a_link() -> None:
    app = open_tune_page(min_score="0.4", min_face_px="300")
    assert app.main.slider(key="tune.min_score").value == 0.4
    assert app.main.slider(key="tune.min_face_px").value == 300
    app.sidebar.slider(key="choice.min_confidence").set_value(0.8)
    run_app(app)
    assert app.main.slider(key="tune.min_confidence").value == 0.8


def test_calibration_changes_how_sure_faces_are_and_not_what_they_are_called() -> None:
    app = move_slider(open_tune_page(), "min_confidence", 0.0)
    before = chart_datasets(app, 1)["cells"]
    app.main.toggle(key="tune.calibrated").set_value(True)
    run_app(app)
    assert chart_datasets(app, 1)["cells"] == before
    material, choice = (
        TuningSet(Evaluator(make_page_predictions())),
        SliderValues(Settings()),
    )
    likeliest = material.evaluate(choice).confidences
    softer = material.evaluate(dataclasses.replace(choice, calibrated=True)).confidences
    assert not np.allclose(likeliest, softer)


def test_a_goal_goes_by_confidences_as_they_are() -> None:
    app = open_tune_page()
    app.main.button(key="tune.propose").click()
    plain = proposal_of(run_app(app))
    assert "Confidences are as they are, not calibrated" in page_texts(app)
    app.main.toggle(key="tune.calibrated").set_value(True)
    run_app(app)
    app.main.button(key="tune.propose").click()
    again = proposal_of(run_app(app))
    assert again is not plain
    assert again.to_json() == plain.to_json()


def proposal_of(app: AppTest) -> Proposal:
    proposal = app.session_state["maskdet.tuning"].proposal
    assert isinstance(proposal, Proposal)
    return proposal


def test_without_stored_scores_a_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "list_bundled", lambda: ())
    assert "choose a labelled set of your own" in page_texts(open_tune_page())


def test_a_broken_stored_file_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> None:
        raise ValueError("village.onepass.npz is broken")

    monkeypatch.setattr(predictions, "load_bundled_predictions", broken)
    assert "is broken" in page_texts(open_tune_page()).replace("\\", "")


def test_two_visitors_do_not_share_a_desk() -> None:
    one, other = open_tune_page(), open_tune_page()
    move_slider(one, "min_score", 0.8)
    run_app(other)
    assert other.main.slider(key="tune.min_score").value == 0.5


def test_no_chart_holds_what_json_cannot_say() -> None:
    app = open_tune_page()
    for view in ("Right and wrong", "Curves", "Numbers", "How sure"):
        select_segment(app, "view", view)
        for chart in app.main.get("vega_lite_chart"):
            assert "NaN" not in json.dumps(json.loads(chart.proto.spec))


def test_the_report_is_of_what_the_sliders_say() -> None:
    desk = TuneState(SliderValues(Settings(min_score=0.37)), Settings())
    page = _build_report(desk, TuningSet(Evaluator(make_page_predictions())))
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "0.37" in page
    assert "onepass on village" in page
    assert "Live smooths labels over time" in page


def test_a_desk_lets_go_of_a_set_and_keeps_the_others() -> None:
    material = TuningSet(Evaluator(make_page_predictions()))
    desk = TuneState(SliderValues(Settings()), Settings())
    desk.tuning_sets = {"abc onepass": material, "onepass on village": material}
    desk.drop_set("abc")
    assert list(desk.tuning_sets) == ["onepass on village"]


def test_what_was_worked_out_is_not_worked_out_again() -> None:
    material = TuningSet(Evaluator(make_page_predictions()))
    choice = SliderValues(Settings())
    assert material.evaluate(choice) is material.evaluate(SliderValues(Settings()))


def test_names_of_pictures_cannot_bring_html_in() -> None:
    true = make_labelled_set(2)
    names = ("<b>x</b>.jpg", "1.jpg")
    material = TuningSet(
        Evaluator(make_page_predictions(dataclasses.replace(true, names=names)))
    )
    outcome = material.evaluate(SliderValues(Settings()))
    hits = [outcome.shown_face(place) for place in range(len(outcome.shown_rows))]
    html = face_cards_html(material, outcome, [FaceCard(hit) for hit in hits], Style())
    assert "<b>x</b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;.jpg" in html
