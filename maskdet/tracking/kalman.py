"""Where heads are and how they move: one small Kalman filter each, all at once.

Each head has four numbers, its centre and the logarithms of its width and height, and
the speed of each. Between images speed changes by chance and dies away slowly (an
Ornstein-Uhlenbeck speed, whose limit for a long `glide_s` is constant velocity), so
the step from one image to the next depends on the seconds between, not on how many
images came. Uncertainties are in face sizes; centre x and y share theirs, width and
height as well.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.tracking.config import TrackerConfig

Array = NDArray[np.float64]

_SIZE_RATIO = 0.2
"""Sizes change this much slower than places, both in face sizes."""

_MIN_SIDE_PX = 1.0
"""Boxes without an area have no logarithm."""


class KalmanFilter:
    """The places, sizes and speeds of `n` heads.

    Attributes:
        states: `(n, 4)` centre x and y in pixels, logarithms of width and height.
        velocities: `(n, 4)` the same per second.
    """

    def __init__(self, config: TrackerConfig) -> None:
        """Start without a head."""
        self._config = config
        self.states: Array = np.zeros((0, 4))
        self.velocities: Array = np.zeros((0, 4))
        # Columns: centre, size. Variances of place and speed, and what they share.
        self._state_var: Array = np.zeros((0, 2))
        self._velocity_var: Array = np.zeros((0, 2))
        self._covariance: Array = np.zeros((0, 2))

    def __len__(self) -> int:
        """Return the number of heads."""
        return len(self.states)

    def add(self, boxes: Boxes) -> None:
        """Add heads seen for the first time, at rest as far as is known."""
        n, config = len(boxes), self._config
        scale = np.array([1.0, _SIZE_RATIO])
        self.states = np.concatenate([self.states, _to_states(boxes)])
        self.velocities = np.concatenate([self.velocities, np.zeros((n, 4))])
        initial_state_var = np.full((n, 2), config.measurement_noise**2)
        initial_velocity_var = np.tile((config.initial_speed * scale) ** 2, (n, 1))
        self._state_var = np.concatenate([self._state_var, initial_state_var])
        self._velocity_var = np.concatenate([self._velocity_var, initial_velocity_var])
        self._covariance = np.concatenate([self._covariance, np.zeros((n, 2))])

    def select(self, mask: NDArray[np.bool_]) -> None:
        """Forget all heads but those that a mask selects."""
        self.states, self.velocities = self.states[mask], self.velocities[mask]
        self._state_var = self._state_var[mask]
        self._velocity_var = self._velocity_var[mask]
        self._covariance = self._covariance[mask]

    def predict(self, dt_s: float) -> None:
        """Move every head on by `dt_s` seconds."""
        if dt_s <= 0:
            return
        decay_s = self._config.velocity_decay_s
        decay = math.exp(-dt_s / decay_s)
        travel_s = decay_s * (1 - decay)
        self.states = self.states + travel_s * self.velocities
        self.velocities = decay * self.velocities
        # White noise on the speed, integrated over the step (constant velocity's
        # usual covariance, Bar-Shalom 2001, 6.2.2).
        process_var = (self._config.process_noise * np.array([1.0, _SIZE_RATIO])) ** 2
        state_var, velocity_var, covariance = (
            self._state_var,
            self._velocity_var,
            self._covariance,
        )
        self._state_var = (
            state_var
            + 2 * travel_s * covariance
            + travel_s**2 * velocity_var
            + process_var * dt_s**3 / 3
        )
        self._covariance = (
            decay * (covariance + travel_s * velocity_var) + process_var * dt_s**2 / 2
        )
        self._velocity_var = decay**2 * velocity_var + process_var * dt_s

    def update(
        self, rows: NDArray[np.int64], boxes: Boxes, measurement_std: float
    ) -> None:
        """Draw some heads towards where they were seen.

        Args:
            rows: `(k,)` which heads.
            boxes: `(k, 4)` where each was seen.
            measurement_std: how far these boxes may lie beside them, in face sizes.
        """
        if not len(rows):
            return
        state_var, covariance = self._state_var[rows], self._covariance[rows]
        innovation_var = state_var + measurement_std**2
        gain, velocity_gain = state_var / innovation_var, covariance / innovation_var
        innovation = _to_states(boxes) - self.states[rows]
        self.states[rows] += np.repeat(gain, 2, axis=1) * innovation
        self.velocities[rows] += np.repeat(velocity_gain, 2, axis=1) * innovation
        self._state_var[rows] = (1 - gain) * state_var
        self._velocity_var[rows] -= velocity_gain * covariance
        self._covariance[rows] = (1 - gain) * covariance

    def zero_scale_velocity(self, rows: NDArray[np.int64]) -> None:
        """Let some heads keep the size that they have."""
        self.velocities[rows, 2:] = 0

    def rescale(self, x: float, y: float) -> None:
        """Follow images that from now on come `x` times as wide, `y` as high."""
        self.states[:, :2] *= (x, y)
        self.states[:, 2:] += np.log((x, y))
        self.velocities[:, :2] *= (x, y)

    @property
    def boxes(self) -> Boxes:
        """`(n, 4)` where the heads are."""
        centres, halves = self.states[:, :2], np.exp(self.states[:, 2:]) / 2
        result: Boxes = np.concatenate(
            [centres - halves, centres + halves], axis=1
        ).astype(np.float32)
        return result

    @property
    def std(self) -> Array:
        """`(n, 2)` how unsure place and size are, one deviation, in face sizes."""
        result: Array = np.sqrt(self._state_var)
        return result


def _to_states(boxes: Boxes) -> Array:
    corners = boxes.astype(np.float64)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], _MIN_SIDE_PX)
    result: Array = np.concatenate(
        [(corners[:, :2] + corners[:, 2:]) / 2, np.log(sides)], axis=1
    )
    return result
