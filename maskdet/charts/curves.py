"""ROC and precision-recall curves from scores, with the point that is in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import altair as alt
import numpy as np

from maskdet.charts.look import (
    GREY,
    PERCENT,
    Row,
    data,
    faces,
    heading,
    label_colour,
    label_dash,
    layered,
    run_colour,
)
from maskdet.charts.thinning import thinned
from maskdet.metrics.answers import Answers
from maskdet.metrics.classification import score_curves
from maskdet.metrics.questions import (
    CLASS_QUESTIONS,
    Asked,
    Question,
    ask,
)
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import CLASSES

Shown: TypeAlias = Question | Literal["classes"]
"""One question with a colour a run, or the three classes with a colour each."""

_Kind: TypeAlias = Literal["roc", "pr"]

_AXES: Mapping[_Kind, tuple[str, str]] = {
    "roc": ("Others called so", "Found (recall)"),
    "pr": ("Found (recall)", "Right when said (precision)"),
}

_AREAS: Mapping[_Kind, str] = {"roc": "Area", "pr": "Average precision"}

_TITLES: Mapping[Shown, str] = {
    "wearing": "mask against no mask",
    "classes": "class by class",
}


def roc(
    answers: Mapping[str, Answers],
    *,
    question: Shown = "wearing",
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return ROC curves; the dot is what is said at the default threshold.

    Args:
        answers: name of a run to its answers, all on the same set.
        question: one question, or `classes` for three curves a run.
        style: names and colours of the classes.
    """
    rows = _rows(answers, question, "roc", style)
    diagonal = (
        alt.Chart(data([{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(color=GREY, strokeDash=[3, 3], strokeWidth=1)
        .encode(x="x:Q", y="y:Q")
    )
    layers = _layers(rows, "roc", list(answers), question, style)
    asked = _title(question, style)
    title = heading(f"ROC, {asked}", faces(map(len, answers.values())))
    return layered(title, diagonal, *layers)


def precision_recall(
    answers: Mapping[str, Answers],
    *,
    question: Shown = "wearing",
    style: Style = DEFAULT_STYLE,
) -> alt.LayerChart:
    """Return precision-recall curves; see `roc` for the arguments and the dot."""
    rows = _rows(answers, question, "pr", style)
    layers = _layers(rows, "pr", list(answers), question, style)
    asked = _title(question, style)
    title = heading(f"Precision and recall, {asked}", faces(map(len, answers.values())))
    return layered(title, *layers)


def _title(question: Shown, style: Style) -> str:
    if question in _TITLES:
        return _TITLES[question]
    return f"{style.title(CLASSES[CLASS_QUESTIONS.index(question)])} against the rest"


def _rows(
    answers: Mapping[str, Answers], question: Shown, kind: _Kind, style: Style
) -> tuple[list[Row], list[Row]]:
    """Return the points of all curves, and the one point of each that is in use."""
    lines: list[Row] = []
    dots: list[Row] = []
    for run, title, asked in _asked(answers, question, style):
        if asked.truths.all() or not asked.truths.any():
            continue  # one side is missing, so there is no curve
        curves = score_curves(asked.truths, asked.scores)
        if kind == "roc":
            # From nobody called so to everybody.
            x = np.concatenate([[0.0], curves.false_alarms])
            y = np.concatenate([[0.0], curves.recalls])
            thresholds = np.concatenate([curves.thresholds[:1], curves.thresholds])
            area = curves.roc_area
        else:
            x, y, thresholds = curves.recalls, curves.precisions, curves.thresholds
            area = curves.average_precision
        head: Row = {"run": run, "class": title, "area": round(area, 4)}
        for place in thinned(x, y):
            threshold = round(float(thresholds[place]), 4)
            lines.append({**head, **_point(x[place], y[place]), "threshold": threshold})
        if asked.said.any():
            dots.append({**head, **_point(*_in_use(asked, kind))})
    return lines, dots


def _asked(
    answers: Mapping[str, Answers], question: Shown, style: Style
) -> Iterator[tuple[str, str, Asked]]:
    """Yield run, class (empty for a single question) and what was asked."""
    for run, one in answers.items():
        if question != "classes":
            yield run, "", ask(one.labelling, question)
            continue
        for label, each in zip(CLASSES, CLASS_QUESTIONS, strict=True):
            yield run, style.title(label), ask(one.labelling, each)


def _point(x: float, y: float) -> Row:
    return {"x": round(float(x), 5), "y": round(float(y), 5)}


def _in_use(asked: Asked, kind: _Kind) -> tuple[float, float]:
    """Return where the decisions that were taken lie."""
    hits = int((asked.truths & asked.said).sum())
    recall = hits / int(asked.truths.sum())
    if kind == "roc":
        wrong = int((~asked.truths & asked.said).sum())
        return wrong / int((~asked.truths).sum()), recall
    return recall, hits / int(asked.said.sum())


def _tips(kind: _Kind, *, several: bool, classes: bool) -> list[alt.Tooltip]:
    x_title, y_title = _AXES[kind]
    return [
        *[alt.Tooltip("run:N", title="Run")] * several,
        *[alt.Tooltip("class:N", title="Class")] * classes,
        alt.Tooltip("x:Q", title=x_title, format=PERCENT),
        alt.Tooltip("y:Q", title=y_title, format=PERCENT),
        alt.Tooltip("area:Q", title=_AREAS[kind], format=".4f"),
    ]


def _layers(
    rows: tuple[list[Row], list[Row]],
    kind: _Kind,
    runs: list[str],
    question: Shown,
    style: Style,
) -> list[alt.Chart]:
    """Return the lines, what a pointer near them reads, and the dots in use."""
    lines, dots = rows
    x_title, y_title = _AXES[kind]
    tips = _tips(kind, several=len(runs) > 1, classes=question == "classes")
    share = alt.Scale(domain=[0, 1])
    common = {
        "x": alt.X("x:Q", title=x_title, scale=share, axis=alt.Axis(format="%")),
        "y": alt.Y("y:Q", title=y_title, scale=share, axis=alt.Axis(format="%")),
        "color": label_colour(style) if question == "classes" else run_colour(runs),
        "detail": ["run:N", "class:N"],
        "order": alt.Order("place:Q"),
    }
    dash = {"strokeDash": label_dash(style)} if question == "classes" else {}
    at = [*tips, alt.Tooltip("threshold:Q", title="From score", format=".3f")]
    used = [*tips, alt.Tooltip("what:N", title="Point")]
    base = alt.Chart(data({**row, "place": n} for n, row in enumerate(lines)))
    shown = alt.Chart(data({**row, "what": "as labelled by default"} for row in dots))
    # A step, as between two thresholds that occur nothing changes.
    steps: Literal["linear", "step-before"] = (
        "linear" if kind == "roc" else "step-before"
    )
    return [
        base.mark_line(interpolate=steps, strokeWidth=2).encode(**common, **dash),
        base.mark_point(size=120, opacity=0, filled=True).encode(**common, tooltip=at),
        shown.mark_point(size=90, filled=True, opacity=1, stroke=GREY).encode(
            **common, tooltip=used
        ),
    ]
