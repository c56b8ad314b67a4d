"""Calibrate a camera above a ground plane from four points of a rectangle on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

_CLICK_ERROR_RATIO: Final = 0.0016
"""Standard error of clicked points, as a fraction of the image width: 1 px of 640."""

_FOCAL_PRIOR_STD: Final = 0.5
"""Standard deviation of the logarithm of the focal length around the one from
`Settings.field_of_view_deg`. It only matters where the points hardly determine the
focal length, for example in a view from straight above."""

_MAX_REPROJECTION_ERROR: Final = 0.02
"""Maximum reprojection error, as a fraction of the image width. A larger one means that
the points have another order, or that width or depth is wrong."""

_MIN_SIN: Final = 0.01
"""Minimum sine of a corner's angle; below it, three points lie on a line."""

_FOCAL_CANDIDATES: Final = np.geomspace(0.1, 6.0, 24)
"""Initial focal lengths, in image widths: fields of view of 157 to 10 degrees."""


@dataclass(frozen=True, eq=False)
class GroundPlaneCamera:
    """Position and orientation of a camera above the floor.

    Floor coordinates are x to the camera's right, y up, and z away from it, in metres,
    with the origin on the floor below the camera.

    Attributes:
        focal_px: focal length in pixels.
        height_m: height of the camera above the floor.
        rotation: `(3, 3)` from camera axes (x right, y down, z ahead) to floor axes.
        corners_m: `(4, 2)` x and z of the four points.
    """

    focal_px: float
    height_m: float
    rotation: _Floats
    corners_m: _Floats


def calibrate_ground_plane(
    points: tuple[float, ...],
    rectangle_m: tuple[float, float],
    size_wh: tuple[int, int],
    *,
    prior_focal_px: float,
) -> GroundPlaneCamera:
    """Return the camera that sees a rectangle on the floor at four points.

    A homography has eight parameters. A camera with square pixels and the principal
    point in the middle has seven (focal length, rotation, position), so all can be
    estimated. For each focal length the pose comes from Collins and Bartoli,
    "Infinitesimal plane-based pose estimation" (2014). The focal length minimizes the
    reprojection error, with a weak prior.

    Args:
        points: x and y of far left, far right, near right and near left, as fractions
            of the image's width and height.
        rectangle_m: width (first to second point) and depth (second to third).
        size_wh: width and height of the image in pixels.
        prior_focal_px: expected focal length, used where the points do not determine
            it.

    Raises:
        ValueError: no camera above a floor can see such a rectangle at these points.
    """
    image_points = _to_pixels(points, size_wh)
    width_m, depth_m = rectangle_m
    corners = np.array(
        [[0, depth_m, 0], [width_m, depth_m, 0], [width_m, 0, 0], [0, 0, 0]], float
    )
    focal = _find_focal(corners, image_points, size_wh, prior_focal_px)
    pose = _estimate_pose(corners, image_points, focal, size_wh)
    # Root mean square of the eight coordinate differences.
    if (
        not pose.reprojection_error_px / math.sqrt(8)
        <= _MAX_REPROJECTION_ERROR * size_wh[0]
    ):
        raise ValueError(
            f"ground_points: a rectangle of {width_m:g} x {depth_m:g} m cannot appear "
            "at these four points; click them clockwise from the far left one, and "
            "check width and depth"
        )
    return _to_ground_camera(pose, focal, corners)


@dataclass(frozen=True, eq=False)
class _Pose:
    """Pose of the rectangle in camera coordinates, and its reprojection error."""

    rotation: _Floats
    translation: _Floats
    reprojection_error_px: float


def _find_focal(
    corners: _Floats, image_points: _Floats, size_wh: tuple[int, int], prior_px: float
) -> float:
    """Return the focal length in pixels with the lowest cost."""

    def cost(focal_px: float) -> float:
        pose = _estimate_pose(corners, image_points, focal_px, size_wh)
        click_error = pose.reprojection_error_px / (_CLICK_ERROR_RATIO * size_wh[0])
        prior_error = math.log(focal_px / prior_px) / _FOCAL_PRIOR_STD
        return click_error**2 + prior_error**2

    return _minimize(cost, _FOCAL_CANDIDATES * size_wh[0])


