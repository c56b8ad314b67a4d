"""A report folder: every number as JSON, every chart as SVG and PNG."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maskdet.extras import require
from maskdet.metrics.answers import Answers
from maskdet.metrics.labelling import Json
from maskdet.metrics.numbers import numbers
from maskdet.metrics.slices import slices
from maskdet.report.figures import save_chart
from maskdet.report.mistakes import Mistake
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

if TYPE_CHECKING:
    import altair as alt

    from maskdet.charts.learning import Log

CHART_LIBRARIES: Final = ("altair", "vl_convert")
"""What charts as files are made with."""

REPORT_NAME = "report.json"

_INTERVALS = (
    "low and high are 95 %: by drawing faces anew (Wilson's where all or none is "
    "right); slices: Wilson's, and Newcombe's for differences"
)


def measured(answers: Answers) -> Json:
    """Return every number on one set, with interval and n, and its parts."""
    counts = answers.labelling.states.counts[:, : len(CLASSES)]
    return {
        **numbers(answers.labelling).to_json(),
        "confusion": counts.tolist(),
        "slices": [part.to_json() for part in slices(answers)],
    }


def write_report(
    folder: Path,
    answers: Mapping[str, Answers],
    *,
    log: Log | None = None,
    title: str = "",
    mistakes: Sequence[Mistake] = (),
    style: Style = DEFAULT_STYLE,
) -> list[Path]:
    """Write `report.json` and the charts of one run, and return what was written.

    Args:
        folder: made if there is none; files of the same names are replaced.
        answers: name of a set to the answers on it. With several sets, the names of
            the chart files begin with the name of the set.
        log: how the run learnt, for its learning curves.
        title: what was measured, in one line.
        mistakes: named in the JSON by file and box.
        style: names and colours of the classes in the charts; the JSON has their keys.

    Raises:
        OSError: the folder cannot be written.
        MissingExtraError: a library that draws the charts is not installed.
    """
    require("a report with charts", *CHART_LIBRARIES)
    folder.mkdir(parents=True, exist_ok=True)
    content: Json = {
        "version": 1,
        "title": title,
        "intervals": _INTERVALS,
        "labels": [label.key for label in CLASSES],
        "sets": {name: measured(one) for name, one in answers.items()},
        "mistakes": [one.to_json() for one in mistakes],
        "log": None if log is None else [_finite(row) for row in log],
    }
    path = folder / REPORT_NAME
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    written = [path]
    plain = style.drawable()
    drawable = {} if plain == style else _charts(answers, plain)
    for name, chart in _charts(answers, style).items():
        written += save_chart(chart, folder, name, drawable=drawable.get(name))
    return [*written, *write_curves(folder, log or (), title)]


def write_curves(folder: Path, log: Log, title: str = "") -> list[Path]:
    """Write the learning curves of one run, `learning-loss.svg` and so on.

    Args:
        folder: where; files of the same names are replaced.
        log: how the run learnt.
        title: name of the run.

    Raises:
        OSError: the folder cannot be written.
        MissingExtraError: a library that draws the charts is not installed.
    """
    require("learning curves", *CHART_LIBRARIES)
    from maskdet import charts

    logs = {title or "training": log}
    written = []
    for quantity in charts.QUANTITIES:
        if charts.is_logged(log, quantity):
            chart = charts.learning_curves(logs, quantity=quantity)
            written += save_chart(chart, folder, f"learning-{quantity}")
    return written


def _finite(row: Mapping[str, float]) -> Json:
    """Return a row with None for what could not be measured: JSON has no NaN."""
    return {k: v if math.isfinite(v) else None for k, v in row.items()}


def _charts(answers: Mapping[str, Answers], style: Style) -> dict[str, alt.LayerChart]:
    """Return the charts by the name of their file."""
    from maskdet import charts

    drawn = {}
    for name, one in answers.items():
        if not len(one):
            continue
        start = f"{name.replace('/', '-')}-" if len(answers) > 1 else ""
        alone = {name: one}
        drawn[f"{start}confusion"] = charts.confusion_matrix(one, style=style)
        drawn[f"{start}roc"] = charts.roc(alone)
        drawn[f"{start}roc-classes"] = charts.roc(
            alone, question="classes", style=style
        )
        drawn[f"{start}precision-recall"] = charts.precision_recall(
            alone, question="classes", style=style
        )
        drawn[f"{start}reliability"] = charts.reliability_chart(alone)
        drawn[f"{start}reliability-mask"] = charts.reliability_chart(
            alone, believed="wearing"
        )
        drawn[f"{start}slices"] = charts.slices_chart(alone)
    return drawn
