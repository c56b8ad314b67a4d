"""The yes-or-no questions that a classifier's probabilities answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.labelling import Labelling
from maskdet.types import CLASSES, Label

Question: TypeAlias = Literal["wearing", "mask", "no_mask", "incorrect"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

CLASS_QUESTIONS: tuple[Question, ...] = QUESTIONS[1:]
"""One a class, in the order of `CLASSES`."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One question put to every face.

    Attributes:
        truths: `(n,)` whether "yes" is right.
        scores: `(n,)` float64 in [0, 1], how strongly "yes" is said.
        said: `(n,)` whether "yes" was said: from 0.5 on for "mask against no mask",
            else where the class is the most probable of the three.
    """

    truths: NDArray[np.bool_]
    scores: NDArray[np.float64]
    said: NDArray[np.bool_]


def ask(labelling: Labelling, question: Question) -> Asked:
    """Return truths, scores and decisions for a question; a mask worn is a "yes".

    Raises:
        ValueError: the question is not one of `QUESTIONS`.
    """
    probs = labelling.probs.astype(np.float64)
    if question == "wearing":
        bare = probs[:, Label.NO_MASK]
        return Asked(labelling.truths != Label.NO_MASK, 1 - bare, bare <= 0.5)
    if question not in CLASS_QUESTIONS:
        raise ValueError(
            f"question must be one of {', '.join(QUESTIONS)}, not {question!r}"
        )
    label = CLASSES[CLASS_QUESTIONS.index(question)]
    said = probs.argmax(axis=1) == label
    return Asked(labelling.truths == label, probs[:, label], said)
