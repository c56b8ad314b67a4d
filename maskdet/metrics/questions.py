"""The yes-or-no questions that a classifier's probabilities answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.labelling import ClassificationResult
from maskdet.types import CLASSES, Label

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
