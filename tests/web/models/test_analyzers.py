"""The table and charts of analyzers on the Models page."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from maskdet.analyzers.pipelines import AUTO
from maskdet.metrics.intervals import Estimate
from maskdet.style import DEFAULT_STYLE
from maskdet.web.models import analyzers
from maskdet.web.models.analyzers import (
    INTERVAL_HEADING,
    METRIC_VIEW_HELP,
    METRIC_VIEWS,
    VALUE_HEADING,
    AnalyzerComparison,
    analyzer_chart,
    analyzer_ranking,
    analyzer_table,
    describe_use,
    get_metric,
    metric_titles,
)
from maskdet.web.models.ranking import rank_cells
from tests.helpers.analyzer_results import make_analyzer_result, make_analyzer_results


def make_comparison(*rows, stamp=(0, 0)):
    return AnalyzerComparison(
        tuple(rows or make_analyzer_results("mtcnn", "haar")), "", stamp
    )


@pytest.mark.parametrize("view", METRIC_VIEWS)
def test_every_metric_of_a_view_is_in_the_rows_and_explained(view):
    row = make_analyzer_result()
    for measure in metric_titles(view, DEFAULT_STYLE):
        assert 0 < get_metric(row, view, measure).value < 1
    assert METRIC_VIEW_HELP[view].endswith(".")


def test_the_views_select_their_metrics():
    row = make_analyzer_result(best=0.9)
    assert get_metric(row, "ap", "mask").value == pytest.approx(0.85)
    assert get_metric(row, "ap_large", "mask").value == pytest.approx(0.86)
    assert get_metric(row, "default_thresholds", "precision").value == pytest.approx(
        0.55
    )


def test_the_resolved_analyzers_are_active(monkeypatch):
    assert describe_use("haar") == {"haar": "active"}
    monkeypatch.setattr(
        analyzers,
        "resolve_analyzer",
        lambda name, *, live: "quick" if live else "accurate",
    )
    assert describe_use(AUTO) == {
        "quick": "active (Live)",
        "accurate": "active (images)",
    }


def test_missing_metrics_are_empty_in_the_table():
    missing = Estimate(math.nan, math.nan, math.nan, 0)
    row = make_analyzer_result("haar", "ilc-val")
    row = replace(row, ap={**row.ap, "incorrect": missing})
    results = make_comparison(make_analyzer_result("mtcnn", "kaggle-val"), row)
    columns = analyzer_table(
        results, "ap", in_use="mtcnn", usable=["haar"], style=DEFAULT_STYLE
    )
    assert columns["", "Status"] == ["active", "available"]
    assert columns["kaggle-853: faces", VALUE_HEADING] == [0.9, None]
    assert columns["ilc-2021: faces", INTERVAL_HEADING] == [None, "0.850 to 0.940"]
    assert columns["ilc-2021: incorrect", VALUE_HEADING] == [None, None]
    assert columns["ilc-2021: incorrect", INTERVAL_HEADING] == [None, None]
    assert columns[analyzers.TIME_HEADING, "ilc-2021"] == [None, 40]
    assert {len(column) for column in columns.values()} == {2}


def test_a_chart_has_a_point_for_each_analyzer_of_the_set():
    spec = analyzer_chart(
        make_comparison(stamp=(1, 1)), "ilc-val", "ap", "mean", DEFAULT_STYLE
    )
    (points,) = spec["datasets"].values()
    assert [
        (point["run"], point["cost"], point["rate"], point["n"]) for point in points
    ] == [
        ("MTCNN (classic)", 10, 0.4, 100),
        ("Haar (classic)", 20, 0.5, 100),
    ]
    assert spec["title"] == "ilc-2021"


def test_the_ranking_marks_the_best_value_of_each_column() -> None:
    results = make_comparison()
    columns = analyzer_table(
        results, "ap", in_use="mtcnn", usable=["haar"], style=DEFAULT_STYLE
    )
    html = str(analyzer_ranking(results, "ap", "faces", columns, DEFAULT_STYLE))
    rows = html.partition("<tbody>")[2].split("<tr")[1:]
    assert len(rows) == 2
    assert "MTCNN (classic)" in rows[0]
    assert ">mtcnn<" in rows[0]
    assert "active" in rows[0]
    values = columns["kaggle-853: faces", VALUE_HEADING]
    best_row = rows[values.index(max(values))]
    assert f'"best">{max(values):.3f}' in best_row
    times_ms = columns[analyzers.TIME_HEADING, "kaggle-853"]
    assert f'"best">{min(times_ms):.1f}' in rows[times_ms.index(min(times_ms))]
    assert html.count("(best)") == 3
    assert "kaggle-853" in html
    assert "kaggle-val" not in html


def test_equal_values_share_the_first_place_and_missing_ones_have_none() -> None:
    cells = rank_cells([0.5001, None, 0.5, 0.4], ["a", None, "b", "c"], digits=3)
    assert [cell.is_best for cell in cells] == [True, False, True, False]
    assert [cell.text for cell in cells] == ["0.500", "\N{EN DASH}", "0.500", "0.400"]
    assert cells[1].note == ""
    assert not any(cell.is_best for cell in rank_cells([None], [None], digits=1))
