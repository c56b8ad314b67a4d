"""How much one view of a face tells: nothing where it cannot be read."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.types import CLASSES, Faces

MIN_READABLE_PX: Final = 10.0
FULLY_READABLE_PX: Final = 32.0
"""Shorter side up to which a face tells nothing, and from which it tells all: a mask
is then a patch of some 5 by 3, or 16 by 10 pixels (by eye)."""

MIN_INFORMATION: Final = 0.05
"""Who says less than so much of what could be said says nothing: about 45 %, 30 %
and 25 %."""


def compute_observation_weights(
    faces: Faces, probs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return `(n,)` how much of a whole readable view each face is, in [0, 1].

    It is the product of three shares: how sure the finder is that it is a face, how
    large the face is, and how certain its label is. The last is what a row tells,
    1 - entropy / ln 3 (C. E. Shannon, 1948): 0 where all labels are equally likely, 1
    where one is certain. Blurred, dark and half hidden faces need no rule of their
    own: their labels are uncertain.

    Args:
        faces: the faces of one picture.
        probs: `(n, 3)` their probabilities, rows sum to 1.
    """
    range_px = FULLY_READABLE_PX - MIN_READABLE_PX
    readable = np.clip((sizes_px(faces.boxes) - MIN_READABLE_PX) / range_px, 0, 1)
    information = np.clip(1 - _compute_entropies(probs) / math.log(len(CLASSES)), 0, 1)
    weights = (
        faces.scores
        * readable
        * np.where(information < MIN_INFORMATION, 0, information)
    )
    result: NDArray[np.float32] = weights.astype(np.float32)
    return result


def _compute_entropies(probs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the `(n,)` entropies in nats; 0 log 0 is 0."""
    rows = np.asarray(probs, np.float64).reshape(-1, len(CLASSES))
    logs = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
    result: NDArray[np.float64] = -(rows * logs).sum(axis=1)
    return result
