"""Convert face boxes to positions: by face height, field of view or ground plane.

All methods are based on two lengths: the height of a face, and its height above the
floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.distance.ground_plane import GroundPlaneCamera, calibrate_ground_plane
from maskdet.settings import Settings

FACE_HEIGHT_M: Final = 0.17
"""Height of a face box, in metres.

Measured against the eyes, on 349 upright frontal faces of two public mask sets: 2.81
distances between the pupils in YuNet's boxes (from under the hairline to the chin)
and 2.56 in boxes drawn by hand (foreheads and covered chins are cut). Pupils of adults
are 63 mm apart (Dodgson, "Variation and extrema of human interpupillary distance",
2004), so these are 177 mm and 161 mm; the middle serves both kinds of box.
"""

FACE_HEIGHT_ERROR: Final = 0.12
"""Its relative standard error: 6 % between people (3.8 mm of 63 mm, Dodgson), 5 %
between detectors, 9 % between boxes in the measurement."""

FACE_ABOVE_FLOOR_M: Final = 1.55
"""Height of the middle of a standing adult's face above the floor, in metres.

Stature, mean of men and women from Britain, Hong Kong, Japan and the USA: 1.64 m (City
University of Hong Kong, "Online anthropometry", 1. Stature); less 0.14 m from the crown
to the middle of the box, plus 0.03 m for shoes, is 1.53 m, rounded up to 1.55 m.
"""

FACE_ABOVE_FLOOR_ERROR_M: Final = 0.09
"""Its standard error, from the same tables: 0.06 m within men or women of a country
and 0.06 m between them and the mean of all."""


Points3D = NDArray[np.float64]
"""`(n, 3)` float64, x to the right, y up, z away, in metres or in face heights."""

DEFAULT_FIELD_OF_VIEW_DEG: Final = 65.0
"""Horizontal field of view; webcams, phones and dome cameras have 55 to 80. The method
`relative` assumes it: its depth has an error of up to a third, and its distances across
the image are exact."""

_HEIGHT_PER_WIDTH: Final = 1.27
"""Aspect ratio of boxes of upright frontal faces, measured like `FACE_HEIGHT_M`: 2.81
by 2.16 and 2.56 by 2.11 distances between the pupils."""

_BOX_ERROR_PX: Final = 1.0
"""Standard error of a box's height, in pixels."""

_MAX_DEVIATION: Final = 2.0
"""A face that deviates from standing height by more standard errors belongs to a
sitting person or a child; the weight of the standing height then falls quickly. For
cameras above 3 m the two cases cannot be distinguished, and a sitting person is placed
too close, by up to a quarter."""

_GeometryKey = tuple[
    str, float, tuple[float, ...], tuple[float, float], tuple[int, int]
]


@dataclass(frozen=True, eq=False)
class CameraGeometry:
    """Converts boxes in images of one size to positions.

    Attributes:
        unit: unit of positions: `m`, or `heads`, which are face heights.
        units_per_m: number of units per metre.
        focal_px: focal length in pixels.
        size_wh: width and height of the images in pixels.
        ground_camera: the calibrated camera for `ground_plane`, otherwise None.
    """

    unit: str
    units_per_m: float
    focal_px: float
    size_wh: tuple[int, int]
    ground_camera: GroundPlaneCamera | None = None

    def to_world(self, boxes: Boxes) -> Points3D:
        """Return the positions of people.

        Without a ground plane, these are the heads in camera coordinates: y is up from
        the optical axis, z is along it. With one, they are the points on the floor
        (y = 0) where people stand, relative to the point below the camera.

        Args:
            boxes: `(n, 4)` faces in pixels.
        """
        heads, heights_px = self._locate_heads(boxes)
        if self.ground_camera is None:
            heads *= FACE_HEIGHT_M * self.units_per_m
            heads[:, 1] *= -1
            return heads
        heads *= FACE_HEIGHT_M
        return _project_to_ground(heads, heights_px, self.ground_camera)

    def _locate_heads(self, boxes: Boxes) -> tuple[Points3D, NDArray[np.float64]]:
        """Return head positions in face heights, y down, and box heights in pixels.

        A head is modelled as a sphere: it fills the same angle anywhere in the image.
        The vertical angle follows from the upper and lower edge of the box.
        """
        edges = np.asarray(boxes, np.float64)
        width, height = self.size_wh
        x1, y1, x2, y2 = edges.T
        # The height of a face that is cut by the image border follows from its width.
        is_truncated = (y1 <= 1) | (y2 >= height - 1)
        missing = np.where(is_truncated, (x2 - x1) * _HEIGHT_PER_WIDTH - (y2 - y1), 0)
        missing = np.maximum(missing, 0)
        upper = np.where(y1 <= 1, y1 - missing, y1)
        lower = np.where((y2 >= height - 1) & (y1 > 1), y2 + missing, y2)
        heights_px = np.maximum(lower - upper, 1e-3)
        top = np.arctan((upper - height / 2) / self.focal_px)
        bottom = np.arctan((upper + heights_px - height / 2) / self.focal_px)
        range_heads = 0.5 / np.sin((bottom - top) / 2)
        middle = (top + bottom) / 2
        z = range_heads * np.cos(middle)
        x = z * ((x1 + x2) / 2 - width / 2) / self.focal_px
        return np.stack([x, range_heads * np.sin(middle), z], axis=1), heights_px


