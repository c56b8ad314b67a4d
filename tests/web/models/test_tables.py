"""Training runs, tables and charts of the Models page."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st

from maskdet.evaluation import training_runs
from maskdet.evaluation.training_runs import EVALUATION_SETS
from maskdet.metrics.intervals import Estimate, proportion
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES, Label, Scene
from maskdet.web.models import classifiers, tables
from maskdet.web.models.charts import (
    COST_FACT_TITLES,
    cost_comparison_chart,
    run_charts,
)
from maskdet.web.models.classifiers import SAMPLE_FACES, classify_samples
from maskdet.web.models.tables import (
    MEASURE_HELP,
    MEASURE_TITLES,
    SET_TITLES,
    RunCatalog,
    compute_measure,
    describe_mistakes,
    format_percent_interval,
    has_bundled_weights,
    load_run_catalog,
    run_estimates_csv,
    run_table,
    to_percent,
)
from maskdet.web.widgets import IMAGE_SAMPLES, scene_cards_html
from tests.helpers.fakes import FakeClassifier
from tests.helpers.training_runs import (
    FACTS,
    LARGE_FACTS,
    make_predictions,
    write_training_run,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, one of them without weights."""
    st.cache_data.clear()
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path)
    write_training_run(tmp_path)
    write_training_run(tmp_path, "custom-cnn", LARGE_FACTS, n_wrong=9)
    return tmp_path


def test_runs_are_read_with_our_own_first(folder: Path) -> None:
    catalog = load_run_catalog()
    assert list(catalog.runs) == ["maskdet", "custom-cnn"]
    assert catalog.problems == ()
    assert has_bundled_weights(catalog.runs["maskdet"])
    assert not has_bundled_weights(catalog.runs["custom-cnn"])
    assert tables.training_command(catalog.runs["maskdet"]).startswith("maskdet train")


def test_a_changed_file_is_read_again(folder: Path) -> None:
    before = load_run_catalog()
    assert load_run_catalog().stamp == before.stamp
    (folder / "maskdet" / "card.md").write_text("# Another card, longer than that\n")
    assert load_run_catalog().runs["maskdet"].card.startswith("# Another card")


def test_a_missing_folder_gives_no_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path / "none")
    assert (dict(load_run_catalog().runs), load_run_catalog().problems) == ({}, ())


def _without(*names: str) -> str:
    return json.dumps({key: FACTS[key] for key in FACTS if key not in names})


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("facts.json", "{", "cannot read the run"),
        ("facts.json", "[1]", "facts.json must hold a JSON object"),
        ("facts.json", _without("title"), "title in facts.json must be a text"),
        (
            "facts.json",
            _without("bytes"),
            "bytes in facts.json must be a number, not 'missing'",
        ),
        (
            "facts.json",
            json.dumps({**FACTS, "one_face_ms": "1"}),
            "one_face_ms in facts.json must",
        ),
        ("log.csv", None, "its log.csv is missing"),
        ("log.csv", "epoch,loss\n1,much\n", "cannot read the run"),
        ("answers.npz", None, "`maskdet export` writes the predictions"),
        ("answers.npz", "no zip", "cannot read predictions"),
        ("card.md", None, "its card.md is missing"),
    ],
)
def test_a_broken_run_gives_one_line_and_the_others_are_shown(
    folder: Path, file: str, content: str | None, line: str
) -> None:
    path = folder / "custom-cnn" / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    catalog = load_run_catalog()
    assert list(catalog.runs) == ["maskdet"]
    assert len(catalog.problems) == 1
    assert catalog.problems[0].startswith("Training run custom-cnn cannot be shown: ")
    assert line in catalog.problems[0]
    assert str(folder) not in catalog.problems[0]
    assert "\n" not in catalog.problems[0]


def test_every_dataset_and_metric_has_a_title() -> None:
    assert set(SET_TITLES) == set(EVALUATION_SETS)
    assert set(MEASURE_HELP) == set(MEASURE_TITLES)


