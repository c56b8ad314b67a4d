"""A simple 3-D head model, fitted to five face landmarks in an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

# Eyes, nose tip and mouth corners of a mean face in eye distances: x to the image's
# right, y down, z towards the viewer. x and y: the common 112-pixel alignment
# template (Deng et al., "ArcFace", 2019); z: mean head of NASA-STD-3000, volume 1.
MEAN_FACE: Final[Points] = np.array(
    [
        [-0.5, 0.0, 0.0],
        [0.5, 0.0, 0.0],
        [0.0, 0.57, 0.42],
        [-0.415, 1.15, 0.12],
        [0.415, 1.15, 0.12],
    ]
)
MOUTH_Y: Final = 1.15
_CHIN_Y: Final = 1.85
EAR_X: Final = 1.1
EAR_Z: Final = -0.95

_CENTRE: Final[Points] = np.array([0.0, 0.75, -0.55])
_HALF_WIDTH: Final = 1.0
_HALF_DEPTH: Final = 1.08

_MIN_EYES_PX: Final = 3.0
_BEND_GRID: Final = 24


@dataclass(frozen=True)
class Surface:
    """The head surface at each cell of a grid, arrays of shape `(rows, columns)`.

    Attributes:
        angle: angle around the head in radians; 0 = straight ahead, left is negative.
        y: height on the head, in eye distances below the eyes.
        facing: 1 where the surface faces the viewer, 0 where it is perpendicular.
        depth: distance inside the head's outline, in eye distances; negative = outside.
    """

    angle: Points
    y: Points
    facing: Points
    depth: Points


@dataclass(frozen=True)
class Head:
    """Position and orientation of a head in an image.

    Attributes:
        landmarks: `(5, 2)` right eye, left eye, nose, right and left mouth corner.
        rotation: `(3, 3)` rotation; its rows are image x, image y and viewer direction.
        eyes_px: one eye distance of an upright frontal face, in pixels.
        origin: `(2,)` the point between the eyes, in pixels.
        chin_y: height of the chin, in eye distances below the eyes.
    """

    landmarks: Points
    rotation: Points
    eyes_px: float
    origin: Points
    chin_y: float = _CHIN_Y

    @classmethod
    def fit(
        cls, landmarks: NDArray[np.floating], box: NDArray[np.floating] | None = None
    ) -> Head:
        """Fit a head to landmarks.

        Args:
            landmarks: `(5, 2)` in pixels, the image's left first, as from YuNet.
            box: `(4,)` `x1, y1, x2, y2` of the face, for the chin, if known.

        Raises:
            ValueError: the shape is wrong, or the points do not form a face.
        """
        points = np.asarray(landmarks, np.float64)
        if points.shape != (5, 2) or not np.isfinite(points).all():
            raise ValueError(
                f"landmarks must be 5 points x, y in pixels, got shape {points.shape}"
            )
        model = MEAN_FACE - MEAN_FACE.mean(axis=0)
        centre = points.mean(axis=0)
        camera = np.linalg.lstsq(model, points - centre, rcond=None)[0].T
        # The closest turned and scaled view without shear (polar decomposition).
        left, sizes, right = np.linalg.svd(camera, full_matrices=False)
        eyes_px = float(sizes.mean())
        if eyes_px < _MIN_EYES_PX:
            raise ValueError("landmarks are too close together for a face")
        rows = left @ right
        rotation = np.stack([rows[0], rows[1], np.cross(rows[0], rows[1])])
        origin = centre - eyes_px * rows @ MEAN_FACE.mean(axis=0)
        head = cls(points, rotation, eyes_px, origin)
        return head if box is None else head._with_bottom(float(box[3]))

    def _with_bottom(self, bottom_px: float) -> Head:
        """Return the head with the height of its chin from the face box."""
        chin = self.project(np.array([[0.0, _CHIN_Y, 0.1]]))[0]
        missing = (bottom_px - chin[1]) / (self.eyes_px * max(self.rotation[1, 1], 0.5))
        chin_y = float(np.clip(_CHIN_Y + missing, _CHIN_Y - 0.35, _CHIN_Y + 0.3))
        return Head(self.landmarks, self.rotation, self.eyes_px, self.origin, chin_y)

    def project(self, points: Points) -> Points:
        """Return the `(n, 2)` pixels of `(n, 3)` points of the head."""
        flat: Points = self.origin + self.eyes_px * points @ self.rotation[:2].T
        return flat + self._compute_bend(flat)

    def point_at(self, angle: float, y: float) -> Points:
        """Return the `(3,)` point on the head at an angle around it and a height."""
        radii = self._radii
        height = float(np.clip((y - _CENTRE[1]) / radii[1], -1, 1))
        around = np.sqrt(1 - height**2) * np.array([np.sin(angle), 0, np.cos(angle)])
        result: Points = _CENTRE + radii * (around + np.array([0, height, 0]))
        return result

    @property
    def _radii(self) -> Points:
        # The chin is slightly above the lowest point of the jaw.
        return np.array([_HALF_WIDTH, self.chin_y + 0.3 - _CENTRE[1], _HALF_DEPTH])

    def raycast_surface(
        self, window: tuple[int, int, int, int], shape: tuple[int, int]
    ) -> Surface:
        """Return the head surface at each cell of a grid over a part of the image.

        The line of sight of each cell is intersected with an ellipsoid, so hidden
        parts of the surface need no special treatment.

        Args:
            window: `x1, y1, x2, y2` in pixels.
            shape: rows and columns of the grid.
        """
        # The bend is smooth: an upscaled coarse grid saves most of the time.
        coarse = _cell_centres(window, (_BEND_GRID, _BEND_GRID))
        bend = self._compute_bend(coarse.reshape(-1, 2)).reshape(coarse.shape)
        straight = _cell_centres(window, shape) - cv2.resize(bend, shape[::-1])
        radii = self._radii
        flat = (straight - self.origin) / self.eyes_px
        start = (flat @ self.rotation[:2] - _CENTRE) / radii
        sight = self.rotation[2] / radii
        along = start @ sight
        square = sight @ sight
        inside = along**2 - square * ((start**2).sum(axis=2) - 1)
        reach = (np.sqrt(np.maximum(inside, 0)) - along) / square
        hit = start + reach[..., None] * sight
        normal = hit / radii
        facing = normal @ self.rotation[2] / np.linalg.norm(normal, axis=2)
        return Surface(
            angle=np.arctan2(hit[..., 0], hit[..., 2]),
            y=hit[..., 1] * radii[1] + _CENTRE[1],
            facing=np.clip(facing, 0, 1),
            depth=inside / square / 2 / _HALF_DEPTH,
        )

    def _compute_bend(self, pixels: Points) -> Points:
        """Return the displacements of `(n, 2)` pixels that make the landmarks fit.

        The residuals of the mean face at the landmarks are interpolated smoothly.
        """
        flat = self.origin + self.eyes_px * MEAN_FACE @ self.rotation[:2].T
        misses = self.landmarks - flat
        offsets = (pixels[:, None] - self.landmarks[None]) / self.eyes_px
        weights = np.exp(-(offsets**2).sum(axis=2) / (2 * 0.6**2))
        result: Points = weights @ misses / (weights.sum(axis=1, keepdims=True) + 0.1)
        return result


def _cell_centres(window: tuple[int, int, int, int], shape: tuple[int, int]) -> Points:
    """Return `(rows, columns, 2)` centres of the cells of a grid, in pixels."""
    x1, y1, x2, y2 = window
    y = y1 + (np.arange(shape[0]) + 0.5) * ((y2 - y1) / shape[0])
    x = x1 + (np.arange(shape[1]) + 0.5) * ((x2 - x1) / shape[1])
    return np.stack(np.meshgrid(x, y), axis=-1)
