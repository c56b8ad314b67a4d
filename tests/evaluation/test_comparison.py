"""The file of the comparison of analyzers."""

from __future__ import annotations

import json
import math

import pytest

from maskdet.evaluation.comparison import format_comparison, read_comparison
from maskdet.metrics.intervals import Estimate
from tests.helpers.analyzer_results import make_analyzer_result, make_analyzer_results


@pytest.fixture
def path(tmp_path):
    return tmp_path / "analyzers.json"


def test_round_trip_of_a_comparison(path):
    written = make_analyzer_results("mtcnn", "haar")
    path.write_text(format_comparison(written))
    read = read_comparison(path)
    assert [(one.analyzer, one.set_name) for one in read] == [
        ("mtcnn", "kaggle-val"),
        ("mtcnn", "ilc-val"),
        ("haar", "kaggle-val"),
        ("haar", "ilc-val"),
    ]
    assert [one.to_json() for one in read] == [one.to_json() for one in written]
    assert read[0].ap["mask"] == Estimate(0.55, 0.5, 0.59, 100)
    assert read[0].ap_large["faces"].n == 80
    assert read[0].median_ms == 10


def test_nan_survives_a_round_trip(path):
    row = make_analyzer_result()
    ap = {**row.ap, "incorrect": Estimate(math.nan, math.nan, math.nan, 0)}
    path.write_text(format_comparison([type(row)(**{**vars(row), "ap": ap})]))
    assert "NaN" not in path.read_text()
    again = read_comparison(path)[0].ap["incorrect"]
    assert math.isnan(again.value)
    assert again.n == 0


def test_the_file_contains_metrics_and_names_only(path):
    content = json.loads(format_comparison([make_analyzer_result()]))
    assert content["version"] == 1
    assert set(content["rows"][0]) == {
        *("analyzer", "set", "images", "ap", "ap_large"),
        *("recall", "precision", "three_states", "median_ms"),
    }


def changed(**values):
    row = {**make_analyzer_result().to_json(), **values}
    return json.dumps({"version": 1, "rows": [make_analyzer_result().to_json(), row]})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", r"analyzers\.json: must be a JSON object, not list"),
        ('{"version": 2, "rows": []}', "not a comparison of version 1"),
        ('{"version": 1, "rows": []}', "no rows"),
        ('{"version": 1, "rows": [3]}', "row 1 is incomplete or broken"),
        (changed(analyzer=3), "row 2: analyzer must be a text, not 3"),
        (changed(ap={}), "row 2 is incomplete or broken"),
        (changed(precision={"value": 1}), "row 2: low is missing"),
        (changed(median_ms="fast"), "row 2: median_ms must be a number of at least 0"),
        (changed(images=True), "row 2: n_images must be a whole number, not True"),
        (changed(median_ms=math.nan), "row 2: median_ms must be a number"),
    ],
)
def test_a_broken_file_is_reported_in_one_line(path, text, complaint):
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as error:
        read_comparison(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_reported(path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_comparison(path)
