"""What the Models page lists and draws of analyzers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from maskdet.analyzers.pipelines import ANALYZERS, AUTO
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
    analyzer_choices,
    analyzer_table,
    describe_use,
    get_metric,
    metric_titles,
)
from tests.helpers.analyzer_results import make_analyzer_result as a_row
from tests.helpers.analyzer_results import make_analyzer_results


def known(*found, stamp=(0, 0)):
    return AnalyzerComparison(
        tuple(found or make_analyzer_results("mtcnn", "haar")), "", stamp
    )


@pytest.mark.parametrize("view", METRIC_VIEWS)
def test_every_number_of_a_view_is_in_the_rows_and_explained(view):
    row = a_row()
    for measure in metric_titles(view, DEFAULT_STYLE):
        assert 0 < get_metric(row, view, measure).value < 1
    assert METRIC_VIEW_HELP[view].endswith(".")


def test_the_views_are_those_numbers():
    row = a_row(best=0.9)
    assert get_metric(row, "ap", "mask").value == pytest.approx(0.85)
    assert get_metric(row, "ap_large", "mask").value == pytest.approx(0.86)
    assert get_metric(row, "shown", "precision").value == pytest.approx(0.55)


def test_who_is_at_work_is_in_use(monkeypatch):
    assert describe_use("haar") == {"haar": "in use"}
    monkeypatch.setattr(
        analyzers,
        "resolve_analyzer",
        lambda name, *, live: "quick" if live else "sure",
    )
    assert describe_use(AUTO) == {
        "quick": "in use on Live",
        "sure": "in use on images",
    }


def test_what_was_not_measured_stays_empty_in_the_table():
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    row = a_row("haar", "ilc-val")
    row = replace(row, ap={**row.ap, "incorrect": nothing})
    shown = known(a_row("mtcnn", "kaggle-val"), row)
    columns = analyzer_table(
        shown, "ap", in_use="mtcnn", usable=["haar"], style=DEFAULT_STYLE
    )
    assert columns["", "Use"] == ["in use", "can be used"]
    assert columns["kaggle-val: faces", VALUE_HEADING] == [0.9, None]
    assert columns["ilc-val: faces", INTERVAL_HEADING] == [None, "0.850 to 0.940"]
    assert columns["ilc-val: incorrect", VALUE_HEADING] == [None, None]
    assert columns["ilc-val: incorrect", INTERVAL_HEADING] == [None, None]
    assert columns[analyzers.TIME_HEADING, "ilc-val"] == [None, 40]
    assert {len(column) for column in columns.values()} == {2}


def test_a_chart_has_a_point_for_each_analyzer_of_the_set():
    spec = analyzer_chart(known(stamp=(1, 1)), "ilc-val", "ap", "mean", DEFAULT_STYLE)
    (points,) = spec["datasets"].values()
    assert [(one["run"], one["cost"], one["value"], one["n"]) for one in points] == [
        ("mtcnn", 10, 0.4, 100),
        ("haar", 20, 0.5, 100),
    ]
    assert spec["title"] == "ilc-val"


def test_every_analyzer_can_be_chosen_and_auto_first():
    assert analyzer_choices() == (AUTO, *ANALYZERS)
