"""Distances between people: geometry, ground plane, contacts."""

from __future__ import annotations

from maskdet.distance.geometry import (
    FACE_ABOVE_FLOOR_M,
    FACE_HEIGHT_M,
    compute_pairwise_distances,
    get_geometry,
)
from maskdet.distance.pairs import ContactTracker, find_highest_risk_pair

__all__ = [
    "FACE_ABOVE_FLOOR_M",
    "FACE_HEIGHT_M",
    "ContactTracker",
    "compute_pairwise_distances",
    "find_highest_risk_pair",
    "get_geometry",
]
