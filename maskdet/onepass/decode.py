"""What the one-pass network's maps mean: boxes, face scores, mask probabilities.

Cells, shifts and the face score are YuNet's (Wu et al., "YuNet: A Tiny
Millisecond-level Face Detector", Machine Intelligence Research, 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.types import CLASSES

STRIDES_PX = (8, 16, 32)
"""Pixels from one cell of a map to the next, map by map."""

CHANNELS = 6 + len(CLASSES)
"""Of each map: class logit, object logit, `dx, dy, log w, log h` in strides, and the
logits of `CLASSES`."""

OUTPUT_NAMES = tuple(
    "__".join((f"stride{stride}", *(label.key for label in CLASSES)))
    for stride in STRIDES_PX
)
"""Names of a file's outputs, in the order of `STRIDES_PX`: they carry the labels."""

FLOOR = 0.02
"""Face scores below this are never looked at."""

# Far above any picture; keeps `exp` of a wild answer finite.
_MAX_LOG = 10.0

Map = NDArray[np.float32]
"""`(h, w, CHANNELS)` float32: what the network says at one stride."""


def decode(
    maps: Sequence[Map], floor: float = FLOOR
) -> tuple[Boxes, NDArray[np.float32], NDArray[np.float32]]:
    """Return every candidate with at least the face score `floor`, overlaps included.

    Args:
        maps: one `(h, w, 9)` a stride in `STRIDES_PX`, raw.
        floor: lowest face score, in [0, 1].

    Returns:
        Boxes `(n, 4)` `x1, y1, x2, y2` in pixels of the network's input, unclipped;
        scores `(n,)` in [0, 1]; probabilities `(n, 3)` whose rows sum to 1.

    Raises:
        ValueError: a map has another shape, or there are not as many as strides.
    """
    rows, cells, strides = [], [], []
    for stride, answers in zip(STRIDES_PX, _checked(maps), strict=True):
        hopeful = _hopeful(answers, floor)
        rows.append(answers.reshape(-1, CHANNELS)[hopeful])
        cells.append(
            np.stack([hopeful % answers.shape[1], hopeful // answers.shape[1]])
        )
        strides.append(np.full(len(hopeful), stride, np.float32))
    found = np.concatenate(rows)
    scores = np.sqrt(_sigmoid(found[:, 0]) * _sigmoid(found[:, 1]))
    kept = scores >= floor
    found, sides_px = found[kept], np.concatenate(strides)[kept, None]
    places = np.concatenate(cells, axis=1).T[kept].astype(np.float32)
    centres = (places + found[:, 2:4]) * sides_px
    halves = np.exp(np.minimum(found[:, 4:6], _MAX_LOG)) * (sides_px / 2)
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return boxes.astype(np.float32), scores[kept], _softmax(found[:, 6:])


def _checked(maps: Sequence[Map]) -> Sequence[Map]:
    if len(maps) != len(STRIDES_PX):
        raise ValueError(f"wanted {len(STRIDES_PX)} maps, got {len(maps)}")
    for answers in maps:
        if answers.ndim != 3 or answers.shape[2] != CHANNELS:
            raise ValueError(f"a map must be (h, w, {CHANNELS}), got {answers.shape}")
    return maps


def _hopeful(answers: Map, floor: float) -> NDArray[np.int64]:
    """Return the cells that can reach the floor, without computing their score.

    The score is the root of a product of two numbers below 1, so each of them must
    reach the square of the floor.
    """
    least = floor * floor
    if least <= 0:
        logit = -math.inf
    else:
        logit = math.log(least / (1 - least)) if least < 1 else math.inf
    # Rounding must not lose a cell that lies exactly on the floor.
    passes = answers[..., :2].min(axis=2) >= logit - 1e-3
    result: NDArray[np.int64] = np.flatnonzero(passes)
    return result


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # Within these limits exp stays finite, and beyond them nothing changes.
    powers = np.exp(-np.clip(logits, -80, 80))
    result: NDArray[np.float32] = (1 / (1 + powers)).astype(np.float32)
    return result


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result
