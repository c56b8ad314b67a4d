"""The charts of the Models page, kept as specifications so that a rerun is quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import altair as alt
import streamlit as st

from maskdet import charts
from maskdet.metrics.answers import Answers
from maskdet.style import Style
from maskdet.web.models import Shelf, Stamp
from maskdet.web.models_numbers import SET_TITLES, numbers

Spec: TypeAlias = dict[str, Any]
"""A Vega-Lite chart with its data."""

Cost: TypeAlias = Literal["bytes", "one_face_ms"]

AGAINST: Final[Mapping[Cost, str]] = {
    "bytes": "File size",
    "one_face_ms": "Time a face",
}
"""What accuracy can be drawn against: the fact's name, and its name on the page."""

_COST_TITLES: Final[Mapping[Cost, str]] = {
    "bytes": "File (MB)",
    "one_face_ms": "One face (ms)",
}
_COST_UNITS: Final[Mapping[Cost, float]] = {"bytes": 1e6, "one_face_ms": 1.0}

COMPARED_SETS: Final = ("kaggle-val/true", "ilc-val/true")
"""The sets of scenes that accuracy is drawn for, against what it costs."""

_HEIGHT: Final = 380


@dataclass(frozen=True)
class Drawn:
    """A chart and what it says.

    Attributes:
        name: in one or two words, for screen readers.
        line: what a person can see in it.
        spec: the chart.
    """

    name: str
    line: str
    spec: Spec


def comparison(shelf: Shelf, set_name: str, cost: Cost) -> Spec:
    """Return the accuracy of every run on a set against what it costs to use it."""
    return _comparison(shelf.stamp, set_name, cost, shelf)


@st.cache_data(max_entries=16, show_spinner=False)
def _comparison(stamp: Stamp, set_name: str, cost: Cost, _shelf: Shelf) -> Spec:
    chart = charts.cost_chart(
        _comparison_rows(_shelf, set_name, cost),
        _shelf.runs,
        kind="Model",
        cost=_COST_TITLES[cost],
        value="Accuracy",
    )
    return as_spec(chart, title=SET_TITLES[set_name])


def _comparison_rows(shelf: Shelf, set_name: str, cost: Cost) -> list[dict[str, Any]]:
    return [
        {
            "run": number.run,
            "cost": round(shelf.runs[number.run].facts[cost] / _COST_UNITS[cost], 3),
            "share": round(number.estimate.value, 4),
            "low": round(number.estimate.low, 4),
            "high": round(number.estimate.high, 4),
            "n": number.estimate.n,
        }
        for number in numbers(shelf)
        if (number.set_name, number.measure) == (set_name, "wearing")
        and number.estimate.n
        and shelf.runs[number.run].facts[cost]
    ]


def drawn(
    shelf: Shelf, names: tuple[str, ...], set_name: str, style: Style
) -> list[Drawn]:
    """Return the charts of runs on one set, as far as they have what is needed.

    Args:
        shelf: the runs.
        names: the chosen run, then those to compare it with.
        set_name: a name in `SETS`.
        style: names and colours of the classes.
    """
    return _drawn(shelf.stamp, names, set_name, style, shelf)


@st.cache_data(max_entries=64, show_spinner="Drawing …")
def _drawn(
    stamp: Stamp, names: tuple[str, ...], set_name: str, style: Style, _shelf: Shelf
) -> list[Drawn]:
    runs = {name: _shelf.runs[name] for name in names}
    logs = {name: run.log for name, run in runs.items() if run.log}
    answers = {
        name: run.answers[set_name]
        for name, run in runs.items()
        if len(run.answers.get(set_name, ()))
    }
    found: list[Drawn] = []
    if logs:
        found += [
            Drawn(name, line, as_spec(charts.learning_curves(logs, quantity=quantity)))
            for name, line, quantity in _LEARNING
        ]
    if answers:
        found += _of_answers(answers, names[0], style)
    return found


_LEARNING: Final[tuple[tuple[str, str, Literal["loss", "accuracy"]], ...]] = (
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


def _of_answers(
    answers: Mapping[str, Answers], chosen: str, style: Style
) -> list[Drawn]:
    found = [_matrix(answers[chosen], chosen, style)] if chosen in answers else []
    alone = len(answers) == 1
    shown: Literal["classes", "wearing"] = "classes" if alone else "wearing"
    return [
        *found,
        Drawn(
            "ROC",
            "What is found at each rate of false alarms: the nearer the upper left "
            "corner, the better.",
            as_spec(charts.roc(answers, question=shown, style=style)),
        ),
        Drawn(
            "Precision and recall",
            "How often it is right when it says so, for each share it finds: the "
            "nearer the upper right corner, the better.",
            as_spec(charts.precision_recall(answers, question=shown, style=style)),
        ),
        Drawn(
            "Reliability",
            "Whether a confidence of 80 % is right 8 times in 10: then the points lie "
            "on the dashed line; below it, it is too sure of itself.",
            as_spec(charts.reliability_chart(answers)),
        ),
        Drawn(
            "Slices",
            "Which faces are harder, with 95 % intervals: a triangle is worse than "
            "the rest by more than chance.",
            as_spec(charts.slices_chart(answers), height=None),
        ),
    ]


def _matrix(answers: Answers, run_name: str, style: Style) -> Drawn:
    line = (
        f"Each row is a truth, each column what {run_name} said: all that is off the "
        "diagonal is wrong."
    )
    chart = charts.confusion_matrix(answers, style=style)
    return Drawn("Confusion matrix", line, as_spec(chart))


def as_spec(
    chart: alt.LayerChart | alt.FacetChart,
    *,
    title: str = "",
    height: int | None = _HEIGHT,
) -> Spec:
    """Return a chart as the pages take it.

    Args:
        chart: the chart.
        title: replaces its own one, if given.
        height: in pixels; None to leave it to the chart.
    """
    spec: Spec = chart.to_dict()
    if title:
        spec["title"] = title
    if height is not None:
        spec["height"] = height
    # The page gives size and fonts; a legend at the side would leave a phone no chart.
    spec["config"] = {"legend": {"orient": "bottom", "columns": 3}}
    return spec
