"""How far apart people stand, who is near whom for how long, and a plan from above."""

from __future__ import annotations

from maskdet.proximity.body import FACE_ABOVE_FLOOR_M, FACE_HEIGHT_M
from maskdet.proximity.floor import FloorCamera
from maskdet.proximity.geometry import Geometry, distances, geometry, positions_m
from maskdet.proximity.near import Proximity, most_pressing
from maskdet.proximity.plan import birds_eye

__all__ = [
    "FACE_ABOVE_FLOOR_M",
    "FACE_HEIGHT_M",
    "FloorCamera",
    "Geometry",
    "Proximity",
    "birds_eye",
    "distances",
    "geometry",
    "most_pressing",
    "positions_m",
]
