"""How often the right label is given: confusion matrix, shares, ROC and PR curves.

What a classifier answered on a labelled set: numbers that may be kept and shown.

What was answered for faces whose truth is known, as numbers with intervals.

"Mask against no mask" counts a mask incorrectly worn as a mask: for the truth, and for
the answer by comparing p(mask) + p(incorrect) with p(no_mask).

The yes-or-no questions that a classifier's probabilities answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.intervals import (
    RESAMPLES,
    Estimate,
    percentile_estimate,
    proportion,
)
from maskdet.types import CLASSES, Label

Labels = Sequence[int] | NDArray[np.int64]
"""`(n,)` class numbers from 0; -1, as in `Label.UNKNOWN`, where none was given."""


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """How often each truth was given each label.

    Attributes:
        counts: `(k, k + 1)` int64; row = truth, column = label given, and the last
            column counts the items that were given none.
    """

    counts: NDArray[np.int64]

    @classmethod
    def from_labels(
        cls, ground_truth: Labels, predicted: Labels, n_classes: int
    ) -> ConfusionMatrix:
        """Count the pairs of truth and label.

        Args:
            ground_truth: `(n,)` true classes, 0 to `n_classes` - 1.
            predicted: `(n,)` labels given; -1 where none was, which is never right.
            n_classes: how many classes there are.

        Raises:
            ValueError: different lengths, or a number that is no class.
        """
        true_labels, predicted_labels = (
            np.asarray(ground_truth, np.int64),
            np.asarray(predicted, np.int64),
        )
        if true_labels.shape != predicted_labels.shape or true_labels.ndim != 1:
            raise ValueError(
                f"{true_labels.shape} truths do not fit {predicted_labels.shape} labels"
            )
        if len(true_labels) and not (
            true_labels.min() >= 0
            and predicted_labels.min() >= -1
            and max(true_labels.max(), predicted_labels.max()) < n_classes
        ):
            raise ValueError(f"truths and labels must be classes below {n_classes}")
        counts = np.zeros((n_classes, n_classes + 1), np.int64)
        np.add.at(counts, (true_labels, predicted_labels), 1)
        return cls(counts)

    @property
    def n(self) -> int:
        """How many items were judged."""
        return int(self.counts.sum())

    @property
    def _hits(self) -> NDArray[np.int64]:
        hits: NDArray[np.int64] = np.diagonal(self.counts)
        return hits

    @property
    def accuracy(self) -> Estimate:
        """The share of items that got their true label."""
        return proportion(int(self._hits.sum()), self.n)

    @property
    def recalls(self) -> tuple[Estimate, ...]:
        """For each class, the share of its items that were labelled so."""
        return _proportions(self._hits, self.counts.sum(axis=1))

    @property
    def precisions(self) -> tuple[Estimate, ...]:
        """For each label, the share of the items given it that deserve it."""
        return _proportions(self._hits, self.counts.sum(axis=0)[:-1])

    @property
    def f1s(self) -> tuple[float, ...]:
        """For each class, the harmonic mean of precision and recall; NaN if absent."""
        size = self.counts.sum(axis=1) + self.counts.sum(axis=0)[:-1]
        return tuple(
            2 * int(hits) / int(total) if total else math.nan
            for hits, total in zip(self._hits, size, strict=True)
        )

    def balanced_accuracy(
        self, *, resamples: int = RESAMPLES, seed: int = 0
    ) -> Estimate:
        """Return the mean recall over the classes that occur: each weighs the same.

        The interval is a bootstrap over items; drawing items anew is the same as
        drawing the cells of the matrix by their shares, which takes no time.
        """
        if not self.n:
            return Estimate(math.nan, math.nan, math.nan, 0)
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
    hits = np.diagonal(counts, axis1=1, axis2=2)
    totals = counts.sum(axis=2)
    recalls = np.divide(hits, totals, out=np.zeros(hits.shape), where=totals > 0)
    result: NDArray[np.float64] = recalls.sum(axis=1) / (totals > 0).sum(axis=1)
    return result


@dataclass(frozen=True, eq=False)
class ThresholdCurves:
    """What every threshold on a score would give, for a yes-or-no question.

    Attributes:
        thresholds: `(k,)` distinct scores, falling; "yes" is said at or above.
        recalls: `(k,)` share of the true ones said yes to (true positive rate).
        false_positive_rates: `(k,)` share of the untrue ones said yes to.
        precisions: `(k,)` share of the yes that is right.
    """

    thresholds: NDArray[np.float64]
    recalls: NDArray[np.float64]
    false_positive_rates: NDArray[np.float64]
    precisions: NDArray[np.float64]

    @property
    def roc_area(self) -> float:
        """The chance that a true one scores above an untrue one; NaN if one lacks."""
        x = np.concatenate([[0.0], self.false_positive_rates])
        y = np.concatenate([[0.0], self.recalls])
        return float(np.trapezoid(y, x))

    @property
    def average_precision(self) -> float:
        """The mean precision over the recall steps, as scikit-learn defines it."""
        if np.isnan(self.recalls).any():
            return math.nan
        gains = np.diff(self.recalls, prepend=0.0)
        return float((gains * self.precisions).sum())


def threshold_curves(
    ground_truth: NDArray[np.bool_], scores: NDArray[np.floating]
) -> ThresholdCurves:
    """Return recall, false positives and precision at every threshold.

    Args:
        ground_truth: `(n,)` whether "yes" is right.
        scores: `(n,)` how strongly "yes" is said.

    Raises:
        ValueError: different lengths, or a score that is not a number.
    """
    true, score = np.asarray(ground_truth, np.bool_), np.asarray(scores, np.float64)
    if true.shape != score.shape or true.ndim != 1:
        raise ValueError(f"{true.shape} truths do not fit {score.shape} scores")
    if np.isnan(score).any():
        raise ValueError("scores must be numbers")
    order = np.argsort(-score, kind="stable")
    score, true = score[order], true[order]
    ends = np.flatnonzero(np.diff(score, append=-np.inf) != 0)
    true_positives = np.cumsum(true.astype(np.int64))[ends]
    false_positives = ends + 1 - true_positives
    return ThresholdCurves(
        score[ends],
        _rates(true_positives, int(true.sum())),
        _rates(false_positives, int((~true).sum())),
        true_positives / (ends + 1),
    )


def _rates(counts: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    if not total:
        return np.full(counts.shape, math.nan)
    rates: NDArray[np.float64] = counts / total
    return rates


Json = dict[str, object]
"""What `json.dumps` can write."""


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """The answers given for faces whose truth is known.

    Attributes:
        ground_truth: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32 answers.
    """

    ground_truth: NDArray[np.int64]
    probs: NDArray[np.float32]

    @classmethod
    def concat(
        cls, parts: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]
    ) -> ClassificationResult:
        """Join the truths and answers of several images; none gives no faces."""
        empty = (np.zeros(0, np.int64), np.zeros((0, len(CLASSES)), np.float32))
        ground_truth, probs = zip(empty, *parts, strict=True)
        return cls(np.concatenate(ground_truth), np.concatenate(probs))

    @property
    def class_confusion(self) -> ConfusionMatrix:
        """All three states, each face taken for its most probable one."""
        return ConfusionMatrix.from_labels(
            self.ground_truth, self.probs.argmax(axis=1), len(CLASSES)
        )

    @property
    def binary_confusion(self) -> ConfusionMatrix:
        """Mask (0) against no mask (1); incorrectly worn counts as a mask."""
        unmasked = self.ground_truth == Label.NO_MASK
        predicted_unmasked = self.probs[:, Label.NO_MASK] > 0.5
        return ConfusionMatrix.from_labels(
            unmasked.astype(np.int64), predicted_unmasked.astype(np.int64), 2
        )

    def to_json(self) -> Json:
        """Return every number with its interval."""
        class_confusion, binary_confusion = self.class_confusion, self.binary_confusion
        return {
            "n": class_confusion.n,
            "mask_against_no_mask": binary_confusion.accuracy.to_json(),
            "masked_right": binary_confusion.recalls[0].to_json(),
            "bare_right": binary_confusion.recalls[1].to_json(),
            "three_states": class_confusion.accuracy.to_json(),
            "balanced": class_confusion.balanced_accuracy().to_json(),
            "recall": {
                label.key: recall.to_json()
                for label, recall in zip(CLASSES, class_confusion.recalls, strict=True)
            },
            "confusion": class_confusion.counts[:, :-1].tolist(),
        }


_FIELDS = ("ground_truth", "probs", "sizes_px", "lights", "sharpness", "sources")

# Names in a file that differ from those of the fields.
_STORED_NAMES = {"ground_truth": "truths"}


@dataclass(frozen=True, eq=False)
class Predictions:
    """One answer a face, with what is needed to look at parts of the set.

    Attributes:
        ground_truth: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32, columns as in `CLASSES`.
        sizes_px: `(n,)` float32 shorter side of the face in its image.
        lights: `(n,)` float32 mean luminance of the face, 0 to 255.
        sharpness: `(n,)` float32, larger is sharper; see `crop_sharpness`.
        sources: `(n,)` text: who labelled it, such as `real`, `drawn` or `kaggle`.
    """

    ground_truth: NDArray[np.int64]
    probs: NDArray[np.float32]
    sizes_px: NDArray[np.float32]
    lights: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    sources: NDArray[np.str_]

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit each other."""
        n = len(self.ground_truth)
        for name in _FIELDS:
            expected = (n, len(CLASSES)) if name == "probs" else (n,)
            if getattr(self, name).shape != expected:
                actual = getattr(self, name).shape
                raise ValueError(f"{name} must have the shape {expected}, not {actual}")

    @classmethod
    def concat(cls, parts: Iterable[Predictions]) -> Predictions:
        """Join the answers on several images or sets, at least one."""
        items = list(parts)
        columns = ([getattr(item, name) for item in items] for name in _FIELDS)
        return cls(*map(np.concatenate, columns))

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.ground_truth)

    @property
    def classification(self) -> ClassificationResult:
        """The answers alone, to count them."""
        return ClassificationResult(self.ground_truth, self.probs)

    def select(self, selected: NDArray[np.bool_]) -> Predictions:
        """Return the answers for the chosen faces, `(n,)` boolean."""
        return Predictions(*(getattr(self, name)[selected] for name in _FIELDS))


