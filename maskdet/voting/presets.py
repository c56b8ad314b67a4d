"""The three example programs of ami-a/MaskDetection, as presets.

It is "Mask and Proximity Detection" (https://github.com/ami-a/MaskDetection) on
TrackEverything 1.7.2. Its numbers are translated:

- Frames become seconds at 30 frames per second: it does not say how fast its videos
  are, and 30 is what most cameras give.
- Its uncertainty threshold `u` is compared with a statistic that grows from 0, where
  nothing is known, to 1, where one of two classes is certain. With three classes the
  probability of the likeliest is 1/3 where nothing is known, so a threshold of 0.1
  could never act. The same fraction of the way is `1/3 + u * (1 - 1/3)`: 0.1 becomes
  0.40, and 0.5 becomes 0.67.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from maskdet.types import CLASSES, Settings

FRAMES_PER_S: Final = 30.0
"""The rate at which the frames of the presets are seconds."""


@dataclass(frozen=True)
class TrackingPreset:
    """Everything that an example program sets.

    Attributes:
        title: a word for a button.
        analyzer: name of the analyzer that comes closest to its detector.
        settings: its thresholds and its label smoothing.
        description: one line that says what the preset does.
        refine: whether the classifier may check faces again.
    """

    title: str
    analyzer: str
    settings: Settings
    description: str
    refine: bool = True


def frames_to_window_s(n: int, frames_per_s: float = FRAMES_PER_S) -> float:
    """Return the `smoothing_window_s` of a moving window over `n` frames."""
    return n / frames_per_s


def beta_to_window_s(beta: float, frames_per_s: float = FRAMES_PER_S) -> float:
    """Return the `smoothing_window_s` of an exponential mean that keeps `beta` a frame.

    It keeps beta = exp(-2 dt / window) of what it knew after dt seconds.
    """
    return -2 / (frames_per_s * math.log(beta))


def uncertainty_to_confidence(u: float) -> float:
    """Return the `min_confidence` that stands for an uncertainty threshold `u`.

    With n classes that is 1/n + u (1 - 1/n), to two digits: `u` of the way from
    nothing known to certain.
    """
    chance = 1 / len(CLASSES)
    return round(chance + u * (1 - chance), 2)


_COMMON: Final = Settings(
    min_confidence=uncertainty_to_confidence(0.1),
    nms_iou=0.3,
    # A face is gone with the tenth frame that misses it, and boxes need 2 pixels.
    memory_s=frames_to_window_s(10),
    min_face_px=2,
)


TRACKING_PRESETS: Final[dict[str, TrackingPreset]] = {
    "track-head": TrackingPreset(
        "Heads",
        "onepass",
        replace(
            _COMMON,
            min_score=0.4,
            smoothing="window",
            smoothing_window_s=frames_to_window_s(10),
        ),
        "Example 1, heads: onepass on large images, as maskdet has no head detector, "
        "from score 0.4; mean of the last 10 frames; unsure below 40 %.",
    ),
    "track-face": TrackingPreset(
        "Faces",
        "ssd",
        replace(_COMMON, min_score=0.12, smoothing="latest"),
        "Example 2, faces: ResNet-10 SSD detects from score 0.12, the classifier "
        "classifies; each frame alone; unsure below 40 %.",
    ),
    "track-onepass": TrackingPreset(
        "One pass",
        "onepass-fast",
        replace(
            _COMMON,
            min_score=0.4,
            min_confidence=uncertainty_to_confidence(0.5),
            smoothing="ema",
            smoothing_window_s=beta_to_window_s(0.9),
        ),
        "Example 3, one network: onepass-fast on small images without refinement, "
        "from score 0.4; exponential mean (0.9 a frame); unsure below 67 %.",
        refine=False,
    ),
}
"""Name to preset.

TrackEverything compares its uncertainty threshold with face score times probability;
`min_confidence` is compared with the probability alone.
"""
