"""What the Models page says of the runs in numbers, side by side and as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import streamlit as st

from maskdet.metrics.answers import Answers
from maskdet.metrics.estimate import Estimate
from maskdet.runs import SETS, Run
from maskdet.style import Style
from maskdet.types import CLASSES
from maskdet.web.models import Shelf, Stamp, ships_weights

Measure: TypeAlias = Literal["wearing", "bare", "balanced"]

MEASURES: Final[Mapping[Measure, str]] = {
    "wearing": "Mask against no mask",
    "bare": "Bare faces right",
    "balanced": "Three classes, balanced",
}
"""What is measured, in the words of the page."""

MEASURE_HELP: Final[Mapping[Measure, str]] = {
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
"""Short names of the sets in `maskdet.runs.SETS`, those that tell most first."""


@dataclass(frozen=True)
class Number:
    """One measured number of one run.

    Attributes:
        run: its name.
        set_name: a name in `SETS`.
        measure: what was measured.
        estimate: the number with its interval, as shares.
    """

    run: str
    set_name: str
    measure: Measure
    estimate: Estimate


COSTS: Final[Mapping[str, tuple[str, float]]] = {
    "Parameters (M)": ("parameters", 1e6),
    "File (MB)": ("bytes", 1e6),
    "1 face (ms)": ("one_face_ms", 1.0),
    "Of 4, each (ms)": ("four_faces_ms", 4.0),
}
"""Heading of a column to the fact it shows and its unit; the last is a whole call."""


def measured(answers: Answers, measure: Measure) -> Estimate:
    """Return one number of a set of answers."""
    labels = answers.labelling
    if measure == "wearing":
        return labels.wearing.accuracy
    if measure == "bare":
        return labels.wearing.recalls[1]
    return labels.states.balanced_accuracy()


def numbers(shelf: Shelf) -> list[Number]:
    """Return every number of every run, counted once."""
    return _numbers(shelf.stamp, shelf)


@st.cache_data(max_entries=2, show_spinner="Counting …")
def _numbers(stamp: Stamp, _shelf: Shelf) -> list[Number]:
    return [
        Number(name, set_name, measure, measured(run.answers[set_name], measure))
        for name, run in _shelf.runs.items()
        for set_name in SETS
        if set_name in run.answers
        for measure in get_args(Measure)
    ]


Column: TypeAlias = list[str] | list[str | None] | list[float | None] | list[int | None]

Heading: TypeAlias = tuple[str, str]
"""Of a column: what stands above it and its neighbours, and its own."""

VALUE, INTERVAL, COUNT = "%", "95 % interval", "n"
"""Headings of the three columns of each set."""


def table(
    shelf: Shelf, measure: Measure, *, in_use: str, usable: Iterable[str]
) -> dict[Heading, Column]:
    """Return the columns of the table of runs, shares in percent.

    Args:
        shelf: the runs.
        measure: which number is shown for each set.
        in_use: name of the run that labels the faces now.
        usable: names of the runs that could.
    """
    rows = list(shelf.runs.items())
    able = set(usable)
    columns: dict[Heading, Column] = {
        ("", "Model"): [name for name, _ in rows],
        ("", "Use"): [_use(name, run, in_use=in_use, able=able) for name, run in rows],
    }
    known = {
        (number.run, number.set_name): number.estimate
        for number in numbers(shelf)
        if number.measure == measure
    }
    for set_name, title in SET_TITLES.items():
        estimates = [known.get((name, set_name)) for name, _ in rows]
        columns[title, VALUE] = [percent(one) for one in estimates]
        columns[title, INTERVAL] = [interval(one) for one in estimates]
        columns[title, COUNT] = [one.n if one else None for one in estimates]
    for heading, (fact, unit) in COSTS.items():
        columns["Cost", heading] = [_scaled(run, fact, unit) for _, run in rows]
    return columns


def percent(estimate: Estimate | None) -> float | None:
    """Return the number in percent; None where there was nothing to measure."""
    return 100 * estimate.value if estimate is not None and estimate.n else None


def interval(estimate: Estimate | None) -> str | None:
    """Return the 95 % interval in percent, as in "95.1 to 98.2", or None as above."""
    if estimate is None or not estimate.n:
        return None
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _use(name: str, run: Run, *, in_use: str, able: set[str]) -> str:
    if name == in_use:
        return "in use"
    if name in able:
        return "can be used"
    return "not here" if ships_weights(run) else "numbers only"


def _scaled(run: Run, fact: str, unit: float) -> float | None:
    value = run.facts[fact]
    return None if value is None else float(value) / unit


def numbers_csv(shelf: Shelf, run_name: str | None = None) -> str:
    """Return the numbers of one run, or of all, as CSV with a row a number."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "set", "measure", "value", "low", "high", "n"])
    for number in numbers(shelf):
        if run_name in (None, number.run):
            ends = number.estimate.rounded()
            values = ["" if ends[key] is None else ends[key] for key in _ENDS]
            writer.writerow(
                [number.run, number.set_name, number.measure, *values, ends["n"]]
            )
    return text.getvalue()


_ENDS: Final = ("value", "low", "high")


def mistakes_line(answers: Answers, style: Style) -> str:
    """Return how many faces got a wrong class, and which for which, most first."""
    counts = answers.labelling.states.counts
    pairs = [
        (int(counts[truth, said]), truth, said)
        for truth in CLASSES
        for said in CLASSES
        if truth != said and counts[truth, said]
    ]
    n = len(answers)
    if not pairs:
        return f"none of {n:,} wrong"
    parts = [
        f"{count} “{style.title(truth)}” called “{style.title(said)}”"
        for count, truth, said in sorted(pairs, key=lambda pair: -pair[0])
    ]
    return f"{sum(pair[0] for pair in pairs):,} of {n:,} wrong: {', '.join(parts)}"
