"""What was answered for faces whose truth is known, as numbers with intervals.

"Mask against no mask" counts a mask incorrectly worn as a mask: for the truth, and for
the answer by comparing p(mask) + p(incorrect) with p(no_mask).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.classification import Confusion
from maskdet.types import CLASSES, Label

Json = dict[str, object]
"""What `json.dumps` can write."""


@dataclass(frozen=True, eq=False)
class Labelling:
    """The answers given for faces whose truth is known.

    Attributes:
        truths: `(n,)` int64 true classes, columns of `probs`.
        probs: `(n, 3)` float32 answers.
    """

    truths: NDArray[np.int64]
    probs: NDArray[np.float32]

    @classmethod
    def joined(
        cls, parts: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]
    ) -> Labelling:
        """Join the truths and answers of several images; none gives no faces."""
        nothing = (np.zeros(0, np.int64), np.zeros((0, len(CLASSES)), np.float32))
        truths, probs = zip(nothing, *parts, strict=True)
        return cls(np.concatenate(truths), np.concatenate(probs))

    @property
    def states(self) -> Confusion:
        """All three states, each face taken for its most probable one."""
        return Confusion.of(self.truths, self.probs.argmax(axis=1), len(CLASSES))

    @property
    def wearing(self) -> Confusion:
        """Mask (0) against no mask (1); incorrectly worn counts as a mask."""
        bare = self.truths == Label.NO_MASK
        said_bare = self.probs[:, Label.NO_MASK] > 0.5
        return Confusion.of(bare.astype(np.int64), said_bare.astype(np.int64), 2)

    def to_json(self) -> Json:
        """Return every number with its interval."""
        states, wearing = self.states, self.wearing
        return {
            "n": states.n,
            "mask_against_no_mask": wearing.accuracy.rounded(),
            "masked_right": wearing.recalls[0].rounded(),
            "bare_right": wearing.recalls[1].rounded(),
            "three_states": states.accuracy.rounded(),
            "balanced": states.balanced_accuracy().rounded(),
            "recall": {
                label.key: recall.rounded()
                for label, recall in zip(CLASSES, states.recalls, strict=True)
            },
            "confusion": states.counts[:, :-1].tolist(),
        }
