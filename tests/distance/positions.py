"""Positions of people in one image, for tests of the geometry."""

from __future__ import annotations

from maskdet.distance import get_geometry
from maskdet.settings import Settings


def compute_positions_m(boxes, size_wh: tuple[int, int], settings: Settings):
    """Return `(n, 2)` x to the right and z away from the camera, in metres."""
    geometry = get_geometry(settings, size_wh)
    assert geometry.unit == "m"
    return geometry.to_world(boxes)[:, [0, 2]]
