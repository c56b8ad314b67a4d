"""How sure the stand-ins are of a patch of plain colour."""

from __future__ import annotations

import math

GAIN, BIAS = 0.08, -8.0
"""Slope and offset of the logit: 255 is as good as certain, 0 under every floor."""


def confidence(ink: float) -> float:
    """Return what a network says of a patch.

    Args:
        ink: how far its colour stands out, 0..255.
    """
    return 1 / (1 + math.exp(-(GAIN * ink + BIAS)))
