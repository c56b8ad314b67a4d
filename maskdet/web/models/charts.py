"""The charts of the Models page, kept as specifications so that a rerun is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import altair as alt
import streamlit as st

from maskdet import charts
from maskdet.metrics.classification import Predictions
from maskdet.style import Style
from maskdet.web.models.tables import (
    SET_TITLES,
    FileStamp,
    RunCatalog,
    list_run_estimates,
)

VegaSpec: TypeAlias = dict[str, Any]
"""A Vega-Lite chart with its data."""

CostFact: TypeAlias = Literal["bytes", "one_face_ms"]

COST_FACT_TITLES: Final[Mapping[CostFact, str]] = {
    "bytes": "File size",
    "one_face_ms": "Time a face",
}
"""What accuracy can be drawn against: the fact's name, and its name on the page."""

_COST_AXIS_TITLES: Final[Mapping[CostFact, str]] = {
    "bytes": "File (MB)",
    "one_face_ms": "One face (ms)",
}
_COST_UNITS: Final[Mapping[CostFact, float]] = {"bytes": 1e6, "one_face_ms": 1.0}

COMPARED_SETS: Final = ("kaggle-val/true", "ilc-val/true")
"""The sets of scenes that accuracy is drawn for, against what it costs."""

_HEIGHT: Final = 380


@dataclass(frozen=True)
class CaptionedChart:
    """A chart and what it says.

    Attributes:
        name: in one or two words, for screen readers.
        caption: what a person can see in it.
        spec: the chart.
    """

    name: str
    caption: str
    spec: VegaSpec


def cost_comparison_chart(
    catalog: RunCatalog, set_name: str, cost: CostFact
) -> VegaSpec:
    """Return the accuracy of every run on a set against what it costs to use it."""
    return _build_cost_comparison(catalog.stamp, set_name, cost, catalog)


@st.cache_data(max_entries=16, show_spinner=False)
def _build_cost_comparison(
    stamp: FileStamp, set_name: str, cost: CostFact, _catalog: RunCatalog
) -> VegaSpec:
    chart = charts.cost_chart(
        _cost_comparison_rows(_catalog, set_name, cost),
        _catalog.runs,
        kind="Model",
        cost=_COST_AXIS_TITLES[cost],
        value="Accuracy",
    )
    return to_chart_spec(chart, title=SET_TITLES[set_name])


def _cost_comparison_rows(
    catalog: RunCatalog, set_name: str, cost: CostFact
) -> list[dict[str, Any]]:
    return [
        {
            "run": run_estimate.run,
            "cost": round(
                catalog.runs[run_estimate.run].facts[cost] / _COST_UNITS[cost], 3
            ),
            "value": round(run_estimate.estimate.value, 4),
            "low": round(run_estimate.estimate.low, 4),
            "high": round(run_estimate.estimate.high, 4),
            "n": run_estimate.estimate.n,
        }
        for run_estimate in list_run_estimates(catalog)
        if (run_estimate.set_name, run_estimate.measure) == (set_name, "wearing")
        and run_estimate.estimate.n
        and catalog.runs[run_estimate.run].facts[cost]
    ]


def run_charts(
    catalog: RunCatalog, names: tuple[str, ...], set_name: str, style: Style
) -> list[CaptionedChart]:
    """Return the charts of runs on one set, as far as they have what is needed.

    Args:
        catalog: the runs.
        names: the chosen run, then those to compare it with.
        set_name: a name in `SETS`.
        style: names and colours of the classes.
    """
    return _build_run_charts(catalog.stamp, names, set_name, style, catalog)


@st.cache_data(max_entries=64, show_spinner="Drawing …")
def _build_run_charts(
    stamp: FileStamp,
    names: tuple[str, ...],
    set_name: str,
    style: Style,
    _catalog: RunCatalog,
) -> list[CaptionedChart]:
    runs = {name: _catalog.runs[name] for name in names}
    logs = {name: run.log for name, run in runs.items() if run.log}
    predictions = {
        name: run.predictions[set_name]
        for name, run in runs.items()
        if len(run.predictions.get(set_name, ()))
    }
    captioned: list[CaptionedChart] = []
    if logs:
        captioned += [
            CaptionedChart(
                name,
                caption,
                to_chart_spec(charts.learning_curves(logs, quantity=quantity)),
            )
            for name, caption, quantity in _LEARNING_CURVES
        ]
    if predictions:
        captioned += _prediction_charts(predictions, names[0], style)
    return captioned


_LEARNING_CURVES: Final[tuple[tuple[str, str, Literal["loss", "accuracy"]], ...]] = (
    (
        "Learning curve: accuracy",
        "The gap between the lines is what was learnt by heart only.",
        "accuracy",
    ),
    (
        "Learning curve: loss",
        "Where validation rises while training falls, more epochs no longer help.",
        "loss",
    ),
)


def _prediction_charts(
    predictions: Mapping[str, Predictions], selected: str, style: Style
) -> list[CaptionedChart]:
    captioned = (
        [_captioned_confusion_matrix(predictions[selected], selected, style)]
        if selected in predictions
        else []
    )
    is_single = len(predictions) == 1
    question_name: Literal["classes", "wearing"] = "classes" if is_single else "wearing"
    return [
        *captioned,
        CaptionedChart(
            "ROC",
            "What is found at each rate of false positives: the nearer the upper left "
            "corner, the better.",
            to_chart_spec(
                charts.roc_chart(predictions, task=question_name, style=style)
            ),
        ),
        CaptionedChart(
            "Precision and recall",
            "How often it is right when it says so, for each share it finds: the "
            "nearer the upper right corner, the better.",
            to_chart_spec(
                charts.precision_recall_chart(
                    predictions, task=question_name, style=style
                )
            ),
        ),
        CaptionedChart(
            "Reliability",
            "Whether a confidence of 80 % is right 8 times in 10: then the points lie "
            "on the dashed line; below it, it is too sure of itself.",
            to_chart_spec(charts.reliability_chart(predictions)),
        ),
        CaptionedChart(
            "Slices",
            "Which faces are harder, with 95 % intervals: a triangle is worse than "
            "the rest by more than chance.",
            to_chart_spec(charts.slices_chart(predictions), height=None),
        ),
    ]


def _captioned_confusion_matrix(
    predictions: Predictions, run_name: str, style: Style
) -> CaptionedChart:
    caption = (
        f"Each row is a truth, each column what {run_name} said: all that is off the "
        "diagonal is wrong."
    )
    chart = charts.confusion_matrix_chart(predictions, style=style)
    return CaptionedChart("Confusion matrix", caption, to_chart_spec(chart))


def to_chart_spec(
    chart: alt.LayerChart | alt.FacetChart,
    *,
    title: str = "",
    height: int | None = _HEIGHT,
) -> VegaSpec:
    """Return a chart as the pages take it.

    Args:
        chart: the chart.
        title: replaces its own one, if given.
        height: in pixels; None to leave it to the chart.
    """
    spec: VegaSpec = chart.to_dict()
    if title:
        spec["title"] = title
    if height is not None:
        spec["height"] = height
    # The page gives size and fonts; a legend at the side would leave a phone no chart.
    spec["config"] = {"legend": {"orient": "bottom", "columns": 3}}
    return spec
