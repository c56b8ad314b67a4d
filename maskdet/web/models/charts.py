"""Charts of the Models page, cached as Vega-Lite specifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import streamlit as st

from maskdet import charts
from maskdet.charts import VegaSpec
from maskdet.charts.classification import interval_fields
from maskdet.charts.spec import ChartRow
from maskdet.metrics.classification import Predictions
from maskdet.style import Style
from maskdet.web.models.tables import (
    CATALOG_HASH,
    SET_TITLES,
    RunCatalog,
    list_run_estimates,
)
from maskdet.wording import PERCENT

CostFact: TypeAlias = Literal["bytes", "one_face_ms"]

COST_FACT_TITLES: Final[Mapping[CostFact, str]] = {
    "bytes": "File size",
    "one_face_ms": "Time per face",
}
"""Costs that accuracy is drawn against, with their titles."""

_COST_AXES: Final[Mapping[CostFact, tuple[str, float]]] = {
    "bytes": ("File (MB)", 1e6),
    "one_face_ms": ("One face (ms)", 1.0),
}
"""Title and unit of each cost."""

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


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=CATALOG_HASH)
def cost_comparison_chart(
    catalog: RunCatalog, set_name: str, cost: CostFact
) -> VegaSpec:
    """Return a chart of the accuracy of all runs on a set against a cost."""
    axis_title, unit = _COST_AXES[cost]
    rows: list[ChartRow] = []
    for name, set_, measure, estimate in list_run_estimates(catalog):
        fact = catalog.runs[name].facts[cost]
        if (set_, measure) == (set_name, "mask_vs_no_mask") and estimate.n and fact:
            fields = interval_fields(estimate)
            rows.append({"run": name, "cost": round(fact / unit, 3), **fields})
    return charts.cost_chart(
        rows,
        catalog.runs,
        kind="Model",
        cost=axis_title,
        value="Accuracy",
        title=SET_TITLES[set_name],
    )


@st.cache_data(max_entries=64, show_spinner="Drawing …", hash_funcs=CATALOG_HASH)
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
    runs = {name: catalog.runs[name] for name in names}
    logs = {name: run.log for name, run in runs.items() if run.log}
    predictions = {
        name: run.predictions[set_name]
        for name, run in runs.items()
        if len(run.predictions.get(set_name, ()))
    }
    learning_curves = [
        CaptionedChart(name, caption, charts.learning_curves(logs, quantity=quantity))
        for name, caption, quantity in (_LEARNING_CURVES if logs else ())
    ]
    return learning_curves + _prediction_charts(predictions, names[0], style)


def _prediction_charts(
    predictions: Mapping[str, Predictions], selected: str, style: Style
) -> list[CaptionedChart]:
    if not predictions:
        return []
    captioned = []
    if selected in predictions:
        caption = f"Rows: actual class. Columns: predictions of {selected}."
        matrix = charts.confusion_matrix_chart(predictions[selected], style=style)
        captioned.append(CaptionedChart("Confusion matrix", caption, matrix))
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
            f"On the dashed line a confidence of 80{PERCENT} is correct 8 times in 10. "
            "Below it the model is overconfident.",
            charts.reliability_chart(predictions),
        ),
        CaptionedChart(
            "Slices",
            f"Accuracy by subset with 95{PERCENT} intervals. Triangle: significantly "
            "worse than the rest.",
            charts.slices_chart(predictions),
        ),
    ]
