"""Validation metrics of a classifier on labelled crops, by source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.types import CLASSES, Label

MAX_ACCURACY_LOSS = 0.001
"""Tolerance for mask or no mask of a file that is as accurate as another."""

MAX_BALANCED_LOSS = 0.005
"""Tolerance for the balanced accuracy of a file that is as accurate as another."""


@dataclass(frozen=True)
class ClassifierMetrics:
    """Accuracy and recalls on one source, each in [0, 1].

    For mask or no mask, an incorrectly worn mask counts as a mask, as in
    `maskdet.metrics.classification`. The field names are written to the log.

    Attributes:
        n: number of crops.
        mask_or_not: accuracy of mask or no mask.
        worn: recall of masks, worn correctly or incorrectly.
        bare: recall of `no_mask`.
        balanced: balanced accuracy of the three classes: mean recall of those present.
    """

    n: int
    mask_or_not: float
    worn: float
    bare: float
    balanced: float

    @property
    def selection_score(self) -> float:
        """Score for model selection: mean of the two balanced accuracies."""
        return (self.worn + self.bare) / 4 + self.balanced / 2

    def __str__(self) -> str:
        """Return one short line for a log."""
        return (
            f"mask or no mask {self.mask_or_not:.4f} (recall {self.worn:.4f}, "
            f"{self.bare:.4f}), balanced accuracy {self.balanced:.4f}, n {self.n}"
        )


def compute_classifier_metrics(
    labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> ClassifierMetrics:
    """Compare `(n,)` true labels with `(n, 3)` probabilities.

    A rate without any face is 1.
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
    """Return the metrics of each source, in alphabetical order."""
    return {
        str(source): compute_classifier_metrics(
            labels[sources == source], probs[sources == source]
        )
        for source in np.unique(sources)
    }


def mean_loss(
    labels: NDArray[np.int64],
    probs: NDArray[np.float32],
    class_weights: NDArray[np.float32],
) -> float:
    """Return the mean weighted cross-entropy, as in training.

    Args:
        labels: `(n,)` true classes.
        probs: `(n, 3)` predicted probabilities.
        class_weights: `(3,)` weights of the classes.
    """
    true_class_probs = probs[np.arange(len(labels)), labels].astype(np.float64)
    losses = -np.log(np.clip(true_class_probs, 1e-7, 1))
    return float(np.mean(losses * class_weights[labels]))


def compute_rejection_rate(
    face_probs: NDArray[np.float32],
    false_positive_probs: NDArray[np.float32],
    max_lost_fraction: float = 0.01,
) -> float:
    """Return the fraction of false positives that are rejected if few faces are lost.

    Args:
        face_probs: `(n,)` probability of a face, on faces.
        false_positive_probs: `(m,)` the same on false positives.
        max_lost_fraction: fraction of the faces that may be rejected.
    """
    threshold = np.quantile(face_probs, max_lost_fraction)
    return float((false_positive_probs < threshold).mean())


def format_class_report(
    labels: NDArray[np.int64], probs: NDArray[np.float32]
) -> list[str]:
    """Return a table of precision, recall, F1 and count of each class that occurs."""
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
