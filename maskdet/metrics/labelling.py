"""What was answered for faces whose truth is known, as numbers with intervals.

"Mask against no mask" counts a mask incorrectly worn as a mask: for the truth, and for
the answer by comparing p(mask) + p(incorrect) with p(no_mask).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import ConfusionMatrix
from maskdet.types import CLASSES, Label

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
