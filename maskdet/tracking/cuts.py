"""Telling a cut from a moving camera: two thumbnails, at most one shift."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.tracking.flow import Grey

Thumbnail = NDArray[np.float32]
"""`(48, 64)` float32, grey, 0 on average."""

_SIZE_WH = (64, 48)

_ALIKE = 0.7
"""Correlation of two thumbnails of one scene. Of 200 pairs of unrelated photographs
none reached it; a still camera always does."""

_SAME_SHIFTED = 0.45
"""Height of the peak of the phase correlation (Kuglin & Hines 1975). 1 of 100
unrelated pairs reached 0.5; with a camera that swung by a tenth of the picture 99 of
100 photographs reached 0.58."""

_FLAT = 2.0
"""A picture with a smaller deviation of its grey levels shows nothing."""


def thumbnail(grey: Grey) -> Thumbnail:
    """Return the picture so small that only the scene is left."""
    small: Thumbnail = cv2.resize(grey, _SIZE_WH, interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    small -= small.mean()
    return small


def same_scene(a: Thumbnail, b: Thumbnail) -> bool:
    """Return whether two pictures show one scene, moved and lit as may be."""
    spreads = [math.sqrt(float(np.vdot(one, one)) / one.size) for one in (a, b)]
    if min(spreads) < _FLAT:
        return max(spreads) < _FLAT
    likeness = float(np.vdot(a, b)) / a.size / (spreads[0] * spreads[1])
    if likeness >= _ALIKE:
        return True
    return float(cv2.phaseCorrelate(a, b, _WINDOW)[1]) >= _SAME_SHIFTED


_WINDOW = cv2.createHanningWindow(_SIZE_WH, cv2.CV_32F)
