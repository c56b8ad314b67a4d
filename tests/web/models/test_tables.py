"""What the Models page reads, counts and draws."""

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
    """Two runs, of which one ships no weights."""
    st.cache_data.clear()
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path)
    write_training_run(tmp_path)
    write_training_run(tmp_path, "custom-cnn", LARGE_FACTS, n_wrong=9)
    return tmp_path


def test_runs_are_read_with_our_own_first(folder: Path) -> None:
    found = load_run_catalog()
    assert list(found.runs) == ["maskdet", "custom-cnn"]
    assert found.problems == ()
    assert has_bundled_weights(found.runs["maskdet"])
    assert not has_bundled_weights(found.runs["custom-cnn"])
    assert tables.training_command(found.runs["maskdet"]).startswith("maskdet train")


def test_a_changed_file_is_read_again(folder: Path) -> None:
    before = load_run_catalog()
    assert load_run_catalog().stamp == before.stamp
    (folder / "maskdet" / "card.md").write_text("# Another card, longer than that\n")
    assert load_run_catalog().runs["maskdet"].card.startswith("# Another card")


def test_no_folder_is_no_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(training_runs, "RUNS_FOLDER", tmp_path / "none")
    assert (dict(load_run_catalog().runs), load_run_catalog().problems) == ({}, ())


def _without(*names: str) -> str:
    return json.dumps({key: FACTS[key] for key in FACTS if key not in names})


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("facts.json", "{", "cannot read the run"),
        ("facts.json", "[1]", "facts.json must hold a JSON object"),
        ("facts.json", _without("title"), "must have a text as title"),
        ("facts.json", _without("bytes"), "must have a number as bytes, not 'nothing'"),
        ("facts.json", json.dumps({**FACTS, "one_face_ms": "1"}), "one_face_ms, not"),
        ("log.csv", None, "its log.csv is missing"),
        ("log.csv", "epoch,loss\n1,much\n", "cannot read the run"),
        ("answers.npz", None, "`maskdet export` writes the predictions"),
        ("answers.npz", "no zip", "cannot read predictions"),
        ("card.md", None, "its card.md is missing"),
    ],
)
def test_a_broken_run_is_one_line_and_the_others_are_shown(
    folder: Path, file: str, content: str | None, line: str
) -> None:
    path = folder / "custom-cnn" / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    found = load_run_catalog()
    assert list(found.runs) == ["maskdet"]
    assert len(found.problems) == 1
    assert found.problems[0].startswith("The run custom-cnn is not shown: ")
    assert line in found.problems[0]
    assert str(folder) not in found.problems[0]
    assert "\n" not in found.problems[0]


def test_every_set_and_measure_has_its_words() -> None:
    assert set(SET_TITLES) == set(EVALUATION_SETS)
    assert set(MEASURE_HELP) == set(MEASURE_TITLES)


def test_the_three_numbers_of_a_set() -> None:
    # Of 10 faces of each class the first two mistakes are a mask called bare and a
    # bare face called incorrectly worn.
    some = make_predictions(n_wrong=2, n=30)
    assert compute_measure(some, "wearing") == proportion(28, 30)
    assert compute_measure(some, "bare") == proportion(9, 10)
    assert compute_measure(some, "balanced").value == pytest.approx((0.9 + 0.9 + 1) / 3)


def test_a_number_is_shown_in_percent_with_its_interval() -> None:
    assert to_percent(Estimate(0.975, 0.956, 0.986, 1474)) == pytest.approx(97.5)
    assert (
        format_percent_interval(Estimate(0.975, 0.956, 0.986, 1474)) == "95.6 to 98.6"
    )
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    assert (to_percent(nothing), format_percent_interval(nothing)) == (None, None)
    assert (to_percent(None), format_percent_interval(None)) == (None, None)


def test_the_table_says_what_each_run_costs_and_reaches(folder: Path) -> None:
    columns = run_table(
        load_run_catalog(), "wearing", in_use="maskdet", usable=["maskdet"]
    )
    assert columns["", "Model"] == ["maskdet", "custom-cnn"]
    assert columns["", "Use"] == ["in use", "numbers only"]
    assert columns["Cost", "Parameters (M)"] == [2.262979, 92.0]
    assert columns["Cost", "File (MB)"] == [4.517656, 368.0]
    assert columns["Cost", "1 face (ms)"] == [1.1, None]
    assert columns["Cost", "Of 4, each (ms)"] == [0.9, None]
    assert columns["Faces test", "%"][0] == pytest.approx(100 * 28 / 30)
    assert columns["Faces test", "n"] == [30, 30]
    other = run_table(load_run_catalog(), "bare", in_use="x", usable=["maskdet"])
    assert other["", "Use"][0] == "can be used"
    assert other["Faces test", "%"][0] == pytest.approx(90)
    assert other["Faces test", "n"] == [10, 10]
    assert (
        run_table(load_run_catalog(), "bare", in_use="x", usable=[])["", "Use"][0]
        == "not here"
    )


def test_a_set_that_was_not_measured_stays_empty(folder: Path) -> None:
    found = load_run_catalog()
    few = {"faces-test": found.runs["maskdet"].predictions["faces-test"]}
    poor = RunCatalog(
        {"a": training_runs.TrainingRun("a", FACTS, (), few, "")}, (), (("a", 1, 1),)
    )
    columns = run_table(poor, "wearing", in_use="a", usable=["a"])
    assert columns["Faces test", "n"] == [30]
    for heading in ("%", "95 % interval", "n"):
        assert columns["ilc-val, true boxes", heading] == [None]


