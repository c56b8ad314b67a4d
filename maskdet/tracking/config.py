"""Parameters of the tracker, in seconds and face sizes.

A face size is the square root of the area of a face. No parameter is in frames or
pixels, so the results do not depend on frame rate or resolution. The values were tuned
on synthetic videos; `benchmarks/tracking.py` evaluates them on others.
"""

from __future__ import annotations

from typing import Final

CONFIRM_S: Final = 0.15
"""Minimum time between two detections before a track gets an ID."""

TENTATIVE_S: Final = 0.25
"""A track without an ID is removed after so long without a detection."""

MIN_GATE: Final = 0.5
"""Faces at most this far from the prediction can always be matched, in face sizes."""

MAX_GATE: Final = 2.5
"""Faces farther away are never matched, in face sizes."""

LOW_SCORE_GATE: Final = 0.7
"""`MAX_GATE` of faces below the detection threshold."""

MAX_GROWTH: Final = 2.0
"""Largest size ratio of a match."""

MAX_COST: Final = 1.2
"""Only pairs below this cost are matched; see `compute_costs`."""

PROCESS_NOISE: Final = 3.0
"""Standard deviation of the change of velocity in one second, in face sizes per
second."""

INITIAL_SPEED: Final = 3.0
"""Standard deviation of the velocity of a new track, in face sizes per second."""

VELOCITY_DECAY_S: Final = 0.7
"""The velocity of a coasting track falls to 37 % in this time, because people who turn
away often stop."""

MEASUREMENT_NOISE: Final = 0.06
"""Standard deviation of detected boxes, in face sizes."""

FLOW_NOISE: Final = 0.01
"""Standard deviation of boxes from optical flow, in face sizes. Larger values let the
track lag behind, as each step starts from the last one."""

MAX_COAST_RATIO: Final = 3.0
"""A track coasts at most this many times as long as it had been visible."""

MIN_OCCLUSION: Final = 0.3
"""A coasting head is occluded if a detected face covers at least this fraction of
it."""

MIN_VISIBLE: Final = 0.5
"""A coasting head with a smaller fraction inside the frame is lost."""
