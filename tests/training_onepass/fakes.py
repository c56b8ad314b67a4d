"""Maps and truths made by hand, for the tests of the one-pass training."""

from __future__ import annotations

import numpy as np

LABELS = np.array([0, 1, 2, 0])
BOXES = np.array(
    [
        [10.2, 20.7, 21.4, 33.1],
        [60, 8, 110, 70],
        [0.5, 90, 120, 255],
        [200, 3, 208, 12],
    ],
    np.float32,
)


def blank(side, n=1):
    """Maps of a network that sees a face nowhere and puts small boxes everywhere."""
    maps = []
    for stride in (8, 16, 32):
        one = np.zeros((n, side // stride, side // stride, 9), np.float32)
        one[..., :2] = -4.0
        maps.append(one)
    return maps


def rows(boxes, state=1.0, label=0):
    truth = np.zeros((1, len(boxes), 9), np.float32)
    truth[0, :, :4] = boxes
    truth[0, :, 4] = state
    truth[0, :, 5 + label] = 1.0
    truth[0, :, 8] = 1.0
    return truth