def test_the_three_metrics_of_a_dataset() -> None:
    # Of 10 faces of each class, a mask is predicted as no mask, and no mask as
    # incorrectly worn.
    predictions = make_predictions(n_wrong=2, n=30)
    assert compute_measure(predictions, "mask_vs_no_mask") == proportion(28, 30)
    assert compute_measure(predictions, "no_mask_recall") == proportion(9, 10)
    balanced = compute_measure(predictions, "balanced_accuracy")
    assert balanced.value == pytest.approx((0.9 + 0.9 + 1) / 3)


def test_an_estimate_is_formatted_in_percent_with_its_interval() -> None:
    assert to_percent(Estimate(0.975, 0.956, 0.986, 1474)) == pytest.approx(97.5)
    assert (
        format_percent_interval(Estimate(0.975, 0.956, 0.986, 1474)) == "95.6 to 98.6"
    )
    missing = Estimate(math.nan, math.nan, math.nan, 0)
    assert (to_percent(missing), format_percent_interval(missing)) == (None, None)
    assert (to_percent(None), format_percent_interval(None)) == (None, None)


def test_the_table_has_costs_and_metrics_of_each_run(folder: Path) -> None:
    columns = run_table(
        load_run_catalog(), "mask_vs_no_mask", in_use="maskdet", usable=["maskdet"]
    )
    assert columns["", "Model"] == ["maskdet", "custom-cnn"]
    assert columns["", "Status"] == ["active", "metrics only"]
    assert columns["Cost", "Parameters (M)"] == [2.262979, 92.0]
    assert columns["Cost", "File (MB)"] == [4.517656, 368.0]
    assert columns["Cost", "1 face (ms)"] == [1.1, None]
    assert columns["Cost", "1 of 4 faces (ms)"] == [0.9, None]
    assert columns["Faces test", "%"][0] == pytest.approx(100 * 28 / 30)
    assert columns["Faces test", "n"] == [30, 30]
    other = run_table(
        load_run_catalog(), "no_mask_recall", in_use="x", usable=["maskdet"]
    )
    assert other["", "Status"][0] == "available"
    assert other["Faces test", "%"][0] == pytest.approx(90)
    assert other["Faces test", "n"] == [10, 10]
    assert (
        run_table(load_run_catalog(), "no_mask_recall", in_use="x", usable=[])[
            "", "Status"
        ][0]
        == "not installed"
    )


def test_a_dataset_without_predictions_stays_empty(folder: Path) -> None:
    catalog = load_run_catalog()
    few = {"faces-test": catalog.runs["maskdet"].predictions["faces-test"]}
    poor = RunCatalog(
        {"a": training_runs.TrainingRun("a", FACTS, (), few, "")}, (), (("a", 1, 1),)
    )
    columns = run_table(poor, "mask_vs_no_mask", in_use="a", usable=["a"])
    assert columns["Faces test", "n"] == [30]
    for heading in ("%", "95 % interval", "n"):
        assert columns["ilc-2021, true boxes", heading] == [None]


def test_metrics_as_csv(folder: Path) -> None:
    lines = run_estimates_csv(load_run_catalog()).splitlines()
    assert lines[0] == "run,dataset,measure,value,low,high,n"
    assert len(lines) == 1 + 2 * len(EVALUATION_SETS) * len(MEASURE_TITLES)
    assert lines[2] == "maskdet,faces-test,no_mask_recall,0.9,0.5958,0.9821,10"
    rows = run_estimates_csv(load_run_catalog(), "custom-cnn").splitlines()[1:]
    assert {line.split(",")[0] for line in rows} == {"custom-cnn"}


def test_errors_are_counted_by_actual_and_predicted_class() -> None:
    assert (
        describe_mistakes(make_predictions(n_wrong=0), DEFAULT_STYLE)
        == "none of 30 wrong"
    )
    assert describe_mistakes(make_predictions(n_wrong=4), DEFAULT_STYLE) == (
        "4 of 30 wrong: 2 “Mask” predicted as “No mask”, 1 “No mask” predicted as "
        "“Incorrect”, 1 “Incorrect” predicted as “Mask”"
    )


