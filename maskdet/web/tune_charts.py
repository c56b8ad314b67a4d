"""What an outcome says, as charts of the Tune page."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from maskdet.charts.tune import NO_FACE, Spec, cut_histogram
from maskdet.charts.tune_curves import (
    FACES_TITLE,
    Line,
    calibration_chart,
    parts_chart,
    swept,
)
from maskdet.charts.tune_matrix import outcome_matrix
from maskdet.metrics.calibration import Reliability
from maskdet.metrics.estimate import Estimate, share
from maskdet.style import Style
from maskdet.tune import histograms
from maskdet.tune.calibrating import Fitted
from maskdet.tune.curves import Curve
from maskdet.tune.histograms import What
from maskdet.tune.judging import Outcome
from maskdet.tune.table import Part
from maskdet.types import CLASSES, Label

SCORE_TITLES: Mapping[What, str] = {"score": "Face score", "confidence": "Confidence"}


def actual_titles(style: Style) -> tuple[str, ...]:
    """Return the rows of the matrix: what is true."""
    return (*map(style.title, CLASSES), NO_FACE)


def said_titles(style: Style) -> tuple[str, ...]:
    """Return the columns of the matrix: what was said."""
    return (*map(style.title, CLASSES), style.title(Label.UNKNOWN), "Missed")


def histogram(outcome: Outcome, what: What, style: Style) -> Spec:
    """Return how many faces have which score, by truth, with the threshold."""
    counted = histograms.histogram(outcome, what)
    parts = {
        title: counted.counts[row].tolist()
        for row, title in enumerate(actual_titles(style))
    }
    return cut_histogram(
        counted.edges.tolist(),
        parts,
        [counted.threshold],
        x_title=SCORE_TITLES[what],
        style=style,
    )


def bare_histogram(outcome: Outcome, low: float, high: float, style: Style) -> Spec:
    """Return how likely "no mask" is for the faces shown, with the band's ends."""
    bare = style.title(Label.NO_MASK)
    edges = np.linspace(0, 1, 51)
    likely = outcome.probs[:, Label.NO_MASK]
    parts = {
        title: np.histogram(likely[outcome.actual == row], edges)[0].tolist()
        for row, title in enumerate(actual_titles(style))
    }
    return cut_histogram(
        edges.tolist(),
        parts,
        [low, high],
        below=(bare,),
        x_title=f"Probability of “{bare}”",
        style=style,
    )


def matrix(outcome: Outcome, chosen: tuple[int, int] | None, style: Style) -> Spec:
    """Return truth by answer, with what was missed and what is no face."""
    return outcome_matrix(
        outcome.confusion.tolist(),
        actual_titles(style),
        said_titles(style),
        chosen=chosen,
    )


def precision_recall(found: list[Curve], style: Style) -> Spec:
    """Return how often it is right for each share that it finds."""
    return swept(
        [_line(curve, style) for curve in found],
        x_title="Found (recall)",
        y_title="Right when said (precision)",
        steps=True,
        style=style,
    )


def roc(found: list[Curve], style: Style) -> Spec:
    """Return how much is found at each rate of false alarms among faces."""
    return swept(
        [_line(curve, style) for curve in found],
        x_title="Other faces called so",
        y_title="Found (recall)",
        steps=False,
        style=style,
    )


def alarms(curve: Curve, style: Style) -> Spec:
    """Return how many faces are found at each number of false alarms a picture."""
    return swept(
        [_line(curve, style)],
        x_title="False alarms a picture",
        y_title="Faces found (recall)",
        steps=False,
        x_most=_end(curve),
    )


def _end(curve: Curve) -> float | None:
    """Return where the axis of alarms ends: far beyond the point nobody looks."""
    if not len(curve.x):
        return None
    used = curve.point[0] if not math.isnan(curve.point[0]) else 0.0
    far = float(curve.x[-1])
    end = min(far, max(2.0, 3 * used))
    # 1 would be taken as a share.
    return end if end != 1.0 else 1.01


def _line(curve: Curve, style: Style) -> Line:
    title = FACES_TITLE if curve.label is None else style.title(curve.label)
    known = not any(math.isnan(number) for number in curve.point)
    return Line(
        title, curve.x, curve.y, curve.thresholds, curve.point if known else None
    )


def calibration(fitted: Fitted) -> Spec:
    """Return how often is right what is said so surely, before and after."""
    both = {"As it is": fitted.before, "Calibrated": fitted.after}
    rows = [row for name, curve in both.items() for row in _bins(name, curve)]
    return calibration_chart(rows, tuple(both))


def _bins(name: str, curve: Reliability) -> list[dict[str, float | int | str]]:
    rows: list[dict[str, float | int | str]] = []
    for score, hits, n in zip(curve.scores, curve.hits, curve.counts, strict=True):
        part = share(int(hits), int(n))
        rows.append({"run": name, "score": round(float(score), 4), **_ends(part)})
    return rows


def slices(found: tuple[Part, ...]) -> Spec:
    """Return which faces are harder, with their intervals."""
    rows = [
        {"part": f"{part.name}: {part.part}", **_ends(part.right)}
        for part in found
        if part.right.n
    ]
    return parts_chart(rows, x_title="Found and called right")


def _ends(part: Estimate) -> dict[str, float | int]:
    return {
        "share": round(part.value, 4),
        "low": round(part.low, 4),
        "high": round(part.high, 4),
        "n": part.n,
    }
