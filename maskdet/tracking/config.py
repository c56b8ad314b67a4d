"""The numbers that tracking goes by, in seconds and sizes of a face.

The size of a face is the square root of its area. Nothing is counted in frames or
pixels, so the same video gives the same people at any frame rate and resolution.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrackerConfig:
    """How people move and how sure a match must be.

    The defaults were chosen on drawn videos; `benchmarks/tracking.py` judges them on
    others.

    Attributes:
        confirm_s: a face gets its number once it was seen twice, this far apart.
        tentative_s: a face without a number is dropped when it was missing for so long.
        min_gate: a face this near to where it was expected may always be matched,
            in face sizes.
        max_gate: one farther away never, however long the person was out of sight.
        low_score_gate: the same for doubtful faces, which must be near.
        max_growth: a face this many times larger or smaller is somebody else.
        max_cost: pairs that cost more are not made; see `association.costs`.
        process_noise: how much speeds change, in face sizes per second, each second.
        initial_speed: how fast a new face may be, in face sizes per second.
        velocity_decay_s: unseen speed falls to 37 % in this time: people who turn,
            stop.
        measurement_noise: how far boxes lie beside the face, in face sizes.
        flow_noise: the same for boxes that optical flow moved on; larger ones let
            the head lag behind, as each step starts where the last one ended.
        max_coast_ratio: a head is followed for this many times as long as it had been
            known.
        min_occlusion: a followed head that a seen face overlaps by this much is hidden.
        min_visible: a followed head of which less lies in the image has left it.
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
        """Refuse numbers that are not above 0."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be above 0, not {value!r}")
