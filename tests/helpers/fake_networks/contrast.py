"""The score that the stand-ins give a patch of plain colour."""

from __future__ import annotations

import math

GAIN, BIAS = 0.08, -8.0
"""Slope and offset of the logit: above 0.999 for 255, below every floor for 0."""


def patch_confidence(contrast: float) -> float:
    """Return the sigmoid that a network puts out for a patch.

    Args:
        contrast: how far its colour stands out, 0..255.
    """
    return 1 / (1 + math.exp(-(GAIN * contrast + BIAS)))
