"""A report folder: every number as JSON, every chart as SVG and PNG."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskdet.extras import require_libraries
from maskdet.metrics.answers import Predictions
from maskdet.metrics.labelling import Json
from maskdet.metrics.numbers import summarize_classification
from maskdet.metrics.slices import evaluate_slices
from maskdet.report.figures import save_chart
from maskdet.report.mistakes import Mistake
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

if TYPE_CHECKING:
    import altair as alt

    from maskdet.charts.learning import TrainingLog

CHART_LIBRARIES: Final = ("altair", "vl_convert")
"""What charts as files are made with."""

REPORT_NAME = "report.json"

_INTERVALS = (
    "low and high are 95 %: by drawing faces anew (Wilson's where all or none is "
    "right); slices: Wilson's, and Newcombe's for differences"
)


def summarize_predictions(predictions: Predictions) -> Json:
    """Return every number on one set, with interval and n, and its parts."""
    counts = predictions.classification.class_confusion.counts[:, : len(CLASSES)]
    return {
        **summarize_classification(predictions.classification).to_json(),
        "confusion": counts.tolist(),
        "slices": [part.to_json() for part in evaluate_slices(predictions)],
    }


def write_report(
    folder: Path,
    predictions: Mapping[str, Predictions],
    *,
    log: TrainingLog | None = None,
    title: str = "",
    mistakes: Sequence[Mistake] = (),
    style: Style = DEFAULT_STYLE,
) -> list[Path]:
    """Write `report.json` and the charts of one run, and return what was written.

    Args:
        folder: made if there is none; files of the same names are replaced.
        predictions: name of a set to the answers on it. With several sets, the names of
            the chart files begin with the name of the set.
        log: how the run learnt, for its learning curves.
        title: what was measured, in one line.
        mistakes: named in the JSON by file and box.
        style: names and colours of the classes in the charts; the JSON has their keys.

    Raises:
        OSError: the folder cannot be written.
        MissingExtraError: a library that draws the charts is not installed.
    """
    require_libraries("a report with charts", *CHART_LIBRARIES)
    folder.mkdir(parents=True, exist_ok=True)
    content: Json = {
        "version": 1,
        "title": title,
        "intervals": _INTERVALS,
        "labels": [label.key for label in CLASSES],
        "sets": {
            name: summarize_predictions(item) for name, item in predictions.items()
        },
        "mistakes": [item.to_json() for item in mistakes],
        "log": None if log is None else [_replace_nan(row) for row in log],
    }
    path = folder / REPORT_NAME
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    written = [path]
    plain_style = style.to_drawable()
    plain_charts = (
        {} if plain_style == style else _build_charts(predictions, plain_style)
    )
    for name, chart in _build_charts(predictions, style).items():
        written += save_chart(chart, folder, name, png_chart=plain_charts.get(name))
    return [*written, *write_curves(folder, log or (), title)]


def write_curves(folder: Path, log: TrainingLog, title: str = "") -> list[Path]:
    """Write the learning curves of one run, `learning-loss.svg` and so on.

    Args:
        folder: where; files of the same names are replaced.
        log: how the run learnt.
        title: name of the run.

    Raises:
        OSError: the folder cannot be written.
        MissingExtraError: a library that draws the charts is not installed.
    """
    require_libraries("learning curves", *CHART_LIBRARIES)
    from maskdet import charts

    logs = {title or "training": log}
    written = []
    for quantity in charts.QUANTITIES:
        if charts.is_logged(log, quantity):
            chart = charts.learning_curves(logs, quantity=quantity)
            written += save_chart(chart, folder, f"learning-{quantity}")
    return written


def _replace_nan(row: Mapping[str, float]) -> Json:
    """Return a row with None for what could not be measured: JSON has no NaN."""
    return {k: v if math.isfinite(v) else None for k, v in row.items()}


def _build_charts(
    predictions: Mapping[str, Predictions], style: Style
) -> dict[str, alt.LayerChart]:
    """Return the charts by the name of their file."""
    from maskdet import charts

    charts_by_name = {}
    for name, item in predictions.items():
        if not len(item):
            continue
        prefix = f"{name.replace('/', '-')}-" if len(predictions) > 1 else ""
        single_set = {name: item}
        charts_by_name[f"{prefix}confusion"] = charts.confusion_matrix_chart(
            item, style=style
        )
        charts_by_name[f"{prefix}roc"] = charts.roc_chart(single_set)
        charts_by_name[f"{prefix}roc-classes"] = charts.roc_chart(
            single_set, task="classes", style=style
        )
        charts_by_name[f"{prefix}precision-recall"] = charts.precision_recall_chart(
            single_set, task="classes", style=style
        )
        charts_by_name[f"{prefix}reliability"] = charts.reliability_chart(single_set)
        charts_by_name[f"{prefix}reliability-mask"] = charts.reliability_chart(
            single_set, target="wearing"
        )
        charts_by_name[f"{prefix}slices"] = charts.slices_chart(single_set)
    return charts_by_name