_NO_POSE = _Pose(np.eye(3), np.zeros(3), math.inf)


def _to_pixels(points: tuple[float, ...], size_wh: tuple[int, int]) -> _Floats:
    """Return the four points in pixels."""
    image_points: _Floats = np.array(points, np.float64).reshape(-1, 2) * size_wh
    if image_points.shape != (4, 2):
        raise ValueError("distance ground_plane needs four points; set ground_points")
    _check_clockwise(image_points)
    return image_points


def _check_clockwise(image_points: _Floats) -> None:
    """Raise an error unless the points form a convex quadrilateral, clockwise."""
    sides = np.roll(image_points, -1, axis=0) - image_points
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    next_sides = np.roll(sides, -1, axis=0)
    bends = sides[:, 0] * next_sides[:, 1] - sides[:, 1] * next_sides[:, 0]
    min_bends = _MIN_SIN * lengths * np.roll(lengths, -1)
    if lengths.min() < 1 or not (bends > min_bends).all():
        raise ValueError(
            "ground_points: the four points must be the corners of a rectangle on the "
            "floor, clockwise from the far left one, with no three in a line"
        )


def _estimate_pose(
    corners: _Floats, image_points: _Floats, focal: float, size_wh: tuple[int, int]
) -> _Pose:
    """Return the best pose with the camera above the floor, for one focal length."""
    width, height = size_wh
    camera_matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    _, rotation_vectors, translations, _ = cv2.solvePnPGeneric(
        corners, image_points, camera_matrix, None, flags=cv2.SOLVEPNP_IPPE
    )
    best = _NO_POSE
    for rotation_vector, translation in zip(
        rotation_vectors, translations, strict=True
    ):
        rotation_vector, translation = cv2.solvePnPRefineLM(
            corners,
            image_points,
            camera_matrix,
            None,
            rotation_vector.copy(),
            translation.copy(),
        )
        rotation = cv2.Rodrigues(rotation_vector)[0]
        camera_points = corners @ rotation.T + translation.ravel()
        height_m = float((-rotation.T @ translation.ravel())[2])
        if not (
            np.isfinite(camera_points).all()
            and camera_points[:, 2].min() > 0
            and height_m > 0
        ):
            continue
        projected = (
            camera_points[:, :2] / camera_points[:, 2:] * focal + camera_matrix[:2, 2]
        )
        error_px = float(np.linalg.norm(projected - image_points))
        if error_px < best.reprojection_error_px:
            best = _Pose(
                np.asarray(rotation, np.float64),
                np.asarray(translation, np.float64).ravel(),
                error_px,
            )
    return best


def _to_ground_camera(pose: _Pose, focal: float, corners: _Floats) -> GroundPlaneCamera:
    """Convert a pose to floor coordinates with the origin below the camera."""
    centre = -pose.rotation.T @ pose.translation
    forward = pose.rotation[2, :2]
    if np.hypot(*forward) < 0.05:  # the camera points straight down
        forward = -pose.rotation[1, :2]
    direction = forward / np.hypot(*forward)
    axes = np.array(
        [[direction[1], -direction[0], 0], [0, 0, 1], [direction[0], direction[1], 0]]
    )
    ground_corners = (corners - [centre[0], centre[1], 0]) @ axes.T
    return GroundPlaneCamera(
        focal,
        float(centre[2]),
        axes @ pose.rotation.T,
        ground_corners[:, [0, 2]].copy(),
    )


def _minimize(cost: Callable[[float], float], candidates: _Floats) -> float:
    """Minimize `cost` by grid search, refined around the best candidate."""
    grid = candidates
    for _ in range(4):
        best_index = int(np.argmin([cost(float(value)) for value in grid]))
        low, high = (
            grid[max(best_index - 1, 0)],
            grid[min(best_index + 1, len(grid) - 1)],
        )
        best = float(grid[best_index])
        grid = np.append(np.geomspace(low, high, 9), best)
        grid.sort()
    return best
