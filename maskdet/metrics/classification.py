"""Classification metrics and predictions: confusion matrix, ROC and PR curves.

The binary task "mask against no mask" counts an incorrectly worn mask as a mask, in
the ground truth and in the prediction, where p(mask) + p(incorrect) is compared with
p(no_mask).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.intervals import (
    NO_ESTIMATE,
    RESAMPLES,
    Estimate,
    percentile_estimate,
    proportion,
    safe_divide,
)
from maskdet.types import CLASSES, Label

Labels = Sequence[int] | NDArray[np.int64]
"""`(n,)` class indices from 0; -1, as in `Label.UNKNOWN`, for no prediction."""

Json = dict[str, object]
"""An object for `json.dumps`."""

_FIELDS = ("ground_truth", "probs", "sizes_px", "lights", "sharpness", "sources")

# Array names in stored files that differ from the field names.
_STORED_NAMES = {"ground_truth": "truths"}

BinaryTaskName: TypeAlias = Literal["wearing", "mask", "no_mask", "incorrect"]

BINARY_TASKS: tuple[BinaryTaskName, ...] = get_args(BinaryTaskName)

CLASS_TASKS: tuple[BinaryTaskName, ...] = BINARY_TASKS[1:]
"""One task per class, in the order of `CLASSES`."""


def check_same_length(
    ground_truth: NDArray[Any], other: NDArray[Any], name: str
) -> None:
    """Raise `ValueError` unless both are 1-D of the same length."""
    if ground_truth.shape != other.shape or ground_truth.ndim != 1:
        raise ValueError(
            f"ground truth and {name} must be 1-D of the same length, got "
            f"{ground_truth.shape} and {other.shape}"
        )


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """Counts of true and predicted classes.

    Attributes:
        counts: `(k, k + 1)` int64; row = true class, column = predicted class; the
            last column counts the items without a prediction.
    """

    counts: NDArray[np.int64]

    @classmethod
    def from_labels(
        cls, ground_truth: Labels, predicted: Labels, n_classes: int
    ) -> ConfusionMatrix:
        """Count the pairs of true and predicted class.

        Args:
            ground_truth: `(n,)` true classes, 0 to `n_classes` - 1.
            predicted: `(n,)` predicted classes; -1 for none, which is never correct.
            n_classes: number of classes.

        Raises:
            ValueError: the lengths differ, or a number is not a class.
        """
        true_labels = np.asarray(ground_truth, np.int64)
        predicted_labels = np.asarray(predicted, np.int64)
        check_same_length(true_labels, predicted_labels, "predictions")
        if len(true_labels) and not (
            true_labels.min() >= 0
            and predicted_labels.min() >= -1
            and max(true_labels.max(), predicted_labels.max()) < n_classes
        ):
            raise ValueError(
                f"classes must be below {n_classes}; predictions may be -1"
            )
        counts = np.zeros((n_classes, n_classes + 1), np.int64)
        np.add.at(counts, (true_labels, predicted_labels), 1)
        return cls(counts)

    @property
    def n(self) -> int:
        """Number of items."""
        return int(self.counts.sum())

    @property
    def _hits(self) -> NDArray[np.int64]:
        return np.diagonal(self.counts)

    @property
    def accuracy(self) -> Estimate:
        """Fraction of correctly classified items."""
        return proportion(int(self._hits.sum()), self.n)

    @property
    def abstention_rate(self) -> Estimate:
        """Fraction of the items without a prediction."""
        return proportion(int(self.counts[:, -1].sum()), self.n)

    @property
    def predicted_accuracy(self) -> Estimate:
        """Fraction of correct predictions among the items with one."""
        return proportion(int(self._hits.sum()), int(self.counts[:, :-1].sum()))

    @property
    def recalls(self) -> tuple[Estimate, ...]:
        """Recall of each class."""
        return _proportions(self._hits, self.counts.sum(axis=1))

    @property
    def precisions(self) -> tuple[Estimate, ...]:
        """Precision of each class."""
        return _proportions(self._hits, self.counts.sum(axis=0)[:-1])

    def balanced_accuracy(
        self, *, resamples: int = RESAMPLES, seed: int = 0
    ) -> Estimate:
        """Return the mean recall over the classes that occur.

        The interval is a bootstrap over items: resampling items is equivalent to
        drawing the cells of the matrix from a multinomial distribution, but slower.
        """
        if not self.n:
            return NO_ESTIMATE
        cell_fractions = self.counts.ravel() / self.n
        resampled = np.random.default_rng(seed).multinomial(
            self.n, cell_fractions, size=resamples
        )
        means = _mean_recalls(resampled.reshape(resamples, *self.counts.shape))
        value = float(_mean_recalls(self.counts[None])[0])
        return percentile_estimate(value, means, self.n)


def _proportions(
    hits: NDArray[np.int64], totals: NDArray[np.int64]
) -> tuple[Estimate, ...]:
    return tuple(proportion(int(h), int(n)) for h, n in zip(hits, totals, strict=True))


def _mean_recalls(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return `(b,)` mean recalls of `(b, k, k + 1)` matrices."""
    totals = counts.sum(axis=2)
    recalls = safe_divide(np.diagonal(counts, axis1=1, axis2=2), totals, 0)
    result: NDArray[np.float64] = recalls.sum(axis=1) / (totals > 0).sum(axis=1)
    return result