def test_numbers_as_a_file(folder: Path) -> None:
    lines = run_estimates_csv(load_run_catalog()).splitlines()
    assert lines[0] == "run,set,measure,value,low,high,n"
    assert len(lines) == 1 + 2 * len(EVALUATION_SETS) * len(MEASURE_TITLES)
    assert lines[2] == "maskdet,faces-test,bare,0.9,0.5958,0.9821,10"
    one = run_estimates_csv(load_run_catalog(), "custom-cnn").splitlines()[1:]
    assert {line.split(",")[0] for line in one} == {"custom-cnn"}


def test_mistakes_are_counted_by_truth_and_label() -> None:
    assert (
        describe_mistakes(make_predictions(n_wrong=0), DEFAULT_STYLE)
        == "none of 30 wrong"
    )
    assert describe_mistakes(make_predictions(n_wrong=4), DEFAULT_STYLE) == (
        "4 of 30 wrong: 2 “Mask” called “No mask”, 1 “No mask” called "
        "“Incorrect”, 1 “Incorrect” called “Mask”"
    )


def test_accuracy_is_drawn_against_what_it_costs(folder: Path) -> None:
    spec = cost_comparison_chart(load_run_catalog(), "faces-test", "bytes")
    rows = _rows_of(spec)
    assert {row["run"]: row["cost"] for row in rows} == {
        "maskdet": 4.518,
        "custom-cnn": 368.0,
    }
    assert rows[0]["share"] == pytest.approx(28 / 30, abs=1e-4)
    assert '"log"' in json.dumps(spec), "very different sizes"
    timed = _rows_of(
        cost_comparison_chart(load_run_catalog(), "faces-test", "one_face_ms")
    )
    assert [row["run"] for row in timed] == ["maskdet"], "the other was not timed"
    assert set(COST_FACT_TITLES) == {"bytes", "one_face_ms"}


def _rows_of(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the data of a chart; Altair gives it a name of its own."""
    (rows,) = spec["datasets"].values()
    return rows


def test_a_run_has_a_chart_with_a_line_for_each_thing_to_see(folder: Path) -> None:
    found = run_charts(load_run_catalog(), ("maskdet",), "ilc-val/true", Style())
    names = [one.name for one in found]
    assert names[2:] == [
        "Confusion matrix",
        "ROC",
        "Precision and recall",
        "Reliability",
        "Slices",
    ]
    assert all(one.caption.endswith(".") and one.spec["layer"] for one in found)
    both = run_charts(
        load_run_catalog(), ("maskdet", "custom-cnn"), "ilc-val/true", Style()
    )
    assert "custom-cnn" in json.dumps(both[3].spec)


def test_a_set_without_answers_leaves_the_learning_curves(folder: Path) -> None:
    found = run_charts(load_run_catalog(), ("maskdet",), "another set", Style())
    assert [one.name for one in found] == [
        "Learning curve: accuracy",
        "Learning curve: loss",
    ]


def test_the_known_faces_are_where_the_samples_were_made(monkeypatch) -> None:
    pytest.importorskip("skimage.data")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    made = importlib.import_module("make_samples")
    assert set(SAMPLE_FACES) == {sample.path.name for sample in IMAGE_SAMPLES}
    face = np.array(SAMPLE_FACES["portrait-bare.jpg"][0][0])
    np.testing.assert_allclose(face, made.FACE_BOX)
    worn = {"worn": Label.MASK, "below_nose": Label.INCORRECT, "chin": Label.INCORRECT}
    for person, (box, label) in zip(made.GROUP, SAMPLE_FACES["group.jpg"], strict=True):
        x1, y1, x2, y2 = made.FACE_BOX
        middle = 224
        if person.flipped:
            x1, x2, middle = 512 - x2, 512 - x1, 512 - 224
        left = person.x - round(middle * person.scale)
        corner = np.array([left, person.top])
        corners = np.array([[x1, y1], [x2, y2]]) * person.scale + corner
        np.testing.assert_allclose(np.array(box).reshape(2, 2), corners, atol=0.06)
        mask = person.mask
        assert label is (Label.NO_MASK if mask is None else worn[mask.position])


def test_samples_are_judged_once_and_the_worst_come_first(monkeypatch) -> None:
    st.cache_data.clear()
    fake = FakeClassifier((0.5, 0.4, 0.1))
    monkeypatch.setattr(classifiers, "load_classifier", lambda name: fake)
    monkeypatch.setattr(classifiers, "classifier_path", lambda name: ROOT / "app.py")
    seen = classify_samples("maskdet")
    assert seen.ground_truth == tuple(
        [Label.INCORRECT] * 3 + [Label.NO_MASK] * 3 + [Label.MASK] * 4
    )
    assert seen.n_wrong == 6
    assert len(seen.crops) == len(seen.scene) == 10
    few = seen.take(4)
    assert (len(few.scene), few.ground_truth, len(few.crops)) == (
        4,
        seen.ground_truth[:4],
        4,
    )
    classify_samples("maskdet")
    assert len(fake.boxes) == len(IMAGE_SAMPLES), "asked once an image"


def test_a_card_tells_the_truth_where_it_is_known() -> None:
    seen = Scene(
        faces=classifiers.Faces(np.zeros((2, 4)), np.ones(2)),
        probs=np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]]),
    )
    truths = [Label.MASK, Label.INCORRECT]
    html = scene_cards_html(seen, [b"a", b"b"], Style(), ground_truth=truths)
    assert "<span>Truth: Mask</span><span>right</span>" in html
    assert "<span>Truth: Incorrect</span><span>wrong</span>" in html
    assert "Truth" not in scene_cards_html(seen, [b"a", b"b"], Style())
    assert html.count("<figure>") == len(truths) < len(CLASSES)