def save_class_predictions(path: Path, predictions: Mapping[str, Predictions]) -> None:
    """Write the answers on several sets, by the name of the set, into one `.npz`."""
    arrays = {
        f"{name}/{_STORED_NAMES.get(field, field)}": getattr(item, field)
        for name, item in predictions.items()
        for field in _FIELDS
    }
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_class_predictions(path: Path) -> dict[str, Predictions]:
    """Return what `save_class_predictions` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there are no answers; `maskdet export` does")
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
        raise ValueError(f"{path}: no answers that can be read ({error})") from None


BinaryTaskName: TypeAlias = Literal["wearing", "mask", "no_mask", "incorrect"]
BINARY_TASKS: tuple[BinaryTaskName, ...] = get_args(BinaryTaskName)

CLASS_TASKS: tuple[BinaryTaskName, ...] = BINARY_TASKS[1:]
"""One a class, in the order of `CLASSES`."""


@dataclass(frozen=True, eq=False)
class BinaryTask:
    """One question put to every face.

    Attributes:
        ground_truth: `(n,)` whether "yes" is right.
        scores: `(n,)` float64 in [0, 1], how strongly "yes" is said.
        predicted: `(n,)` whether "yes" was said: from 0.5 on for "mask against no
            mask", else where the class is the most probable of the three.
    """

    ground_truth: NDArray[np.bool_]
    scores: NDArray[np.float64]
    predicted: NDArray[np.bool_]


def binarize(result: ClassificationResult, task_name: BinaryTaskName) -> BinaryTask:
    """Return truths, scores and decisions for a question; a mask worn is a "yes".

    Raises:
        ValueError: the question is not one of `BINARY_TASKS`.
    """
    probs = result.probs.astype(np.float64)
    if task_name == "wearing":
        p_no_mask = probs[:, Label.NO_MASK]
        return BinaryTask(
            result.ground_truth != Label.NO_MASK, 1 - p_no_mask, p_no_mask <= 0.5
        )
    if task_name not in CLASS_TASKS:
        raise ValueError(
            f"question must be one of {', '.join(BINARY_TASKS)}, not {task_name!r}"
        )
    label = CLASSES[CLASS_TASKS.index(task_name)]
    predicted = probs.argmax(axis=1) == label
    return BinaryTask(result.ground_truth == label, probs[:, label], predicted)
