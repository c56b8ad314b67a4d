"""The tuning report: a self-contained page with the metrics of the tables."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from maskdet.evaluation.operating_point import Evaluator
from maskdet.metrics.intervals import Estimate
from maskdet.settings import Settings
from maskdet.style import Style
from maskdet.tuning.class_metrics import compute_class_metrics
from maskdet.tuning.comparison import compare_results
from maskdet.tuning.goal_search import propose_settings
from maskdet.tuning.goals import Goal
from maskdet.tuning.html_report import (
    format_estimate,
    render_html_report,
)
from maskdet.types import Label
from maskdet.wording import PERCENT, join_percent
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

VOID = {"meta"}


class Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that each tag is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.values, self.open, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for _, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.values += [value for _, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f" {data}"


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(make_crowded_set(40))


def test_the_page_has_all_metrics_and_is_self_contained(evaluator):
    result = evaluator(Settings())
    proposal = propose_settings(evaluator, Settings(), Goal("recall", recall=0.7))
    other = evaluator(Settings(min_score=0.2))
    page = render_html_report(
        result, proposal=proposal, comparison=compare_results(result, other)
    )
    reader = read(page)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    # The name of a namespace is not a link, and `url(#clip)` is in the page.
    assert "://" not in page.replace("http://www.w3.org/", "")
    assert "url(" not in page.replace("url(#clip", "")
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert reader.tags.count("svg") == 5
    for row in compute_class_metrics(result):
        assert f"{row.f1.value:.3f}" in reader.text
    for line in (*proposal.messages, "McNemar", "fake on made-up"):
        assert join_percent(line) in reader.text
    for count in result.confusion[:3, :3].ravel():
        assert re.search(rf"\b{count}\b", reader.text)


def test_the_method_notes_appear_once(evaluator):
    line = "Measured on single images; Live smooths labels over time"
    result = evaluator(Settings())
    proposal = propose_settings(evaluator, Settings(), Goal("recall", recall=0.7))
    for reported in (None, proposal):
        assert read(render_html_report(result, proposal=reported)).text.count(line) == 1
    calibrated = render_html_report(evaluator(Settings(), temperature=1.25))
    assert "a temperature of 1.25, which Live does not apply" in calibrated
    assert "temperature" not in render_html_report(result)


def test_names_are_escaped(evaluator):
    html_name = "<script>alert(1)</script>&\"'"
    ground_truth = dataclasses.replace(
        evaluator.predictions.ground_truth, name=html_name
    )
    predictions = dataclasses.replace(
        evaluator.predictions, ground_truth=ground_truth, analyzer=html_name
    )
    page = render_html_report(Evaluator(predictions)(Settings()))
    assert "<script" not in page
    assert html_name in read(page).text


def test_the_report_uses_custom_class_names_and_colours(evaluator):
    names = {"mask": "口罩", "no_mask": "Bare", "incorrect": "Sloppy", "unknown": "Hm"}
    style = Style(class_names=names, class_colours={"no_mask": "#0072b2"})
    proposal = propose_settings(evaluator, Settings(), Goal("recall", recall=0.7))
    page = render_html_report(evaluator(Settings()), proposal=proposal, style=style)
    text = read(page).text
    for name in names.values():
        assert name in text
    assert f"recall of “Bare” at least 70{PERCENT}" in text
    for label in Label:
        assert not re.search(rf"\b{label.title}\b", text), label
    assert "#0072b2" in page
    assert "#0072b2" not in render_html_report(evaluator(Settings()))


@pytest.mark.parametrize("n", [0, 3])
def test_a_set_without_faces_has_a_report(n):
    page = render_html_report(Evaluator(make_goal_predictions([], n))(Settings()))
    assert f"{n} images, 0 true faces" in read(page).text
    assert "nan" not in page.replace("finance", "")


def test_estimates_are_formatted_with_their_interval():
    assert format_estimate(Estimate(0.5, 0.25, 0.75, 4)) == "0.500\n0.250 to 0.750"
    assert format_estimate(Estimate(0.5, np.nan, np.nan, 4)) == "0.500"
    assert format_estimate(Estimate(np.nan, np.nan, np.nan, 0)) == "none"
