"""Telling a cut from a moving camera: two thumbnails, at most one shift."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.tracking.flow import GreyImage

Thumbnail = NDArray[np.float32]
"""`(48, 64)` float32, grey, 0 on average."""

_THUMBNAIL_WH = (64, 48)

_MIN_CORRELATION = 0.7
"""Correlation of two thumbnails of one scene. Of 200 pairs of unrelated photographs
none reached it; a still camera always does."""

_MIN_PHASE_PEAK = 0.45
"""Height of the peak of the phase correlation (Kuglin & Hines 1975). 1 of 100
unrelated pairs reached 0.5; with a camera that swung by a tenth of the picture 99 of
100 photographs reached 0.58."""

_MIN_STD = 2.0
"""A picture with a smaller deviation of its grey levels shows nothing."""


def make_thumbnail(grey: GreyImage) -> Thumbnail:
    """Return the picture so small that only the scene is left."""
    small: Thumbnail = cv2.resize(
        grey, _THUMBNAIL_WH, interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    small -= small.mean()
    return small


def is_same_shot(a: Thumbnail, b: Thumbnail) -> bool:
    """Return whether two pictures show one scene, moved and lit as may be."""
    stds = [math.sqrt(float(np.vdot(thumb, thumb)) / thumb.size) for thumb in (a, b)]
    if min(stds) < _MIN_STD:
        return max(stds) < _MIN_STD
    correlation = float(np.vdot(a, b)) / a.size / (stds[0] * stds[1])
    if correlation >= _MIN_CORRELATION:
        return True
    return float(cv2.phaseCorrelate(a, b, _HANNING_WINDOW)[1]) >= _MIN_PHASE_PEAK


_HANNING_WINDOW = cv2.createHanningWindow(_THUMBNAIL_WH, cv2.CV_32F)
