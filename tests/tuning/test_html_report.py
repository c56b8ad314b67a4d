"""The report: one page that needs nothing else, with the numbers of the tables."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from maskdet.metrics.intervals import Estimate
from maskdet.settings import Settings
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.tuning.class_metrics import compute_class_metrics
from maskdet.tuning.comparison import compare_results
from maskdet.tuning.curves import TuningCurve, compute_histogram
from maskdet.tuning.goal_search import propose_settings
from maskdet.tuning.goals import Goal
from maskdet.tuning.html_report import (
    CurvePanel,
    default_panels,
    format_estimate,
    render_curves_svg,
    render_histogram_svg,
    render_html_report,
)
from maskdet.tuning.operating_point import Evaluator
from maskdet.types import Label
from tests.tuning.goals_fakes import make_crowded_set, make_goal_predictions

VOID = {"meta", "circle", "polyline", "path"}


class Reader(HTMLParser):
    """Notes tags and attributes, and that each tag is closed."""

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
def judge():
    return Evaluator(make_crowded_set(40))


def test_the_page_has_all_numbers_and_needs_nothing_else(judge):
    outcome = judge(Settings())
    proposal = propose_settings(judge, Settings(), Goal("recall", recall=0.7))
    other = judge(Settings(min_score=0.2))
    page = render_html_report(
        outcome, proposal=proposal, comparison=compare_results(outcome, other)
    )
    reader = read(page)
    assert not {"script", "link", "img", "iframe"} & set(reader.tags)
    assert "://" not in page
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert reader.tags.count("svg") == 4
    for row in compute_class_metrics(outcome):
        assert f"{row.f1.value:.3f}" in reader.text
    for line in (*proposal.messages, "McNemar", "fake on made-up"):
        assert line in reader.text
    for count in outcome.confusion[:3, :3].ravel():
        assert re.search(rf"\b{count}\b", reader.text)


def test_what_numbers_do_not_say_is_said_once(judge):
    line = "Counted image by image; Live judges people over time"
    outcome = judge(Settings())
    proposal = propose_settings(judge, Settings(), Goal("recall", recall=0.7))
    for one in (None, proposal):
        assert read(render_html_report(outcome, proposal=one)).text.count(line) == 1
    calibrated = render_html_report(judge(Settings(), temperature=1.25))
    assert "a temperature of 1.25, which Live does not have" in calibrated
    assert "temperature" not in render_html_report(outcome)


def test_names_cannot_bring_anything_in(judge):
    harm = "<script>alert(1)</script>&\"'"
    truth = dataclasses.replace(judge.predictions.ground_truth, name=harm)
    given = dataclasses.replace(judge.predictions, ground_truth=truth, analyzer=harm)
    page = render_html_report(Evaluator(given)(Settings()))
    assert "<script" not in page
    assert harm in read(page).text


def test_classes_have_ones_own_names_and_colours(judge):
    names = {"mask": "口罩", "no_mask": "Bare", "incorrect": "Sloppy", "unknown": "Hm"}
    style = Style(class_names=names, class_colours={"no_mask": "#0072b2"})
    proposal = propose_settings(judge, Settings(), Goal("recall", recall=0.7))
    page = render_html_report(judge(Settings()), proposal=proposal, style=style)
    text = read(page).text
    for name in names.values():
        assert name in text
    assert "at least 70 % of “Bare” found" in text
    for label in Label:
        assert not re.search(rf"\b{label.title}\b", text), label
    assert "--no_mask: #0072b2 }" in page
    usual = render_html_report(judge(Settings()))
    assert "#0072b2" not in usual
    assert ":root:root" not in usual


@pytest.mark.parametrize("n", [0, 3])
def test_a_set_without_faces_has_a_page(n):
    page = render_html_report(Evaluator(make_goal_predictions([], n))(Settings()))
    assert f"{n} images, 0 true faces" in read(page).text
    assert "nan" not in page.replace("finance", "")


def test_curves_lie_where_their_numbers_are():
    xs, ys = np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.5, 0.0])
    curve = TuningCurve(
        Label.NO_MASK, xs, ys, xs[::-1], Estimate(0.5, 0.4, 0.6, 9), (0.5, 1.0)
    )
    svg = render_curves_svg(CurvePanel("t", "", "x", "y", (curve,)))
    points = re.search(r'points="([^"]+)"', svg)
    assert points is not None
    (x0, y0), (x1, y1), (x2, y2) = (
        map(float, one.split(",")) for one in points.group(1).split()
    )
    assert x0 < x1 < x2
    assert y0 < y1 < y2, "paper grows downwards"
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.11)
    assert f'cx="{x1}" cy="{y0}"' in svg


def test_thousands_of_points_make_a_short_line(judge):
    xs = np.linspace(0, 1, 20_000)
    curve = TuningCurve(None, xs, xs, xs, Estimate(0.5, 0.4, 0.6, 9), (np.nan, np.nan))
    svg = render_curves_svg(CurvePanel("t", "", "x", "y", (curve,)))
    assert len(svg) < 12_000
    assert "<circle" not in svg
    assert len(default_panels(judge(Settings()))) == 3


def test_bars_count_every_face(judge):
    shown = compute_histogram(judge(Settings()), "score")
    svg = render_histogram_svg(shown, "t", "x", DEFAULT_STYLE)
    assert svg.count("<rect") == np.count_nonzero(shown.counts)
    told = [int(n) for n in re.findall(r"<title>(\d+) ", svg)]
    assert sum(told) == shown.counts.sum()


def test_numbers_are_written_with_their_interval():
    assert format_estimate(Estimate(0.5, 0.25, 0.75, 4)) == "0.500\n0.250 to 0.750"
    assert format_estimate(Estimate(0.5, np.nan, np.nan, 4)) == "0.500"
    assert format_estimate(Estimate(np.nan, np.nan, np.nan, 0)) == "none"