def _project_to_ground(
    heads: Points3D, heights_px: NDArray[np.float64], ground_camera: GroundPlaneCamera
) -> Points3D:
    """Return the points on the floor where people stand.

    Two estimates give the distance of a head along its ray: its size, and the height
    of a standing person's face above the floor. They are combined by their standard
    errors: the height dominates for a high camera, the size for one at eye level. A
    sitting or small person is recognised when the two disagree.

    Args:
        heads: `(n, 3)` positions from the size alone, in metres, in camera coordinates
            with y down.
        heights_px: `(n,)` heights of the boxes.
        ground_camera: the calibrated camera.
    """
    ground_heads = heads @ ground_camera.rotation.T
    size_error = np.hypot(FACE_HEIGHT_ERROR, _BOX_ERROR_PX / heights_px)
    rise = ground_heads[:, 1]
    height_difference = FACE_ABOVE_FLOOR_M - ground_camera.height_m
    height_error = np.full(len(heads), FACE_ABOVE_FLOOR_ERROR_M)
    deviation = np.abs(rise - height_difference) / np.hypot(
        height_error, rise * size_error
    )
    height_error *= np.maximum(1, deviation / _MAX_DEVIATION) ** 4
    # Weighted least squares along each ray: factor = 1 and rise * factor = gap.
    by_size, by_height = size_error**-2, height_error**-2
    factor = (by_size + by_height * rise * height_difference) / (
        by_size + by_height * rise**2
    )
    positions = ground_heads * np.maximum(factor, 0.1)[:, None]
    positions[:, 1] = 0
    return positions


def get_geometry(settings: Settings, size_wh: tuple[int, int]) -> CameraGeometry:
    """Return the geometry for the settings; cached.

    Args:
        settings: `distance` and the fields of its method.
        size_wh: width and height of the images in pixels.

    Raises:
        ValueError: distance is off, or `ground_points` is empty or impossible.
    """
    return _build_geometry(*make_geometry_key(settings, size_wh))


def make_geometry_key(settings: Settings, size_wh: tuple[int, int]) -> _GeometryKey:
    """Return all values that a geometry depends on, as a cache key."""
    return (
        settings.distance,
        settings.field_of_view_deg,
        settings.ground_points,
        (settings.ground_width_m, settings.ground_depth_m),
        (int(size_wh[0]), int(size_wh[1])),
    )


@lru_cache(maxsize=64)
def _build_geometry(
    distance: str,
    field_deg: float,
    points: tuple[float, ...],
    rectangle_m: tuple[float, float],
    size_wh: tuple[int, int],
) -> CameraGeometry:
    if distance == "off":
        raise ValueError("distance is off; set it to relative, pinhole or ground_plane")
    if distance == "relative":
        focal = _compute_focal_px(DEFAULT_FIELD_OF_VIEW_DEG, size_wh[0])
        return CameraGeometry("heads", 1 / FACE_HEIGHT_M, focal, size_wh)
    focal = _compute_focal_px(field_deg, size_wh[0])
    if distance == "pinhole":
        return CameraGeometry("m", 1.0, focal, size_wh)
    ground_camera = calibrate_ground_plane(
        points, rectangle_m, size_wh, prior_focal_px=focal
    )
    return CameraGeometry("m", 1.0, ground_camera.focal_px, size_wh, ground_camera)


def _compute_focal_px(field_deg: float, width: int) -> float:
    """Return the focal length for a horizontal field of view."""
    return width / 2 / math.tan(math.radians(field_deg) / 2)


def compute_pairwise_distances(positions: Points3D) -> NDArray[np.float64]:
    """Return the `(n, n)` distances between positions."""
    differences = positions[:, None] - positions[None]
    result: NDArray[np.float64] = np.sqrt(
        np.einsum("ijk,ijk->ij", differences, differences)
    )
    return result
