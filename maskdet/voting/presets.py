"""The settings of the three example programs of ami-a/MaskDetection.

It is "Mask and Proximity Detection" (https://github.com/ami-a/MaskDetection) on
TrackEverything 1.7.2. What it counts in frames is turned into seconds at 30 frames per
second: it does not say how fast its films are, and 30 is what most cameras give.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from maskdet.types import Settings

FRAMES_PER_S: Final = 30.0
"""The rate at which the frames of the presets are seconds."""


def window_of_frames(n: int, frames_per_s: float = FRAMES_PER_S) -> float:
    """Return the `smoothing_window_s` of a moving window over `n` frames."""
    return n / frames_per_s


def window_of_beta(beta: float, frames_per_s: float = FRAMES_PER_S) -> float:
    """Return the `smoothing_window_s` of an exponential mean that keeps `beta` a frame.

    It keeps beta = exp(-2 dt / window) of what it knew after dt seconds.
    """
    return -2 / (frames_per_s * math.log(beta))


_COMMON: Final = Settings(
    min_confidence=0.1,
    nms_iou=0.3,
    # A face is gone with the tenth frame that misses it, and boxes need 2 pixels.
    memory_s=window_of_frames(10),
    min_face_px=2,
)


PRESETS: Final[dict[str, Settings]] = {
    "track-head": replace(
        _COMMON,
        min_score=0.4,
        smoothing="window",
        smoothing_window_s=window_of_frames(10),
    ),
    "track-face": replace(_COMMON, min_score=0.12, smoothing="latest"),
    "track-onepass": replace(
        _COMMON,
        min_score=0.4,
        min_confidence=0.5,
        smoothing="ema",
        smoothing_window_s=window_of_beta(0.9),
    ),
}
"""Name to settings: heads and a mean of 10 frames, faces and no memory, a one-pass
network and an exponential mean of 0.9 a frame.

TrackEverything compares its uncertainty threshold with face score times probability;
`min_confidence` is compared with the probability alone.
"""
