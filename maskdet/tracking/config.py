"""Parameters of the tracker, in seconds and face sizes.

A face size is the square root of the area of a face. No parameter is in frames or
pixels, so the results do not depend on frame rate or resolution.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrackerConfig:
    """Motion model and matching thresholds of the tracker.

    The defaults were tuned on synthetic videos; `benchmarks/tracking.py` evaluates them
    on others.

    Attributes:
        confirm_s: minimum time between two detections before a track gets an ID.
        tentative_s: a track without an ID is removed after so long without a
            detection.
        min_gate: faces at most this far from the prediction can always be matched,
            in face sizes.
        max_gate: faces farther away are never matched, in face sizes.
        low_score_gate: `max_gate` of faces below the detection threshold.
        max_growth: largest size ratio of a match.
        max_cost: only pairs below this cost are matched; see `compute_costs`.
        process_noise: standard deviation of the change of velocity in one second, in
            face sizes per second.
        initial_speed: standard deviation of the velocity of a new track, in face
            sizes per second.
        velocity_decay_s: the velocity of a coasting track falls to 37 % in this time,
            because people who turn away often stop.
        measurement_noise: standard deviation of detected boxes, in face sizes.
        flow_noise: standard deviation of boxes from optical flow, in face sizes. Larger
            values let the track lag behind, as each step starts from the last one.
        max_coast_ratio: a track coasts at most this many times as long as it had been
            visible.
        min_occlusion: a coasting head is occluded if a detected face covers at least
            this fraction of it.
        min_visible: a coasting head with a smaller fraction inside the frame is lost.
    """

    confirm_s: float = 0.15
    tentative_s: float = 0.25
    min_gate: float = 0.5
    max_gate: float = 2.5
    low_score_gate: float = 0.7
    max_growth: float = 2.0
    max_cost: float = 1.2
    process_noise: float = 3.0
    initial_speed: float = 3.0
    velocity_decay_s: float = 0.7
    measurement_noise: float = 0.06
    flow_noise: float = 0.01
    max_coast_ratio: float = 3.0
    min_occlusion: float = 0.3
    min_visible: float = 0.5

    def __post_init__(self) -> None:
        """Check that every value is finite and above 0."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be above 0, got {value!r}")
