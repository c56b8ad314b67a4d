"""The camera above a floor, found from four points of a rectangle on it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]

_CLICK_SHARE: Final = 0.0016
"""How exactly points are clicked, as a share of the picture's width: 1 px of 640."""

_PRIOR_SPREAD: Final = 0.5
"""How far the focal length may be from the one that the field of view in the settings
gives, as a standard deviation of its logarithm. It only decides where the points say
little of the focal length, as they do seen from straight above."""

_MAX_MISFIT: Final = 0.02
"""Points further from every picture of the rectangle, in shares of the width, are
wrong: another order, or another width and depth than was said."""

_MIN_SIN: Final = 0.01
"""Corners of the clicked figure straighter than this make a line of three points."""

_FOCALS: Final = np.geomspace(0.1, 6.0, 24)
"""Focal lengths tried first, in widths of the picture: fields of 157 to 10 degrees."""


@dataclass(frozen=True, eq=False)
class FloorCamera:
    """Where a camera is above the floor, and where it looks.

    The floor's axes: x to the camera's right, y up, z away from it, in metres, with
    the origin on the floor under the camera.

    Attributes:
        focal_px: focal length in pixels.
        height_m: of the camera above the floor.
        turn: `(3, 3)`, from the camera's axes (x right, y down, z ahead) to these.
        corners_m: `(4, 2)` x and z of the four points.
    """

    focal_px: float
    height_m: float
    turn: _Floats
    corners_m: _Floats


def floor_camera(
    points: tuple[float, ...],
    rectangle_m: tuple[float, float],
    size_wh: tuple[int, int],
    *,
    likely_focal_px: float,
) -> FloorCamera:
    """Return the camera that sees a rectangle on the floor at four points.

    A homography has eight numbers and a camera with square pixels and the principal
    point in the middle has seven (focal length, rotation, place), so all are found: for
    each focal length the pose is that of Collins and Bartoli, "Infinitesimal
    plane-based pose estimation" (2014), and the best one puts the corners nearest to
    the points, with a little weight on the likely focal length.

    Args:
        points: x and y of far left, far right, near right and near left in shares of
            the picture's width and height.
        rectangle_m: width (first to second point) and depth (second to third).
        size_wh: width and height of the picture in pixels.
        likely_focal_px: where the points do not tell the focal length, this is it.

    Raises:
        ValueError: no camera above a floor sees such a rectangle at these points.
    """
    seen = _seen(points, size_wh)
    wide, deep = rectangle_m
    corners = np.array([[0, deep, 0], [wide, deep, 0], [wide, 0, 0], [0, 0, 0]], float)
    focal = _best_focal(corners, seen, size_wh, likely_focal_px)
    pose = _pose(corners, seen, focal, size_wh)
    # Eight differences: the root of their mean square is comparable to one of them.
    if not pose.misfit_px / math.sqrt(8) <= _MAX_MISFIT * size_wh[0]:
        raise ValueError(
            f"ground_points: no camera sees a rectangle of {wide:g} x {deep:g} m at "
            "these four points; click them clockwise from the far left one, and "
            "check both lengths"
        )
    return _described(pose, focal, corners)


@dataclass(frozen=True, eq=False)
class _Pose:
    """Rotation and place of the rectangle before the camera, and how ill it fits."""

    rotation: _Floats
    place: _Floats
    misfit_px: float


def _best_focal(
    corners: _Floats, seen: _Floats, size_wh: tuple[int, int], likely_px: float
) -> float:
    """Return the focal length in pixels that fits the points, and is likely."""

    def cost(focal_px: float) -> float:
        pose = _pose(corners, seen, focal_px, size_wh)
        clicks = pose.misfit_px / (_CLICK_SHARE * size_wh[0])
        surprise = math.log(focal_px / likely_px) / _PRIOR_SPREAD
        return clicks**2 + surprise**2

    return _smallest(cost, _FOCALS * size_wh[0])


_NO_POSE = _Pose(np.eye(3), np.zeros(3), math.inf)


def _seen(points: tuple[float, ...], size_wh: tuple[int, int]) -> _Floats:
    """Return the four points in pixels."""
    seen: _Floats = np.array(points, np.float64).reshape(-1, 2) * size_wh
    if seen.shape != (4, 2):
        raise ValueError("distance by the floor needs four points; give ground_points")
    _refuse_lines(seen)
    return seen


def _refuse_lines(seen: _Floats) -> None:
    """Refuse points that do not go round clockwise, every corner bending right."""
    sides = np.roll(seen, -1, axis=0) - seen
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    after = np.roll(sides, -1, axis=0)
    bends = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    floor = _MIN_SIN * lengths * np.roll(lengths, -1)
    if lengths.min() < 1 or not (bends > floor).all():
        raise ValueError(
            "ground_points: the four points must go round a rectangle on the floor, "
            "clockwise from the far left one, no three in one line"
        )


def _pose(
    corners: _Floats, seen: _Floats, focal: float, size_wh: tuple[int, int]
) -> _Pose:
    """Return the best pose with the camera above the floor, for one focal length."""
    width, height = size_wh
    lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    _, turns, places, _ = cv2.solvePnPGeneric(
        corners, seen, lens, None, flags=cv2.SOLVEPNP_IPPE
    )
    best = _NO_POSE
    for turn, place in zip(turns, places, strict=True):
        turn, place = cv2.solvePnPRefineLM(
            corners, seen, lens, None, turn.copy(), place.copy()
        )
        rotation = cv2.Rodrigues(turn)[0]
        before = corners @ rotation.T + place.ravel()
        above = float((-rotation.T @ place.ravel())[2])
        if not (np.isfinite(before).all() and before[:, 2].min() > 0 and above > 0):
            continue
        drawn = before[:, :2] / before[:, 2:] * focal + lens[:2, 2]
        misfit = float(np.linalg.norm(drawn - seen))
        if misfit < best.misfit_px:
            best = _Pose(
                np.asarray(rotation, np.float64),
                np.asarray(place, np.float64).ravel(),
                misfit,
            )
    return best


def _described(pose: _Pose, focal: float, corners: _Floats) -> FloorCamera:
    """Return the pose with axes that start under the camera and follow its look."""
    centre = -pose.rotation.T @ pose.place
    ahead = pose.rotation[2, :2]
    if np.hypot(*ahead) < 0.05:  # straight down: away is up in the picture
        ahead = -pose.rotation[1, :2]
    away = ahead / np.hypot(*ahead)
    axes = np.array([[away[1], -away[0], 0], [0, 0, 1], [away[0], away[1], 0]])
    around = (corners - [centre[0], centre[1], 0]) @ axes.T
    return FloorCamera(
        focal, float(centre[2]), axes @ pose.rotation.T, around[:, [0, 2]].copy()
    )


def _smallest(cost: Callable[[float], float], first: _Floats) -> float:
    """Return where `cost` is smallest: the best of `first`, then closer and closer."""
    tried = first
    for _ in range(4):
        at = int(np.argmin([cost(float(one)) for one in tried]))
        low, high = tried[max(at - 1, 0)], tried[min(at + 1, len(tried) - 1)]
        best = float(tried[at])
        tried = np.append(np.geomspace(low, high, 9), best)
        tried.sort()
    return best
