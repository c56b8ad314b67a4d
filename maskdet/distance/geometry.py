"""From boxes of faces to places in space: three ways, each as honest as it can be.

How large people are: the two lengths that distances from faces rest on.
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
"""What the box of a face covers from top to bottom, in metres.

Measured against the eyes, on 349 upright frontal faces of two public mask sets: 2.81
distances between the pupils in YuNet's boxes (from under the hairline to the chin)
and 2.56 in boxes drawn by hand (foreheads and covered chins are cut). Pupils of adults
are 63 mm apart (Dodgson, "Variation and extrema of human interpupillary distance",
2004), so these are 177 mm and 161 mm; the middle serves both kinds of box.
"""

FACE_HEIGHT_ERROR: Final = 0.12
"""Its standard error as a share: 6 % from person to person (3.8 mm of 63 mm, Dodgson),
5 % for what the detector's boxes cover, 9 % from box to box in the measurement."""

FACE_ABOVE_FLOOR_M: Final = 1.55
"""How high the middle of a standing adult's face is above the floor, in metres.

Stature, mean of men and women from Britain, Hong Kong, Japan and the USA: 1.64 m (City
University of Hong Kong, "Online anthropometry", 1. Stature); less 0.14 m from the crown
to the middle of the box, plus 0.03 m of shoes, is 1.53 m; 1.55 m leans to the taller.
"""

FACE_ABOVE_FLOOR_ERROR_M: Final = 0.09
"""Its standard error, from the same tables: 0.06 m within men or women of a country
and 0.06 m between them and the mean of all."""


Points3D = NDArray[np.float64]
"""`(n, 3)` float64, x to the right, y up, z away, in metres or in heights of heads."""

DEFAULT_FIELD_OF_VIEW_DEG: Final = 65.0
"""From left to right; webcams, phones and dome cameras have 55 to 80. `relative` uses
it, so depth there is right to a third and distances across the image are exact."""

_HEIGHT_PER_WIDTH: Final = 1.27
"""Of boxes of upright frontal faces; measured as `FACE_HEIGHT_M` was: 2.81 by 2.16
and 2.56 by 2.11 distances between the pupils."""

_BOX_ERROR_PX: Final = 1.0
"""Standard error of a box's height, in pixels."""

_MAX_DEVIATION: Final = 2.0
"""A face further from standing height than so many standard errors sits, or is a
child: the height is then believed less, soon not at all. From 3 m up and more the two
cannot be told apart, and who sits is put nearer than they are, by up to a quarter."""


@dataclass(frozen=True, eq=False)
class CameraGeometry:
    """How boxes in images of one size become places.

    Attributes:
        unit: of the places: `m`, or `heads`, which are heights of faces' boxes.
        units_per_m: how many of `unit` a metre is.
        focal_px: focal length in pixels.
        size_wh: width and height of the images in pixels.
        ground_camera: the camera above the floor, where one was found.
    """

    unit: str
    units_per_m: float
    focal_px: float
    size_wh: tuple[int, int]
    ground_camera: GroundPlaneCamera | None = None

    def to_world(self, boxes: Boxes) -> Points3D:
        """Return where people are.

        From heads alone, places are those of the heads seen from the camera, y up
        from its middle line, z along its look. On a floor they are where people stand,
        y = 0, seen from the point under the camera.

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
        """Return heads in heights of a head, y down, and their heights in pixels.

        A head is taken as round: it fills the same angle wherever it is in the image,
        and the angle in the vertical plane is read off the box's upper and lower edge.
        """
        edges = np.asarray(boxes, np.float64)
        width, height = self.size_wh
        x1, y1, x2, y2 = edges.T
        # A face cut by the image's edge is as high as its width says.
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
    """Return where the people under some heads stand.

    Two things tell how far along its ray a head is: its size, and that it is as high
    above the floor as faces of standing people are. Each counts by its standard error:
    a high camera believes the height, one at eye level the size, and who sits or is
    small is noticed by the two not agreeing.

    Args:
        heads: `(n, 3)` in metres before the camera, y down, by their size alone.
        heights_px: `(n,)` heights of the boxes.
        ground_camera: the camera.
    """
    ground_heads = heads @ ground_camera.rotation.T
    size_error = np.hypot(FACE_HEIGHT_ERROR, _BOX_ERROR_PX / heights_px)
    rise, height_difference = (
        ground_heads[:, 1],
        FACE_ABOVE_FLOOR_M - ground_camera.height_m,
    )
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
    """Return how boxes become places; the same settings cost nothing again.

    Args:
        settings: `distance` and what it needs.
        size_wh: width and height of the images in pixels.

    Raises:
        ValueError: distance is off, or `ground_points` is empty or impossible.
    """
    return _build_geometry(*make_geometry_key(settings, size_wh))


_GeometryKey = tuple[
    str, float, tuple[float, ...], tuple[float, float], tuple[int, int]
]


def make_geometry_key(settings: Settings, size_wh: tuple[int, int]) -> _GeometryKey:
    """Return all that a geometry depends on, to tell whether it is still the same."""
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
    """Return the focal length of a lens that sees so many degrees across."""
    return width / 2 / math.tan(math.radians(field_deg) / 2)


def compute_positions_m(
    boxes: Boxes, size_wh: tuple[int, int], settings: Settings
) -> NDArray[np.float64]:
    """Return `(n, 2)` x to the right and z away from the camera, in metres.

    Args:
        boxes: `(n, 4)` faces in pixels.
        size_wh: width and height of the image in pixels.
        settings: with `distance` pinhole or ground_plane.

    Raises:
        ValueError: distance is off or knows no metres, or the floor is impossible.
    """
    camera_geometry = get_geometry(settings, size_wh)
    if camera_geometry.unit != "m":
        raise ValueError(
            "distance by heights of heads knows no metres; choose pinhole or "
            "ground_plane"
        )
    positions: NDArray[np.float64] = camera_geometry.to_world(boxes)[:, [0, 2]]
    return positions


def compute_pairwise_distances(positions: Points3D) -> NDArray[np.float64]:
    """Return the `(n, n)` distances between places."""
    differences = positions[:, None] - positions[None]
    result: NDArray[np.float64] = np.sqrt(
        np.einsum("ijk,ijk->ij", differences, differences)
    )
    return result