def test_accuracy_is_drawn_against_cost(folder: Path) -> None:
    spec = cost_comparison_chart(load_run_catalog(), "faces-test", "bytes")
    rows = _rows_of(spec)
    assert {row["run"]: row["cost"] for row in rows} == {
        "maskdet": 4.518,
        "custom-cnn": 368.0,
    }
    assert rows[0]["rate"] == pytest.approx(28 / 30, abs=1e-4)
    assert '"log"' in json.dumps(spec), "very different sizes"
    timed = _rows_of(
        cost_comparison_chart(load_run_catalog(), "faces-test", "one_face_ms")
    )
    assert [row["run"] for row in timed] == ["maskdet"], "the other was not timed"
    assert set(COST_FACT_TITLES) == {"bytes", "one_face_ms"}


def _rows_of(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = spec["datasets"]["costs"]
    return rows


def test_a_run_has_captioned_charts(folder: Path) -> None:
    run_chart_list = run_charts(
        load_run_catalog(), ("maskdet",), "ilc-val/true", Style()
    )
    names = [chart.name for chart in run_chart_list]
    assert names[2:] == [
        "Confusion matrix",
        "ROC",
        "Precision and recall",
        "Reliability",
        "Slices",
    ]
    assert all(
        chart.caption.endswith(".") and chart.spec["layer"] for chart in run_chart_list
    )
    both = run_charts(
        load_run_catalog(), ("maskdet", "custom-cnn"), "ilc-val/true", Style()
    )
    assert "custom-cnn" in json.dumps(both[3].spec)


def test_without_predictions_only_learning_curves_remain(folder: Path) -> None:
    run_chart_list = run_charts(
        load_run_catalog(), ("maskdet",), "another set", Style()
    )
    assert [chart.name for chart in run_chart_list] == [
        "Learning curve: accuracy",
        "Learning curve: loss",
    ]


def test_the_sample_faces_match_the_script_that_made_them(monkeypatch) -> None:
    pytest.importorskip("skimage.data")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    make_samples = importlib.import_module("make_samples")
    assert set(SAMPLE_FACES) == {sample.path.name for sample in IMAGE_SAMPLES}
    face = np.array(SAMPLE_FACES["portrait-bare.jpg"][0][0])
    np.testing.assert_allclose(face, make_samples.FACE_BOX)
    worn = {"worn": Label.MASK, "below_nose": Label.INCORRECT, "chin": Label.INCORRECT}
    for person, (box, label) in zip(
        make_samples.GROUP, SAMPLE_FACES["group.jpg"], strict=True
    ):
        x1, y1, x2, y2 = make_samples.FACE_BOX
        middle = 224
        if person.flipped:
            x1, x2, middle = 512 - x2, 512 - x1, 512 - 224
        left = person.x - round(middle * person.scale)
        corner = np.array([left, person.top])
        corners = np.array([[x1, y1], [x2, y2]]) * person.scale + corner
        np.testing.assert_allclose(np.array(box).reshape(2, 2), corners, atol=0.06)
        mask = person.mask
        assert label is (Label.NO_MASK if mask is None else worn[mask.position])


def test_samples_are_classified_once_and_sorted_worst_first(monkeypatch) -> None:
    st.cache_data.clear()
    fake = FakeClassifier((0.5, 0.4, 0.1))
    monkeypatch.setattr(classifiers, "load_classifier", lambda name: fake)
    monkeypatch.setattr(classifiers, "classifier_path", lambda name: ROOT / "app.py")
    result = classify_samples("maskdet")
    assert result.ground_truth == tuple(
        [Label.INCORRECT] * 3 + [Label.NO_MASK] * 3 + [Label.MASK] * 4
    )
    assert result.n_wrong == 6
    assert len(result.crops) == len(result.scene) == 10
    classify_samples("maskdet")
    assert len(fake.boxes) == len(IMAGE_SAMPLES), "one call per image"


def test_a_card_shows_the_ground_truth_if_known() -> None:
    scene = Scene(
        faces=classifiers.Faces(np.zeros((2, 4)), np.ones(2)),
        probs=np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]),
    )
    ground_truth = [Label.MASK, Label.INCORRECT]
    html = scene_cards_html(scene, [b"a", b"b"], Style(), ground_truth=ground_truth)
    assert "<span>Ground truth: Mask</span><span>correct</span>" in html
    assert "<span>Ground truth: Incorrect</span><span>wrong</span>" in html
    assert "Ground truth" not in scene_cards_html(scene, [b"a", b"b"], Style())
    assert html.count("<figure>") == len(ground_truth) < len(CLASSES)
