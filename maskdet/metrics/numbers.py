"""Every number that describes the answers on a set, each with its 95 % interval.

Intervals are a bootstrap over faces with a fixed seed: faces are drawn anew, with
replacement, and the middle 95 % of what they give is kept (B. Efron, R. Tibshirani,
"An introduction to the bootstrap", 1993). Where all or none is right, each draw would
say the same, so there Wilson's interval stands instead.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.calibration import BINS, bin_numbers, top_label
from maskdet.metrics.estimate import RESAMPLES, Estimate, percentile_estimate, share
from maskdet.metrics.labelling import Json, Labelling
from maskdet.metrics.questions import CLASS_QUESTIONS, QUESTIONS, Asked, ask
from maskdet.metrics.resampled import Floats, Weights, areas, face_weights, ratios
from maskdet.types import CLASSES

_NOTHING = Estimate(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class AgainstRest:
    """How well one class is told from all others.

    Attributes:
        precision: share of those called so that are.
        recall: share of those that are that were called so.
        f1: harmonic mean of the two.
        roc_area: chance that one of them scores above one of the others.
        average_precision: mean precision over the steps of recall.
    """

    precision: Estimate
    recall: Estimate
    f1: Estimate
    roc_area: Estimate
    average_precision: Estimate

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            field.name: getattr(self, field.name).rounded()
            for field in dataclasses.fields(self)
        }


@dataclass(frozen=True)
class Numbers:
    """What `numbers` measured on one set.

    Attributes:
        n: how many faces there are.
        accuracy: all three states.
        balanced: mean recall over the classes that occur.
        classes: by `Label.key`, each against the rest.
        wearing_accuracy: mask against no mask.
        wearing: a mask, worn well or not, against none.
        bare: none against a mask, from the same decisions.
        ece: expected calibration error of the label given.
        wearing_ece: the same for mask against no mask.
        brier: squared distance to the truth, summed over the classes, 0 to 2.
        wearing_brier: the same for mask against no mask, 0 to 1.
    """

    n: int
    accuracy: Estimate
    balanced: Estimate
    classes: Mapping[str, AgainstRest]
    wearing_accuracy: Estimate
    wearing: AgainstRest
    bare: AgainstRest
    ece: Estimate
    wearing_ece: Estimate
    brier: Estimate
    wearing_brier: Estimate

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "n": self.n,
            "mask_against_no_mask": {
                "accuracy": self.wearing_accuracy.rounded(),
                "masked": self.wearing.to_json(),
                "bare": self.bare.to_json(),
                "ece": self.wearing_ece.rounded(),
                "brier": self.wearing_brier.rounded(),
            },
            "three_states": {
                "accuracy": self.accuracy.rounded(),
                "balanced": self.balanced.rounded(),
                "classes": {key: one.to_json() for key, one in self.classes.items()},
                "ece": self.ece.rounded(),
                "brier": self.brier.rounded(),
            },
        }


def numbers(labels: Labelling, *, resamples: int = RESAMPLES, seed: int = 0) -> Numbers:
    """Measure a set of answers.

    Args:
        labels: truths and answers.
        resamples: how often faces are drawn anew.
        seed: of these draws.
    """
    n = len(labels.truths)
    weights = face_weights(n, resamples=resamples, seed=seed)
    asked = {question: ask(labels, question) for question in QUESTIONS}
    of_scores = {question: _areas(weights, one) for question, one in asked.items()}
    wearing = asked["wearing"]
    bare = Asked(~wearing.truths, 1 - wearing.scores, ~wearing.said)
    right, confidence = top_label(labels)
    truths = np.eye(len(CLASSES))[labels.truths]
    return Numbers(
        n=n,
        accuracy=_accuracy(weights, right),
        balanced=_balanced(weights, labels.truths, right),
        classes={
            label.key: _against_rest(weights, asked[question], of_scores[question])
            for label, question in zip(CLASSES, CLASS_QUESTIONS, strict=True)
        },
        wearing_accuracy=_accuracy(weights, wearing.truths == wearing.said),
        wearing=_against_rest(weights, wearing, of_scores["wearing"]),
        # Its scores are those of the class without a mask.
        bare=_against_rest(weights, bare, of_scores["no_mask"]),
        ece=calibration_error(weights, right, confidence),
        wearing_ece=calibration_error(weights, wearing.truths, wearing.scores),
        brier=_mean(weights, ((labels.probs - truths) ** 2).sum(axis=1)),
        wearing_brier=_mean(weights, (wearing.scores - wearing.truths) ** 2),
    )


def _sums(weights: Weights, *columns: NDArray[np.generic]) -> Floats:
    """Return the sums over the drawn faces, `(columns, resamples)`."""
    table = np.stack([np.asarray(column, np.float32) for column in columns], axis=1)
    sums: Floats = (weights @ table).T.astype(np.float64)
    return sums


def _share(hits: float, n: float, drawn: Floats) -> Estimate:
    known = share(int(hits), int(n))
    if known.n == 0 or known.value in (0, 1):
        return known
    return percentile_estimate(known.value, drawn, known.n)


def _accuracy(weights: Weights, right: NDArray[np.bool_]) -> Estimate:
    n = len(right)
    drawn = _sums(weights, right)[0] / max(n, 1)
    return _share(right.sum(), n, drawn)


def _mean(weights: Weights, values: Floats) -> Estimate:
    n = len(values)
    if not n:
        return _NOTHING
    return percentile_estimate(float(values.mean()), _sums(weights, values)[0] / n, n)


def _balanced(
    weights: Weights, truths: NDArray[np.int64], right: NDArray[np.bool_]
) -> Estimate:
    if not len(truths):
        return _NOTHING
    present = [truths == label for label in np.unique(truths)]
    totals = _sums(weights, *present)
    recalls = ratios(_sums(weights, *(right & one for one in present)), totals)
    value = float(np.mean([right[one].mean() for one in present]))
    # A class that was not drawn is left out, as one that does not occur.
    known = ~np.isnan(recalls)
    drawn = np.where(known, recalls, 0).sum(axis=0) / known.sum(axis=0)
    return percentile_estimate(value, drawn, len(truths))


def _areas(weights: Weights, asked: Asked) -> tuple[Estimate, Estimate]:
    """Return ROC area and average precision."""
    n = len(asked.truths)
    values = areas(np.ones((1, n), np.float32), asked)
    both = zip(values, areas(weights, asked), strict=True)
    roc, precision = (percentile_estimate(float(x[0]), drawn, n) for x, drawn in both)
    return roc, precision


def _against_rest(
    weights: Weights, asked: Asked, of_scores: tuple[Estimate, Estimate]
) -> AgainstRest:
    n = len(asked.truths)
    columns = (asked.truths & asked.said, asked.truths, asked.said)
    hits, true, said = (float(column.sum()) for column in columns)
    drawn_hits, drawn_true, drawn_said = _sums(weights, *columns)
    f1 = 2 * hits / (true + said) if true + said else math.nan
    drawn_f1 = ratios(2 * drawn_hits, drawn_true + drawn_said)
    roc_area, average_precision = of_scores
    return AgainstRest(
        precision=_share(hits, said, ratios(drawn_hits, drawn_said)),
        recall=_share(hits, true, ratios(drawn_hits, drawn_true)),
        f1=percentile_estimate(f1, drawn_f1, n),
        roc_area=roc_area,
        average_precision=average_precision,
    )


def calibration_error(
    weights: Weights, truths: NDArray[np.bool_], scores: Floats
) -> Estimate:
    """Return the expected calibration error, see `Reliability.ece`, of drawn faces.

    A sum of absolute gaps is larger on resamples than on the set they are drawn from,
    because chance adds to each gap; so the draws are moved down by that much.
    """
    n = len(truths)
    if not n:
        return _NOTHING
    gaps = np.zeros((n, BINS), np.float32)
    gaps[np.arange(n), bin_numbers(scores)] = scores - truths
    value = float(np.abs(gaps.sum(axis=0, dtype=np.float64)).sum()) / n
    drawn = np.abs(weights @ gaps).sum(axis=1).astype(np.float64)
    drawn /= np.maximum(weights.sum(axis=1), 1)
    centred = np.maximum(drawn - (drawn.mean() - value), 0)
    return percentile_estimate(value, centred, n)
