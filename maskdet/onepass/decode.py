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

N_CHANNELS = 6 + len(CLASSES)
"""Of each map: class logit, object logit, `dx, dy, log w, log h` in strides, and the
logits of `CLASSES`."""

OUTPUT_NAMES = tuple(
    "__".join((f"stride{stride}", *(label.key for label in CLASSES)))
    for stride in STRIDES_PX
)
"""Names of a file's outputs, in the order of `STRIDES_PX`: they carry the labels."""

MIN_CANDIDATE_SCORE = 0.02
"""Face scores below this are never looked at."""

# Far above any picture; keeps `exp` of a wild answer finite.
_MAX_LOG = 10.0

FeatureMap = NDArray[np.float32]
"""`(h, w, CHANNELS)` float32: what the network says at one stride."""


def decode_maps(
    maps: Sequence[FeatureMap], min_score: float = MIN_CANDIDATE_SCORE
) -> tuple[Boxes, NDArray[np.float32], NDArray[np.float32]]:
    """Return every candidate with at least the face score `min_score`, overlaps included.

    Args:
        maps: one `(h, w, 9)` a stride in `STRIDES_PX`, raw.
        min_score: lowest face score, in [0, 1].

    Returns:
        Boxes `(n, 4)` `x1, y1, x2, y2` in pixels of the network's input, unclipped;
        scores `(n,)` in [0, 1]; probabilities `(n, 3)` whose rows sum to 1.

    Raises:
        ValueError: a map has another shape, or there are not as many as strides.
    """
    rows, cells, strides = [], [], []
    for stride, feature_map in zip(STRIDES_PX, _check_maps(maps), strict=True):
        indices = _candidate_cells(feature_map, min_score)
        rows.append(feature_map.reshape(-1, N_CHANNELS)[indices])
        cells.append(
            np.stack([indices % feature_map.shape[1], indices // feature_map.shape[1]])
        )
        strides.append(np.full(len(indices), stride, np.float32))
    candidates = np.concatenate(rows)
    scores = np.sqrt(_sigmoid(candidates[:, 0]) * _sigmoid(candidates[:, 1]))
    kept = scores >= min_score
    candidates, sides_px = candidates[kept], np.concatenate(strides)[kept, None]
    cells_xy = np.concatenate(cells, axis=1).T[kept].astype(np.float32)
    centres = (cells_xy + candidates[:, 2:4]) * sides_px
    halves = np.exp(np.minimum(candidates[:, 4:6], _MAX_LOG)) * (sides_px / 2)
    boxes = np.concatenate([centres - halves, centres + halves], axis=1)
    return boxes.astype(np.float32), scores[kept], _softmax(candidates[:, 6:])


def _check_maps(maps: Sequence[FeatureMap]) -> Sequence[FeatureMap]:
    if len(maps) != len(STRIDES_PX):
        raise ValueError(f"wanted {len(STRIDES_PX)} maps, got {len(maps)}")
    for feature_map in maps:
        if feature_map.ndim != 3 or feature_map.shape[2] != N_CHANNELS:
            raise ValueError(
                f"a map must be (h, w, {N_CHANNELS}), got {feature_map.shape}"
            )
    return maps


def _candidate_cells(feature_map: FeatureMap, min_score: float) -> NDArray[np.int64]:
    """Return the cells that can reach the floor, without computing their score.

    The score is the root of a product of two numbers below 1, so each of them must
    reach the square of the floor.
    """
    min_factor = min_score * min_score
    if min_factor <= 0:
        logit = -math.inf
    else:
        logit = math.log(min_factor / (1 - min_factor)) if min_factor < 1 else math.inf
    # Rounding must not lose a cell that lies exactly on the floor.
    passes = feature_map[..., :2].min(axis=2) >= logit - 1e-3
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
