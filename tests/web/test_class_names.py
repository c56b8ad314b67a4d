"""Custom class names on the Tune and Models pages, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import FileUploader

from maskdet.evaluation import comparison, training_runs
from maskdet.evaluation.comparison import format_comparison
from maskdet.evaluation.operating_point import Evaluator
from maskdet.serving.preferences import Preferences
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.annotation import Draft, DraftFace, DraftImage
from maskdet.types import Label
from maskdet.web import session
from maskdet.web.tune.controls import _build_report
from maskdet.web.tune.tune_state import SliderValues, TuneState, TuningSet
from maskdet.wording import PERCENT
from tests.helpers.analyzer_results import make_analyzer_results
from tests.helpers.app import APP, open_page, run_app
from tests.helpers.training_runs import write_training_run
from tests.helpers.tune_page import (
    chart_datasets,
    move_slider,
    open_tune_page,
    select_segment,
    use_fake_predictions,
)
from tests.helpers.tune_predictions import make_page_predictions
from tests.helpers.zipped_datasets import make_jpeg, make_zip

CLASSES = {"mask": "口罩", "no_mask": "St. Mary's", "incorrect": "Sloppy"}
NAMES = {**CLASSES, "unknown": "Hm"}
CLASS_NAMES_JSON = json.dumps(NAMES)

USUAL = re.compile(r"(No mask|Incorrect|Unsure)\b|“Mask”|\"Mask\"|: mask\b(?!,)")
"""The default names, except within other terms such as "Classifiers"."""


def shown(app: AppTest) -> str:
    """Return all texts of the page; check that they have no default name."""
    parts = [
        _unescaped(part.proto.SerializeToString().decode(errors="replace"))
        for part in app.main
        if hasattr(part.proto, "SerializeToString")
    ]
    for part in parts:
        assert not USUAL.search(part), part
    return "\n".join(parts)


def _unescaped(text: str) -> str:
    """Return text without the escapes of JSON and Markdown."""
    text = re.sub(r"\\u([0-9a-f]{4})", lambda match: chr(int(match[1], 16)), text)
    return text.replace("\\", "")


@pytest.fixture
def tune(monkeypatch: pytest.MonkeyPatch) -> AppTest:
    use_fake_predictions(monkeypatch)
    return open_tune_page(class_names=CLASS_NAMES_JSON)


def test_the_first_screen_of_tune_uses_custom_names(tune: AppTest) -> None:
    text = shown(tune)
    for words in ("labelled “Hm”", "“St. Mary&#39;s” recall", " 口罩, ", " Sloppy"):
        assert words in text
    cells = chart_datasets(tune, 1)["cells"]
    assert {row["predicted"] for row in cells} == {*NAMES.values(), "Missed"}
    assert {row["actual"] for row in cells} == {*CLASSES.values(), "No face"}
    select_segment(tune, "chart", "Confidences")
    assert "“Hm”" in shown(tune)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ("Curves", "Sloppy"),
        ("Metrics", "Sloppy"),
        ("Calibration", "Two thresholds on the probability of “St. Mary's”"),
        ("Compare", "口罩"),
    ],
)
def test_every_view_of_tune_uses_custom_names(
    tune: AppTest, view: str, words: str
) -> None:
    assert words in shown(select_segment(tune, "view", view))


def test_faces_and_cells_use_custom_names(tune: AppTest) -> None:
    select_segment(tune, "gallery", "Selected cell")
    tune.main.selectbox(key="tune.cell").set_value((0, 3))
    text = shown(run_app(tune))
    assert "口罩: predicted “Hm”" in text
    assert "<b>Hm <small>· actual: 口罩</small></b>" in text
    assert "St. Mary&#39;s" in text
    select_segment(tune, "gallery", "Last change")
    assert "was “Hm”, now" in shown(move_slider(tune, "min_confidence", 0.0))


def test_a_goal_and_its_result_use_custom_names(tune: AppTest) -> None:
    tune.main.selectbox(key="tune.goal").set_value("recall")
    run_app(tune)
    assert tune.main.selectbox(key="tune.goal_label").options == [
        "“St. Mary's”",
        "“口罩”",
        "“Sloppy”",
    ]
    tune.main.button(key="tune.propose").click()
    text = shown(run_app(tune))
    assert f"Goal: recall of “St. Mary's” at least 85{PERCENT}" in text
    assert "with “St. Mary's”), with 95\N{NO-BREAK SPACE}% intervals" in text
    tables = [frame.value for frame in tune.main.dataframe]
    (metrics,) = (table["Metric"] for table in tables if "Suggested" in table)
    assert "Hm" in set(metrics)


def test_the_class_mapping_of_a_dataset_uses_custom_names(tune: AppTest) -> None:
    select_segment(tune, "source", "My dataset")
    place = next(one for one in tune.main if one.type == "file_uploader")
    assert isinstance(place, FileUploader)
    content = make_zip(
        {f"set/{name}/a.jpg": make_jpeg(n) for n, name in enumerate("ab")}
    )
    place.set_value(("set.zip", content, "application/zip"))
    run_app(tune)
    assert tune.main.selectbox[0].options[:3] == ["口罩", "St. Mary's", "Sloppy"]
    shown(tune)


def test_annotation_uses_custom_names(tune: AppTest) -> None:
    face = DraftFace((5, 5, 40, 40), Label.MASK, 0.8, 0.9)
    desk = tune.session_state["maskdet.tuning"]
    desk.draft = Draft((DraftImage("a.jpg", make_jpeg(), (90, 80), (face,)),))
    text = shown(select_segment(tune, "source", "Label images"))
    for words in ("口罩", "St. Mary's", "Sloppy"):
        assert words in text
    # The form of missed faces is drawn only while it is open.
    tune.session_state["tune.missed"] = True
    assert "Add “口罩”" in shown(run_app(tune))


def test_the_tune_report_uses_custom_names(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Preferences(style=Style(class_names=NAMES))
    monkeypatch.setattr(session, "get_preferences", lambda: own)
    page = _build_report(
        TuneState(SliderValues(Settings()), Settings()),
        TuningSet(Evaluator(make_page_predictions())),
    )
    assert "口罩" in page
    assert ">No mask<" not in page


def test_custom_names_belong_to_one_visitor(tune: AppTest) -> None:
    other = "".join(str(one.value) for one in open_tune_page().main.get("html"))
    assert "“No mask” recall" in other
    shown(run_app(tune))


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    path = tmp_path / "analyzers.json"
    path.write_text(format_comparison(make_analyzer_results("mtcnn", "yunet")))
    monkeypatch.setattr(comparison, "COMPARISON_FILE", path)
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path / "runs")
    monkeypatch.setattr(session, "model_path", lambda name: APP)
    st.cache_data.clear()
    write_training_run(tmp_path / "runs", "published", n_wrong=5)
    return open_page("models", class_names=CLASS_NAMES_JSON)


def test_the_analyzer_comparison_uses_custom_names(models: AppTest) -> None:
    headings = {group for group, _ in models.main.dataframe[0].value.columns}
    assert {"kaggle-853: 口罩", "kaggle-853: sloppy"} <= headings
    against = models.main.button_group(key="models.metric.ap")
    against.set_value("incorrect")
    shown(run_app(models))
    (chart, *_) = models.main.get("vega_lite_chart")
    assert '"Sloppy' in chart.proto.spec


def test_the_classifier_comparison_uses_custom_names(models: AppTest) -> None:
    models.main.button_group(key="models.section").set_value("Classifiers")
    text = shown(run_app(models))
    assert "“口罩” predicted as “St. Mary's”" in text
    charts = [part.proto.spec for part in models.main.get("vega_lite_chart")]
    drawn = [one for one in charts if "Sloppy" in one]
    # the matrix, ROC, and precision and recall
    assert len(drawn) == 3
    for chart in drawn:
        assert "St. Mary's" in chart
