"""How right a classifier is on labelled crops, source by source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.types import CLASSES, Label


@dataclass(frozen=True)
class ClassifierMetrics:
    """Shares of right answers on one source, each in [0, 1].

    An incorrectly worn mask counts as worn in both, as in `metrics.labelling`.

    Attributes:
        n: number of crops.
        mask_or_not: right among all, worn or bare.
        worn: right among those that wear one.
        bare: right among those that do not.
        balanced: mean over the classes present of the share right, all three told
            apart.
    """

    n: int
    mask_or_not: float
    worn: float
    bare: float
    balanced: float

    @property
    def selection_score(self) -> float:
        """One number to choose by: bare counts as worn does, two classes as three."""
        return (self.worn + self.bare) / 4 + self.balanced / 2

    def __str__(self) -> str:
        """Return one short line for a log."""
        return (
            f"mask or not {self.mask_or_not:.4f} (worn {self.worn:.4f}, "
            f"bare {self.bare:.4f}), three classes {self.balanced:.4f}, n {self.n}"
        )


def compute_classifier_metrics(
    labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> ClassifierMetrics:
    """Compare `(n,)` true labels with `(n, 3)` probabilities.

    A share over no face at all is given as 1, so that it neither helps nor harms.
    """
    is_no_mask = labels == Label.NO_MASK
    predicted_no_mask = probs[:, Label.NO_MASK] > 0.5
    correct = is_no_mask == predicted_no_mask
    predicted = probs.argmax(axis=1)
    recalls = [
        _mean_or_one((predicted == label)[labels == label])
        for label in CLASSES
        if (labels == label).any()
    ]
    return ClassifierMetrics(
        n=len(labels),
        mask_or_not=_mean_or_one(correct),
        worn=_mean_or_one(correct[~is_no_mask]),
        bare=_mean_or_one(correct[is_no_mask]),
        balanced=float(np.mean(recalls)) if recalls else 1.0,
    )


def compute_metrics_by_source(
    sources: NDArray[np.str_], labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> dict[str, ClassifierMetrics]:
    """Return the rightness on each source, in alphabetical order."""
    return {
        str(source): compute_classifier_metrics(
            labels[sources == source], probs[sources == source]
        )
        for source in np.unique(sources)
    }


def mean_selection_score(results: Iterable[ClassifierMetrics]) -> float:
    """Return the mean merit over sources, each counting the same."""
    return float(np.mean([result.selection_score for result in results]))


def mean_loss(
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
    class_weights: NDArray[np.float32],
) -> float:
    """Return the weighted mean of -log p of the true class: the loss of the training.

    Args:
        labels: `(n,)` true classes.
        probs: `(n, 3)` answers.
        class_weights: `(3,)` how much a class counts.
    """
    true_class_probs = probs[np.arange(len(labels)), labels].astype(np.float64)
    losses = -np.log(np.clip(true_class_probs, 1e-7, 1))
    return float(np.mean(losses * class_weights[labels]))


def compute_rejection_rate(
    face_probs: NDArray[np.float32],
    false_positive_probs: NDArray[np.float32],
    max_lost_fraction: float = 0.01,
) -> float:
    """Return the share of false detections that can be told if few faces are lost.

    Args:
        face_probs: `(n,)` how probable it is that there is a face, on faces.
        false_positive_probs: `(m,)` the same on false detections.
        max_lost_fraction: share of the faces that may be taken for none.
    """
    threshold = np.quantile(face_probs, max_lost_fraction)
    return float((false_positive_probs < threshold).mean())


def format_class_report(
    labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> list[str]:
    """Return a table: precision, recall, F1 and number of each class that occurs."""
    predicted = probs.argmax(axis=1)
    lines = [f"{'':12}{'precision':>10}{'recall':>10}{'F1':>10}{'n':>8}"]
    for label in CLASSES:
        of_class, predicted_as = labels == label, predicted == label
        if not (of_class.any() or predicted_as.any()):
            continue
        both = int((of_class & predicted_as).sum())
        precision = both / max(int(predicted_as.sum()), 1)
        recall = both / max(int(of_class.sum()), 1)
        f1 = 2 * both / (int(predicted_as.sum()) + int(of_class.sum()))
        cells = "".join(f"{value:10.3f}" for value in (precision, recall, f1))
        lines.append(f"{label.key:12}{cells}{int(of_class.sum()):8}")
    accuracy = float((predicted == labels).mean())
    return [*lines, f"{'accuracy':12}{accuracy:30.3f}{len(labels):8}"]


def _mean_or_one(correct: NDArray[np.bool_]) -> float:
    return float(correct.mean()) if len(correct) else 1.0