@dataclass(frozen=True, eq=False)
class ThresholdCurves:
    """ROC and precision-recall curves of a binary task.

    Attributes:
        thresholds: `(k,)` distinct scores, falling; positive at or above.
        recalls: `(k,)` true positive rate at each threshold.
        false_positive_rates: `(k,)` false-positive rate at each threshold.
        precisions: `(k,)` precision at each threshold.
    """

    thresholds: NDArray[np.float64]
    recalls: NDArray[np.float64]
    false_positive_rates: NDArray[np.float64]
    precisions: NDArray[np.float64]

    @property
    def roc_area(self) -> float:
        """Area under the ROC curve; NaN without positives or negatives."""
        x = np.concatenate([[0.0], self.false_positive_rates])
        y = np.concatenate([[0.0], self.recalls])
        return float(np.trapezoid(y, x))

    @property
    def average_precision(self) -> float:
        """Average precision as defined by scikit-learn."""
        if np.isnan(self.recalls).any():
            return math.nan
        gains = np.diff(self.recalls, prepend=0.0)
        return float((gains * self.precisions).sum())


def find_threshold_ends(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the last index of each distinct score of falling scores.

    Items with equal scores enter a curve together, because no threshold parts them.
    """
    return np.flatnonzero(np.diff(scores, append=-np.inf) != 0)


def threshold_curves(
    ground_truth: NDArray[np.bool_], scores: NDArray[np.floating]
) -> ThresholdCurves:
    """Return the recall, false-positive rate and precision at every threshold.

    Args:
        ground_truth: `(n,)` whether the item is positive.
        scores: `(n,)` scores of the positive class.

    Raises:
        ValueError: the lengths differ, or a score is NaN.
    """
    true, score = np.asarray(ground_truth, np.bool_), np.asarray(scores, np.float64)
    check_same_length(true, score, "scores")
    if np.isnan(score).any():
        raise ValueError("scores must not be NaN")
    order = np.argsort(-score, kind="stable")
    score, true = score[order], true[order]
    ends = find_threshold_ends(score)
    true_positives = np.cumsum(true.astype(np.int64))[ends]
    false_positives = ends + 1 - true_positives
    return ThresholdCurves(
        score[ends],
        safe_divide(true_positives, int(true.sum())),
        safe_divide(false_positives, int((~true).sum())),
        true_positives / (ends + 1),
    )


def is_predicted_unmasked(probs: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether "mask against no mask" predicts no mask for `(n, 3)` probs."""
    return probs[:, Label.NO_MASK] > 0.5


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """Class probabilities of labelled faces.

    Attributes:
        ground_truth: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32 predicted probabilities.
    """

    ground_truth: NDArray[np.int64]
    probs: NDArray[np.float32]

    @property
    def class_confusion(self) -> ConfusionMatrix:
        """Confusion of the three classes by the most probable class."""
        return self.confusion_from(0)

    def confusion_from(self, min_confidence: float) -> ConfusionMatrix:
        """Return the confusion of the three classes with a confidence threshold.

        Args:
            min_confidence: faces whose most probable class is less probable have no
                prediction, in [0, 1].
        """
        is_confident = self.probs.max(axis=1, initial=0) >= min_confidence
        predicted = np.where(is_confident, self.probs.argmax(axis=1), -1)
        return ConfusionMatrix.from_labels(self.ground_truth, predicted, len(CLASSES))

    @property
    def binary_confusion(self) -> ConfusionMatrix:
        """Confusion of mask (0) and no mask (1); incorrect counts as mask."""
        unmasked = self.ground_truth == Label.NO_MASK
        predicted = is_predicted_unmasked(self.probs)
        return ConfusionMatrix.from_labels(
            unmasked.astype(np.int64), predicted.astype(np.int64), 2
        )

    def rates_to_json(self) -> Json:
        """Return the number of faces and the rates without a bootstrap."""
        binary_confusion = self.binary_confusion
        return {
            "n": binary_confusion.n,
            "binary_accuracy": binary_confusion.accuracy.to_json(),
            "masked_recall": binary_confusion.recalls[0].to_json(),
            "unmasked_recall": binary_confusion.recalls[1].to_json(),
            "accuracy": self.class_confusion.accuracy.to_json(),
        }

    def to_json(self) -> Json:
        """Return all metrics with their intervals."""
        class_confusion = self.class_confusion
        return {
            **self.rates_to_json(),
            "balanced_accuracy": class_confusion.balanced_accuracy().to_json(),
            "recall": {
                label.key: recall.to_json()
                for label, recall in zip(CLASSES, class_confusion.recalls, strict=True)
            },
            "confusion": class_confusion.counts[:, :-1].tolist(),
        }


@dataclass(frozen=True, eq=False)
class Predictions:
    """One prediction per face, with the attributes that slices are built from.

    Attributes:
        ground_truth: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32, columns as in `CLASSES`.
        sizes_px: `(n,)` float32 shorter side of the face in its image.
        lights: `(n,)` float32 mean luminance of the face, 0 to 255.
        sharpness: `(n,)` float32, larger is sharper; see `crop_sharpness`.
        sources: `(n,)` text, the collection, such as `real`, `drawn` or `kaggle`.
    """

    ground_truth: NDArray[np.int64]
    probs: NDArray[np.float32]
    sizes_px: NDArray[np.float32]
    lights: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    sources: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Check the shapes of the arrays."""
        n = len(self.ground_truth)
        for name in _FIELDS:
            expected = (n, len(CLASSES)) if name == "probs" else (n,)
            if getattr(self, name).shape != expected:
                actual = getattr(self, name).shape
                raise ValueError(f"{name} must have shape {expected}, got {actual}")

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.ground_truth)

    @property
    def classification(self) -> ClassificationResult:
        """The ground truth and probabilities."""
        return ClassificationResult(self.ground_truth, self.probs)

    def select(self, selected: NDArray[np.bool_]) -> Predictions:
        """Return the predictions of the faces in a `(n,)` boolean mask."""
        return Predictions(*(getattr(self, name)[selected] for name in _FIELDS))


def save_class_predictions(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the predictions on several data sets, by name, to one `.npz` file."""
    arrays = {
        f"{name}/{_STORED_NAMES.get(field, field)}": getattr(item, field)
        for name, item in predictions.items()
        for field in _FIELDS
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_class_predictions(path: Path) -> dict[str, Predictions]:
    """Read a file of `save_class_predictions`.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is not a file of predictions.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: there is no such file; `maskdet export` writes the predictions"
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = dict.fromkeys(key.rpartition("/")[0] for key in stored.files)
            return {
                name: Predictions(
                    *(
                        stored[f"{name}/{_STORED_NAMES.get(field, field)}"]
                        for field in _FIELDS
                    )
                )
                for name in names
            }
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot read predictions ({error})") from None


@dataclass(frozen=True, eq=False)
class BinaryTask:
    """Ground truth, scores and decisions of a binary task.

    Attributes:
        ground_truth: `(n,)` whether the face is positive.
        scores: `(n,)` float64 in [0, 1], probability of the positive class.
        predicted: `(n,)` whether the prediction is positive: from 0.5 for "mask
            against no mask", otherwise if the class is the most probable of the three.
    """

    ground_truth: NDArray[np.bool_]
    scores: NDArray[np.float64]
    predicted: NDArray[np.bool_]


def binarize(result: ClassificationResult, task_name: BinaryTaskName) -> BinaryTask:
    """Reduce class probabilities to a binary task.

    `wearing` is "mask against no mask" with masked faces as positives; the other tasks
    are one class against the rest.

    Raises:
        ValueError: the task is not one of `BINARY_TASKS`.
    """
    probs = result.probs.astype(np.float64)
    if task_name == "wearing":
        p_no_mask = probs[:, Label.NO_MASK]
        return BinaryTask(
            result.ground_truth != Label.NO_MASK, 1 - p_no_mask, p_no_mask <= 0.5
        )
    if task_name not in CLASS_TASKS:
        raise ValueError(
            f"task_name must be one of {', '.join(BINARY_TASKS)}, got {task_name!r}"
        )
    label = CLASSES[CLASS_TASKS.index(task_name)]
    predicted = probs.argmax(axis=1) == label
    return BinaryTask(result.ground_truth == label, probs[:, label], predicted)
