"""The Tune page, run without a browser, on made-up predictions."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from maskdet.evaluation import predictions
from maskdet.evaluation.operating_point import Evaluator
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.class_metrics import compute_class_metrics
from maskdet.tuning.goal_search import Proposal
from maskdet.types import Label
from maskdet.web.tune.controls import _build_report
from maskdet.web.tune.gallery import FaceCard, tune_cards_html
from maskdet.web.tune.tune_state import SliderValues, TuneState, TuningSet
from maskdet.wording import PERCENT
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
def fake_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_predictions(monkeypatch)


def test_the_first_screen_explains_the_page_and_shows_metrics() -> None:
    shown = page_texts(open_tune_page())
    for words in ("choose data", "move a slider or set a goal", "apply the settings"):
        assert words in shown
    assert "60 images, 180 faces" in shown
    assert "results elsewhere may be slightly lower" in shown
    outcome = Evaluator(make_page_predictions())(Settings())
    n_detected = int((outcome.matched_detections >= 0).sum())
    assert f"{100 * n_detected / 180:.1f}{PERCENT}" in shown


def test_the_confusion_matrix_uses_the_settings_of_the_sliders() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.3)
    counts = Evaluator(make_page_predictions())(Settings(min_score=0.3)).confusion
    cells = chart_datasets(app, 1)["cells"]
    assert len(cells) == 19
    for cell in cells:
        assert cell["count"] == counts[cell["row"], cell["column"]]


def test_the_line_of_every_chart_is_at_the_threshold() -> None:
    app = open_tune_page()
    assert chart_datasets(app, 0)["lines"] == [{"threshold": 0.5}]
    for chart in ("Precision and recall", "Scores"):
        select_segment(app, "chart", chart)
        move_slider(app, "min_score", 0.7)
        assert chart_datasets(app, 0)["lines"] == [{"threshold": 0.7}]
    select_segment(app, "chart", "Confidences")
    assert chart_datasets(app, 0)["lines"] == [{"threshold": 0.6}]


@pytest.mark.parametrize("label", [None, Label.MASK, Label.NO_MASK])
def test_the_chart_names_the_threshold_with_the_highest_f1(label: Label | None) -> None:
    app = open_tune_page()
    rates_of = app.main.selectbox(key="tune.rates_label")
    # No option is None, or Streamlit would offer to clear the choice.
    assert rates_of.value == "all"
    rates_of.set_value("all" if label is None else label.key)
    run_app(app)
    [optimal] = chart_datasets(app, 0)["optimal"]
    assert f"Optimal: **{optimal['threshold']:.2f}**" in page_texts(app)
    evaluator = Evaluator(make_page_predictions())

    def f1_at(min_score: float) -> float:
        rows = compute_class_metrics(evaluator(Settings(min_score=min_score)))
        return next(row.f1.value for row in rows if row.label == label)

    best = f1_at(optimal["threshold"])
    assert all(f1_at(step / 100) <= best + 1e-9 for step in range(2, 100, 7))


def test_a_change_shows_the_affected_faces_and_can_be_undone() -> None:
    app = open_tune_page()
    assert "Move a slider" in page_texts(app)
    move_slider(app, "min_score", 0.8)
    before, after = (
        Evaluator(make_page_predictions())(Settings(min_score=min_score))
        for min_score in (0.5, 0.8)
    )
    n_hidden = len(set(before.shown_rows) - set(after.shown_rows))
    assert f"affected **{n_hidden:,}** faces" in page_texts(app)
    assert "now not shown" in page_texts(app)
    press_button(app, "Undo")
    assert app.main.slider(key="tune.min_score").value == 0.5


def test_a_cell_can_be_selected_without_a_mouse() -> None:
    app = select_segment(open_tune_page(), "gallery", "Selected cell")
    app.main.selectbox(key="tune.cell").set_value((0, 4))
    run_app(app)
    missed = Evaluator(make_page_predictions())(Settings()).faces_in_cell(0, 4)
    cards = next(
        part.value for part in app.main.get("html") if "<figure>" in part.value
    )
    assert cards.count("<figure>") == min(12, len(missed))
    assert cards.count("actual: Mask") == cards.count("<figure>")


def test_show_more_adds_twelve_faces() -> None:
    app = select_segment(open_tune_page(), "gallery", "Selected cell")
    app.main.selectbox(key="tune.cell").set_value((0, 0))
    run_app(app)
    first = page_texts(app).count("<figure>")
    app.main.button(key="tune.more").click()
    assert page_texts(run_app(app)).count("<figure>") == 2 * first == 24


@pytest.mark.parametrize("view", ["Curves", "Metrics", "Calibration", "Compare"])
def test_every_view_is_drawn_and_explained(view: str) -> None:
    app = select_segment(open_tune_page(), "view", view)
    words = {
        "Curves": "Dots: the current settings",
        "Metrics": "Performance by subset",
        "Calibration": "80\N{NO-BREAK SPACE}% is correct 8 times in 10",
        "Compare": "A face is correct if it is detected and",
    }
    assert words[view] in page_texts(app)


def test_the_views_wrap_on_a_narrow_page() -> None:
    assert open_tune_page().main.button_group(key="tune.view").proto.wrap


def test_two_analyzers_are_compared_on_the_same_set() -> None:
    app = select_segment(open_tune_page(), "view", "Compare")
    compare_with = app.main.selectbox(key="tune.compare_with")
    assert list(compare_with.options) == ["B: MTCNN (classic), same sliders"]
    # The same predictions under another name.
    assert "A and B are correct on the same faces." in page_texts(app)


def test_saved_settings_are_compared_with_at_once() -> None:
    app = select_segment(open_tune_page(), "view", "Compare")
    assert (
        app.main.selectbox(key="tune.compare_with").value
        == "B: MTCNN (classic), same sliders"
    )
    press_button(app, "Save as B")
    assert app.main.selectbox(key="tune.compare_with").value == "B: saved settings"
    assert "A and B are correct on the same faces." in page_texts(app)
    move_slider(app, "min_score", 0.9)
    assert app.main.selectbox(key="tune.compare_with").value == "B: saved settings"
    assert "**B is significantly better.**" in page_texts(app)


def test_a_goal_gives_a_suggestion_that_a_button_applies() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.9)
    app.main.button(key="tune.propose").click()
    shown = page_texts(run_app(app))
    assert "Goal: best F1 of “No mask”" in shown.replace("\\", "")
    (table,) = (
        frame.value for frame in app.main.dataframe if "Suggested" in frame.value
    )
    assert list(table.columns) == ["Metric", "Current", "Suggested"]
    assert table["Metric"][0] == "Recall"
    assert "(" in table["Suggested"][0], "with its interval"
    assert "measured on the other half" in shown
    app.main.button(key="tune.set").click()
    run_app(app)
    assert app.main.slider(key="tune.min_score").value < 0.9
    assert app.main.button(key="tune.set").disabled


def test_a_goal_that_is_out_of_reach_says_what_is_reachable_first() -> None:
    app = open_tune_page()
    app.main.selectbox(key="tune.goal").set_value("recall")
    run_app(app)
    assert app.main.number_input(key="tune.goal_recall").value == 85
    app.main.number_input(key="tune.goal_recall").set_value(99.9)
    run_app(app)
    app.main.button(key="tune.propose").click()
    shown = page_texts(run_app(app)).replace("\\", "")
    best = proposal_of(app).selection_performance.recall.value
    reachable = f"Best reachable: {100 * best:.3g}{PERCENT}"
    assert shown.index(reachable) < shown.index("Suggested")


def test_settings_that_improve_nothing_are_not_offered() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.9)
    app.main.button(key="tune.propose").click()
    run_app(app)
    app.main.button(key="tune.set").click()
    run_app(app)
    app.main.button(key="tune.propose").click()
    run_app(app)
    assert not proposal_of(app).improves
    assert "Nothing better found; the current settings stay." in page_texts(app)
    assert "tune.set" not in [button.key for button in app.main.button]


def test_only_one_button_stands_out() -> None:
    app = move_slider(open_tune_page(), "min_score", 0.9)

    def primary_keys() -> list[str | None]:
        return [
            button.key for button in app.main.button if button.proto.type == "primary"
        ]

    assert primary_keys() == ["tune.use"]
    app.main.button(key="tune.propose").click()
    run_app(app)
    assert primary_keys() == ["tune.set"]


@pytest.mark.parametrize("kind", ["recall", "cost", "equal"])
def test_other_goals_give_a_suggestion_too(kind: str) -> None:
    app = move_slider(open_tune_page(), "min_score", 0.9)
    app.main.selectbox(key="tune.goal").set_value(kind)
    run_app(app)
    app.main.button(key="tune.propose").click()
    assert "Suggested: face detection threshold" in page_texts(run_app(app))


def test_the_sliders_follow_the_settings_in_use_and_a_link() -> None:
    app = open_tune_page(min_score="0.4", min_face_px="300")
    assert app.main.slider(key="tune.min_score").value == 0.4
    assert app.main.slider(key="tune.min_face_px").value == 300
    run_app(app.switch_page("pages/image.py"))
    app.sidebar.slider(key="choice.min_confidence").set_value(0.8)
    run_app(app)
    run_app(app.switch_page("pages/tune.py"))
    assert app.main.slider(key="tune.min_confidence").value == 0.8


def test_calibration_changes_confidences_and_not_classes() -> None:
    app = move_slider(open_tune_page(), "min_confidence", 0.0)
    before = chart_datasets(app, 1)["cells"]
    app.main.toggle(key="tune.calibrated").set_value(True)
    run_app(app)
    assert chart_datasets(app, 1)["cells"] == before
    tuning_set = TuningSet(Evaluator(make_page_predictions()))
    sliders = SliderValues(Settings())
    calibrated_sliders = dataclasses.replace(sliders, calibrated=True)
    raw = tuning_set.evaluate(sliders).confidences
    calibrated = tuning_set.evaluate(calibrated_sliders).confidences
    assert not np.allclose(raw, calibrated)


def test_a_goal_uses_uncalibrated_confidences() -> None:
    app = open_tune_page()
    app.main.button(key="tune.propose").click()
    first = proposal_of(run_app(app))
    assert "Confidences are not calibrated" in page_texts(app)
    app.main.toggle(key="tune.calibrated").set_value(True)
    run_app(app)
    app.main.button(key="tune.propose").click()
    again = proposal_of(run_app(app))
    assert again is not first
    assert again.to_json() == first.to_json()


def proposal_of(app: AppTest) -> Proposal:
    proposal = app.session_state["maskdet.tuning"].proposal
    assert isinstance(proposal, Proposal)
    return proposal


def test_without_built_in_data_a_line_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(predictions, "list_bundled", lambda: ())
    assert "choose “My dataset” or “Label images”" in page_texts(open_tune_page())


def test_a_broken_stored_file_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> None:
        raise ValueError("village.onepass.npz is broken")

    monkeypatch.setattr(predictions, "load_bundled_predictions", broken)
    assert "is broken" in page_texts(open_tune_page()).replace("\\", "")


def test_two_visitors_have_separate_states() -> None:
    first, other = open_tune_page(), open_tune_page()
    move_slider(first, "min_score", 0.8)
    run_app(other)
    assert other.main.slider(key="tune.min_score").value == 0.5


def test_no_chart_contains_nan() -> None:
    app = open_tune_page()
    for view in ("Confusion matrix", "Curves", "Metrics", "Calibration"):
        select_segment(app, "view", view)
        for chart in app.main.get("vega_lite_chart"):
            assert "NaN" not in json.dumps(json.loads(chart.proto.spec))


def test_the_report_has_the_settings_of_the_sliders() -> None:
    state = TuneState(SliderValues(Settings(min_score=0.37)), Settings())
    page = _build_report(state, TuningSet(Evaluator(make_page_predictions())))
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "0.37" in page
    assert "onepass on village" in page
    assert "Live smooths labels over time" in page


def test_dropping_a_set_keeps_the_others() -> None:
    tuning_set = TuningSet(Evaluator(make_page_predictions()))
    state = TuneState(SliderValues(Settings()), Settings())
    state.tuning_sets = {"abc onepass": tuning_set, "onepass on village": tuning_set}
    state.drop_set("abc")
    assert list(state.tuning_sets) == ["onepass on village"]


def test_results_are_cached() -> None:
    tuning_set = TuningSet(Evaluator(make_page_predictions()))
    sliders = SliderValues(Settings())
    assert tuning_set.evaluate(sliders) is tuning_set.evaluate(SliderValues(Settings()))


def test_html_in_file_names_is_escaped() -> None:
    ground_truth = make_labelled_set(2)
    names = ("<b>x</b>.jpg", "1.jpg")
    tuning_set = TuningSet(
        Evaluator(make_page_predictions(dataclasses.replace(ground_truth, names=names)))
    )
    outcome = tuning_set.evaluate(SliderValues(Settings()))
    faces = [
        outcome.shown_face(position) for position in range(len(outcome.shown_rows))
    ]
    html = tune_cards_html(
        tuning_set, outcome, [FaceCard(face) for face in faces], Style()
    )
    assert "<b>x</b>" not in html
    assert "&lt;b&gt;x&lt;/b&gt;.jpg" in html
