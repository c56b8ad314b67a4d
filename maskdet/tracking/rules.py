"""The numbers that tracking goes by, in seconds and sizes of a face.

The size of a face is the square root of its area. Nothing is counted in frames or
pixels, so the same film gives the same people at any frame rate and resolution.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TrackRules:
    """How people move and how sure a match must be.

    The defaults were chosen on drawn films; `benchmarks/tracking.py` judges them on
    others.

    Attributes:
        confirm_s: a face gets its number once it was seen twice, this far apart.
        doubt_s: a face without a number is dropped when it was missing for so long.
        min_reach: a face this near to where it was expected may always be matched,
            in face sizes.
        max_reach: one farther away never, however long the person was out of sight.
        doubtful_reach: the same for doubtful faces, which must be near.
        max_growth: a face this many times larger or smaller is somebody else.
        worst_cost: pairs that cost more are not made; see `association.costs`.
        push: how much speeds change, in face sizes per second, each second.
        start_speed: how fast a new face may be, in face sizes per second.
        glide_s: unseen speed falls to 37 % in this time: people who turn, stop.
        jitter: how far boxes lie beside the face, in face sizes.
        flow_jitter: the same for boxes that optical flow moved on; larger ones let
            the head lag behind, as each step starts where the last one ended.
        trust: a head is followed for this many times as long as it had been known.
        cover: a followed head that a seen face overlaps by this much is hidden.
        inside: a followed head of which less lies in the picture has left it.
    """

    confirm_s: float = 0.15
    doubt_s: float = 0.25
    min_reach: float = 0.5
    max_reach: float = 2.5
    doubtful_reach: float = 0.7
    max_growth: float = 2.0
    worst_cost: float = 1.2
    push: float = 3.0
    start_speed: float = 3.0
    glide_s: float = 0.7
    jitter: float = 0.06
    flow_jitter: float = 0.01
    trust: float = 3.0
    cover: float = 0.3
    inside: float = 0.5

    def __post_init__(self) -> None:
        """Refuse numbers that are not above 0."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value) or value <= 0:
                raise ValueError(f"{field.name} must be above 0, not {value!r}")
