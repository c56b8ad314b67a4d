"""How far apart people stand, who is near whom for how long, and a plan from above."""

from __future__ import annotations

from maskdet.proximity.body import FACE_ABOVE_FLOOR_M, FACE_HEIGHT_M
from maskdet.proximity.floor import GroundPlaneCamera
from maskdet.proximity.geometry import (
    CameraGeometry,
    compute_pairwise_distances,
    compute_positions_m,
    get_geometry,
)
from maskdet.proximity.near import ContactTracker, find_highest_risk_pair
from maskdet.proximity.plan import draw_birds_eye

__all__ = [
    "FACE_ABOVE_FLOOR_M",
    "FACE_HEIGHT_M",
    "CameraGeometry",
    "ContactTracker",
    "GroundPlaneCamera",
    "compute_pairwise_distances",
    "compute_positions_m",
    "draw_birds_eye",
    "find_highest_risk_pair",
    "get_geometry",
]
