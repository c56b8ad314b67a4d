"""Where people stand as seen from above, as the pages show it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from maskdet.proximity import draw_birds_eye, get_geometry
from maskdet.style import Style
from maskdet.types import Image, Scene, Settings


def render_birds_eye(
    scene: Scene,
    positions: NDArray[np.float64],
    settings: Settings,
    style: Style,
    size_wh: tuple[int, int],
) -> Image | None:
    """Return the plan; None where places are not known in metres.

    Args:
        scene: who is there.
        positions: `(n, 2)` where, x to the right and z away from the camera.
        settings: with which they were measured; they must be possible.
        style: colours, and whether people are named by their numbers.
        size_wh: width and height of the picture.
    """
    has_positions = len(positions) == len(scene)
    if settings.distance not in ("pinhole", "ground_plane") or not has_positions:
        return None
    ground_plane = get_geometry(settings, size_wh).ground_camera
    return draw_birds_eye(
        scene if style.ids else replace(scene, track_ids=None),
        positions,
        style=style,
        corners_m=None if ground_plane is None else ground_plane.corners_m,
    )
