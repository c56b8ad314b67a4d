"""Curves over every threshold, with the present one as a point on them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.metrics.classification import score_curves
from maskdet.metrics.detection import (
    Matches,
    average_precision,
    average_precisions,
    curve,
)
from maskdet.metrics.estimate import Estimate, percentile_estimate
from maskdet.metrics.questions import Asked
from maskdet.metrics.resampled import Floats, Weights, areas, ratios
from maskdet.tune.drawn import picture_weights
from maskdet.tune.judging import MIN_IOU, NO_FACE, Judge, Outcome
from maskdet.tune.scored import Rows
from maskdet.types import CLASSES, Label, Settings

DRAWS: Final = 300
"""Bootstrap draws for an area: few enough to follow a slider; the ends of the interval
move by a tenth of its width with the seed."""

_AT_ONCE = 50
"""Draws held at once: they then stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Curve:
    """What every threshold on a score would give.

    Attributes:
        label: the class, None for faces whatever their class.
        x: `(k,)` recall (precision-recall), share of the others (ROC), or false alarms
            a picture (ROC of faces).
        y: `(k,)` precision (precision-recall) or recall (ROC).
        thresholds: `(k,)` falling: what is at or above counts.
        area: under the curve, with a bootstrap interval over pictures.
        point: x and y at the present settings; NaN where there is none.
    """

    label: Label | None
    x: Floats
    y: Floats
    thresholds: Floats
    area: Estimate
    point: tuple[float, float]


def precision_recall(
    judge: Judge,
    settings: Settings,
    label: Label | None = None,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
    resamples: int = DRAWS,
    seed: int = 0,
) -> Curve:
    """Return precision (y) against recall (x), sweeping the score of the face.

    All else is held where the settings have it, so each point is what the table would
    say with `min_score` there, and the present point lies on the curve. A class counts
    the faces that are called so, surely enough; a true face of the class that is not
    found, called otherwise or unsure lowers its recall.

    Args:
        judge: of the set.
        settings: the present ones.
        label: the class, None for faces whatever their class.
        min_iou: smallest overlap that counts as found.
        temperature: of the probabilities.
        resamples: draws of pictures for the interval of the area.
        seed: of these draws.

    Raises:
        ValueError: the label is `UNKNOWN`.

    Returns:
        The area is average precision with all-point interpolation, as COCO defines it
        but for its 101 samples; see `metrics.detection`.
    """
    _check(label)
    floor = dataclasses.replace(settings, min_score=0)
    outcome = judge(floor, min_iou=min_iou, temperature=temperature)
    weights = picture_weights(outcome.pictures, resamples, seed)
    return _swept(outcome, label, settings.min_score, weights)


def roc(
    judge: Judge,
    settings: Settings,
    label: Label | None = None,
    *,
    min_iou: float = MIN_IOU,
    temperature: float = 1.0,
    resamples: int = DRAWS,
    seed: int = 0,
) -> Curve:
    """Return recall (y) against false alarms (x).

    For a class it sweeps its probability, and x is a share of the others; for faces
    whatever their class it sweeps their score, and x is false alarms a picture.

    Args:
        judge: of the set.
        settings: the present ones.
        label: the class, None for faces whatever their class.
        min_iou: smallest overlap that counts as found.
        temperature: of the probabilities.
        resamples: draws of pictures for the interval of the area.
        seed: of these draws.

    Raises:
        ValueError: the label is `UNKNOWN`.

    Returns:
        The area is, for a class, the chance that one of it has a higher probability
        than another; for faces, the mean recall from 0 to 1 false alarm a picture.
    """
    _check(label)
    weights = picture_weights(len(judge.scored.truth.names), resamples, seed)
    if label is None:
        floor = dataclasses.replace(settings, min_score=0)
        outcome = judge(floor, min_iou=min_iou, temperature=temperature)
        return _froc(outcome, settings.min_score, weights)
    outcome = judge(settings, min_iou=min_iou, temperature=temperature)
    return _class_roc(outcome, label, weights)


def _check(label: Label | None) -> None:
    if label is not None and label not in CLASSES:
        raise ValueError(f"there is no curve of {label.key!r}: it is no class")


def _swept(
    outcome: Outcome, label: Label | None, min_score: float, weights: Weights
) -> Curve:
    """Return precision against recall from the outcome without a smallest score."""
    matches = _matches(outcome, label)
    found = curve(matches)
    drawn = average_precisions(matches, weights)
    value = average_precision(matches)
    area = percentile_estimate(value, drawn, int(matches.truths.sum()))
    above = np.count_nonzero(found.scores >= min_score)
    point = (math.nan, math.nan)
    if above:
        point = float(found.recalls[above - 1]), float(found.precisions[above - 1])
    scores = found.scores.astype(np.float64)
    return Curve(label, found.recalls, found.precisions, scores, area, point)


