"""What the Models page says of the runs in numbers, side by side and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import streamlit as st

from maskdet.metrics.answers import Predictions
from maskdet.metrics.estimate import Estimate
from maskdet.runs import EVALUATION_SETS, TrainingRun
from maskdet.style import Style
from maskdet.types import CLASSES
from maskdet.web.models import FileStamp, RunCatalog, has_bundled_weights

AccuracyMeasure: TypeAlias = Literal["wearing", "bare", "balanced"]

MEASURE_TITLES: Final[Mapping[AccuracyMeasure, str]] = {
    "wearing": "Mask against no mask",
    "bare": "Bare faces right",
    "balanced": "Three classes, balanced",
}
"""What is measured, in the words of the page."""

MEASURE_HELP: Final[Mapping[AccuracyMeasure, str]] = {
    "wearing": "The share of all faces for which it is right whether a mask is worn; "
    "one that is incorrectly worn counts as a mask.",
    "bare": "The share of the faces without a mask that are called so: the rest are "
    "false alarms that let somebody pass.",
    "balanced": "The mean share right over mask, no mask and incorrectly worn, each "
    "weighing the same however few there are.",
}
"""One line for each."""

SET_TITLES: Final[Mapping[str, str]] = {
    "kaggle-val/true": "kaggle-val, true boxes",
    "ilc-val/true": "ilc-val, true boxes",
    "kaggle-val/found": "kaggle-val, found boxes",
    "ilc-val/found": "ilc-val, found boxes",
    "faces-test": "Faces test",
}
"""Short names of the sets in `maskdet.runs.EVALUATION_SETS`, those that tell most first."""


@dataclass(frozen=True)
class RunEstimate:
    """One measured number of one run.

    Attributes:
        run: its name.
        set_name: a name in `EVALUATION_SETS`.
        measure: what was measured.
        estimate: the number with its interval, as shares.
    """

    run: str
    set_name: str
    measure: AccuracyMeasure
    estimate: Estimate


COST_COLUMNS: Final[Mapping[str, tuple[str, float]]] = {
    "Parameters (M)": ("parameters", 1e6),
    "File (MB)": ("bytes", 1e6),
    "1 face (ms)": ("one_face_ms", 1.0),
    "Of 4, each (ms)": ("four_faces_ms", 4.0),
}
"""Heading of a column to the fact it shows and its unit; the last is a whole call."""


def compute_measure(predictions: Predictions, measure: AccuracyMeasure) -> Estimate:
    """Return one number of a set of answers."""
    labels = predictions.classification
    if measure == "wearing":
        return labels.binary_confusion.accuracy
    if measure == "bare":
        return labels.binary_confusion.recalls[1]
    return labels.class_confusion.balanced_accuracy()


def list_run_estimates(catalog: RunCatalog) -> list[RunEstimate]:
    """Return every number of every run, counted once."""
    return _compute_run_estimates(catalog.stamp, catalog)


@st.cache_data(max_entries=2, show_spinner="Counting …")
def _compute_run_estimates(stamp: FileStamp, _catalog: RunCatalog) -> list[RunEstimate]:
    return [
        RunEstimate(
            name, set_name, measure, compute_measure(run.predictions[set_name], measure)
        )
        for name, run in _catalog.runs.items()
        for set_name in EVALUATION_SETS
        if set_name in run.predictions
        for measure in get_args(AccuracyMeasure)
    ]


Column: TypeAlias = list[str] | list[str | None] | list[float | None] | list[int | None]

Heading: TypeAlias = tuple[str, str]
"""Of a column: what stands above it and its neighbours, and its own."""

PERCENT_HEADING, PERCENT_INTERVAL_HEADING, COUNT_HEADING = "%", "95 % interval", "n"
"""Headings of the three columns of each set."""


def run_table(
    catalog: RunCatalog, measure: AccuracyMeasure, *, in_use: str, usable: Iterable[str]
) -> dict[Heading, Column]:
    """Return the columns of the table of runs, shares in percent.

    Args:
        catalog: the runs.
        measure: which number is shown for each set.
        in_use: name of the run that labels the faces now.
        usable: names of the runs that could.
    """
    rows = list(catalog.runs.items())
    usable_names = set(usable)
    columns: dict[Heading, Column] = {
        ("", "Model"): [name for name, _ in rows],
        ("", "Use"): [
            _describe_run_use(name, run, in_use=in_use, usable_names=usable_names)
            for name, run in rows
        ],
    }
    estimates_by_key = {
        (run_estimate.run, run_estimate.set_name): run_estimate.estimate
        for run_estimate in list_run_estimates(catalog)
        if run_estimate.measure == measure
    }
    for set_name, title in SET_TITLES.items():
        estimates = [estimates_by_key.get((name, set_name)) for name, _ in rows]
        columns[title, PERCENT_HEADING] = [
            to_percent(estimate) for estimate in estimates
        ]
        columns[title, PERCENT_INTERVAL_HEADING] = [
            format_percent_interval(estimate) for estimate in estimates
        ]
        columns[title, COUNT_HEADING] = [
            estimate.n if estimate else None for estimate in estimates
        ]
    for heading, (fact, unit) in COST_COLUMNS.items():
        columns["Cost", heading] = [_scale_fact(run, fact, unit) for _, run in rows]
    return columns


def to_percent(estimate: Estimate | None) -> float | None:
    """Return the number in percent; None where there was nothing to measure."""
    return 100 * estimate.value if estimate is not None and estimate.n else None


def format_percent_interval(estimate: Estimate | None) -> str | None:
    """Return the 95 % interval in percent, as in "95.1 to 98.2", or None as above."""
    if estimate is None or not estimate.n:
        return None
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _describe_run_use(
    name: str, run: TrainingRun, *, in_use: str, usable_names: set[str]
) -> str:
    if name == in_use:
        return "in use"
    if name in usable_names:
        return "can be used"
    return "not here" if has_bundled_weights(run) else "numbers only"


def _scale_fact(run: TrainingRun, fact: str, unit: float) -> float | None:
    value = run.facts[fact]
    return None if value is None else float(value) / unit


def run_estimates_csv(catalog: RunCatalog, run_name: str | None = None) -> str:
    """Return the numbers of one run, or of all, as CSV with a row a number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "set", "measure", "value", "low", "high", "n"])
    for run_estimate in list_run_estimates(catalog):
        if run_name in (None, run_estimate.run):
            rounded = run_estimate.estimate.to_json()
            values = [
                "" if rounded[key] is None else rounded[key] for key in _CSV_FIELDS
            ]
            writer.writerow(
                [
                    run_estimate.run,
                    run_estimate.set_name,
                    run_estimate.measure,
                    *values,
                    rounded["n"],
                ]
            )
    return text.getvalue()


_CSV_FIELDS: Final = ("value", "low", "high")


def describe_mistakes(predictions: Predictions, style: Style) -> str:
    """Return how many faces got a wrong class, and which for which, most first."""
    counts = predictions.classification.class_confusion.counts
    pairs = [
        (int(counts[actual, predicted]), actual, predicted)
        for actual in CLASSES
        for predicted in CLASSES
        if actual != predicted and counts[actual, predicted]
    ]
    n = len(predictions)
    if not pairs:
        return f"none of {n:,} wrong"
    parts = [
        f"{count} “{style.title(actual)}” called “{style.title(predicted)}”"
        for count, actual, predicted in sorted(pairs, key=lambda pair: -pair[0])
    ]
    return f"{sum(pair[0] for pair in pairs):,} of {n:,} wrong: {', '.join(parts)}"
