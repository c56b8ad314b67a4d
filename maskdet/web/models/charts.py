"""Charts of the Models page, cached as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import streamlit as st

from maskdet import charts
from maskdet.charts import VegaSpec
from maskdet.metrics.classification import Predictions
from maskdet.style import Style
from maskdet.web.models.tables import (
    SET_TITLES,
    FileStamp,
    RunCatalog,
    list_run_estimates,
)

CostFact: TypeAlias = Literal["bytes", "one_face_ms"]

COST_FACT_TITLES: Final[Mapping[CostFact, str]] = {
    "bytes": "File size",
    "one_face_ms": "Time per face",
}
"""Costs that accuracy is drawn against, with their titles."""

_COST_AXIS_TITLES: Final[Mapping[CostFact, str]] = {
    "bytes": "File (MB)",
    "one_face_ms": "One face (ms)",
}
_COST_UNITS: Final[Mapping[CostFact, float]] = {"bytes": 1e6, "one_face_ms": 1.0}

COMPARED_SETS: Final = ("kaggle-val/true", "ilc-val/true")
"""The datasets of the charts of accuracy against cost."""

_LEARNING_CURVES: Final[tuple[tuple[str, str, Literal["loss", "accuracy"]], ...]] = (
    (
        "Learning curve: accuracy",
        "The gap between the lines shows overfitting.",
        "accuracy",
    ),
    (
        "Learning curve: loss",
        "Where validation loss rises and training loss falls, the model overfits.",
        "loss",
    ),
)


@dataclass(frozen=True)
class CaptionedChart:
    """A chart with its name and caption.

    Attributes:
        name: short name, for screen readers.
        caption: how to read the chart.
        spec: the chart.
    """

    name: str
    caption: str
    spec: VegaSpec


def cost_comparison_chart(
    catalog: RunCatalog, set_name: str, cost: CostFact
) -> VegaSpec:
    """Return a chart of the accuracy of all runs on a set against a cost."""
    return _build_cost_comparison(catalog.stamp, set_name, cost, catalog)


@st.cache_data(max_entries=16, show_spinner=False)
def _build_cost_comparison(
    stamp: FileStamp, set_name: str, cost: CostFact, _catalog: RunCatalog
) -> VegaSpec:
    return charts.cost_chart(
        _cost_comparison_rows(_catalog, set_name, cost),
        _catalog.runs,
        kind="Model",
        cost=_COST_AXIS_TITLES[cost],
        value="Accuracy",
        title=SET_TITLES[set_name],
    )


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
        if (run_estimate.set_name, run_estimate.measure)
        == (set_name, "mask_vs_no_mask")
        and run_estimate.estimate.n
        and catalog.runs[run_estimate.run].facts[cost]
    ]


def run_charts(
    catalog: RunCatalog, names: tuple[str, ...], set_name: str, style: Style
) -> list[CaptionedChart]:
    """Return the charts of runs on one set; those without data are left out.

    Args:
        catalog: the runs.
        names: the selected run, then the runs to compare it with.
        set_name: a name in `EVALUATION_SETS`.
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
                charts.learning_curves(logs, quantity=quantity),
            )
            for name, caption, quantity in _LEARNING_CURVES
        ]
    if predictions:
        captioned += _prediction_charts(predictions, names[0], style)
    return captioned


def _prediction_charts(
    predictions: Mapping[str, Predictions], selected: str, style: Style
) -> list[CaptionedChart]:
    captioned = (
        [_captioned_confusion_matrix(predictions[selected], selected, style)]
        if selected in predictions
        else []
    )
    is_single = len(predictions) == 1
    task: Literal["classes", "wearing"] = "classes" if is_single else "wearing"
    return [
        *captioned,
        CaptionedChart(
            "ROC",
            "Recall against false-positive rate: closer to the upper left corner is "
            "better.",
            charts.roc_chart(predictions, task=task, style=style),
        ),
        CaptionedChart(
            "Precision and recall",
            "Closer to the upper right corner is better.",
            charts.precision_recall_chart(predictions, task=task, style=style),
        ),
        CaptionedChart(
            "Reliability",
            "On the dashed line a confidence of 80 % is correct 8 times in 10. Below "
            "it the model is overconfident.",
            charts.reliability_chart(predictions),
        ),
        CaptionedChart(
            "Slices",
            "Accuracy by subset with 95 % intervals. Triangle: significantly worse "
            "than the rest.",
            charts.slices_chart(predictions),
        ),
    ]


def _captioned_confusion_matrix(
    predictions: Predictions, run_name: str, style: Style
) -> CaptionedChart:
    caption = f"Rows: actual class. Columns: predictions of {run_name}."
    chart = charts.confusion_matrix_chart(predictions, style=style)
    return CaptionedChart("Confusion matrix", caption, chart)