def _matches(outcome: Outcome, label: Label | None) -> Matches:
    """Return which of the faces shown are right, by falling score."""
    truth = outcome.scored.truth
    if label is None:
        asked, right = outcome.actual >= 0, outcome.truths >= 0
        wanted = truth.labels != Label.UNKNOWN
    else:
        asked = (outcome.actual >= 0) & (outcome.said == label)
        right, wanted = outcome.actual == label, truth.labels == label
    places = np.flatnonzero(asked)
    places = places[np.argsort(-outcome.scores[places], kind="stable")]
    return Matches(
        outcome.scores[places],
        right[places],
        outcome.scored.faces.pictures[outcome.shown[places]],
        np.bincount(truth.faces.pictures[wanted], minlength=outcome.pictures),
    )


def _froc(outcome: Outcome, min_score: float, weights: Weights) -> Curve:
    """Sweep the score of faces whatever their class (FROC).

    Nobody can count the places without a face, so x is no share of them but false
    alarms a picture. The present point lies on the curve.
    """
    matches = _matches(outcome, None)
    n, pictures = int(matches.truths.sum()), outcome.pictures
    ends = np.flatnonzero(np.diff(matches.scores, append=np.float32(-np.inf)) != 0)
    x, y = _rates(matches, np.ones((1, pictures), np.float32), ends)
    drawn = [
        _mean_recall(*_rates(matches, weights[first : first + _AT_ONCE], ends))
        for first in range(0, len(weights), _AT_ONCE)
    ]
    value = float(_mean_recall(x, y)[0]) if n else math.nan
    area = percentile_estimate(value, np.concatenate(drawn), n)
    scores = matches.scores[ends].astype(np.float64)
    above = np.count_nonzero(matches.scores[ends] >= min_score)
    nothing = (0.0, 0.0) if n else (math.nan, math.nan)
    point = (float(x[0, above - 1]), float(y[0, above - 1])) if above else nothing
    return Curve(None, x[0], y[0], scores, area, point)


def _rates(matches: Matches, weights: Weights, ends: Rows) -> tuple[Floats, Floats]:
    """Return false alarms a picture and recalls, `(draws, k)` each."""
    seen = weights[:, matches.images]
    right = np.cumsum(seen * matches.correct, axis=1)[:, ends].astype(np.float64)
    wrong = np.cumsum(seen, axis=1)[:, ends] - right
    truths = (weights @ matches.truths).astype(np.float64)[:, None]
    pictures = weights.sum(axis=1).astype(np.float64)[:, None]
    recalls = ratios(right, np.broadcast_to(truths, right.shape))
    return ratios(wrong, np.broadcast_to(pictures, wrong.shape)), recalls


def _mean_recall(x: Floats, y: Floats) -> Floats:
    """Return the `(draws,)` mean recall from 0 to 1 false alarm a picture.

    Recall stays until the next threshold that gives more, as no threshold lies
    between; after the last one it stays for good.
    """
    rows = len(x)
    marks = np.concatenate(
        [np.zeros((rows, 1)), np.minimum(x, 1), np.ones((rows, 1))], 1
    )
    heights = np.concatenate([np.zeros((rows, 1)), y], 1)
    areas: Floats = (np.diff(marks, axis=1) * heights).sum(axis=1)
    return areas


def _class_roc(outcome: Outcome, label: Label, weights: Weights) -> Curve:
    """Sweep the probability of a class over the true faces of known class shown.

    y is the share of those of the class at or above, x that of the others. The present
    point is what is called so now, surely enough: it lies on the curve where
    `min_confidence` is above 0.5, and may lie below it elsewhere, as then the likeliest
    class decides too.
    """
    judged = (outcome.actual >= 0) & (outcome.actual != NO_FACE)
    true = outcome.actual[judged] == label
    said = outcome.said[judged] == label
    scores = outcome.probs[judged, label].astype(np.float64)
    pictures = outcome.scored.faces.pictures[outcome.shown[judged]]
    asked = Asked(true, scores, said)
    found = score_curves(true, scores)
    drawn, _ = areas(weights[:, pictures], asked)
    # Without a face there is no point, and the area under none would be 0.
    value = found.roc_area if len(true) else math.nan
    area = percentile_estimate(value, drawn, len(true))
    x, y = (
        float(said[side].mean()) if side.any() else math.nan for side in (~true, true)
    )
    sides = (found.false_alarms, found.recalls, found.thresholds)
    return Curve(label, *sides, area, (x, y))
