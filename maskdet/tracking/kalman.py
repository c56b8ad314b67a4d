"""A vectorized Kalman filter: one state per head, all updated at once.

The state is the centre and the logarithms of width and height, with a velocity for
each. The velocity follows an Ornstein-Uhlenbeck process (constant velocity in the limit
of a long `velocity_decay_s`), so a prediction depends on the seconds between frames,
not on their number. Variances are in squared face sizes; centre x and y have a common
variance, and so have width and height.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.tracking import config

Array = NDArray[np.float64]

_SIZE_RATIO = 0.2
"""Standard deviation of size changes relative to position changes."""

_MIN_SIDE_PX = 1.0
"""Smaller sides are clipped to this, so that their logarithm is finite."""


class KalmanFilter:
    """Positions, sizes and velocities of `n` heads.

    Attributes:
        states: `(n, 4)` centre x and y in pixels, logarithms of width and height.
        velocities: `(n, 4)` the same per second.
    """

    def __init__(self) -> None:
        """Create a filter without heads."""
        self.states: Array = np.zeros((0, 4))
        self.velocities: Array = np.zeros((0, 4))
        # Columns: centre, size. Variances of state and velocity, and their covariance.
        self._state_var: Array = np.zeros((0, 2))
        self._velocity_var: Array = np.zeros((0, 2))
        self._covariance: Array = np.zeros((0, 2))

    def __len__(self) -> int:
        """Return the number of heads."""
        return len(self.states)

    def add(self, boxes: Boxes) -> None:
        """Add new heads, with a velocity of 0."""
        n = len(boxes)
        scale = np.array([1.0, _SIZE_RATIO])
        self.states = np.concatenate([self.states, _to_states(boxes)])
        self.velocities = np.concatenate([self.velocities, np.zeros((n, 4))])
        initial_state_var = np.full((n, 2), config.MEASUREMENT_NOISE**2)
        initial_velocity_var = np.tile((config.INITIAL_SPEED * scale) ** 2, (n, 1))
        self._state_var = np.concatenate([self._state_var, initial_state_var])
        self._velocity_var = np.concatenate([self._velocity_var, initial_velocity_var])
        self._covariance = np.concatenate([self._covariance, np.zeros((n, 2))])

    def select(self, mask: NDArray[np.bool_]) -> None:
        """Keep only the heads that a mask selects."""
        self.states, self.velocities = self.states[mask], self.velocities[mask]
        self._state_var = self._state_var[mask]
        self._velocity_var = self._velocity_var[mask]
        self._covariance = self._covariance[mask]

    def predict(self, dt_s: float) -> None:
        """Predict every head `dt_s` seconds ahead."""
        if dt_s <= 0:
            return
        decay_s = config.VELOCITY_DECAY_S
        decay = math.exp(-dt_s / decay_s)
        travel_s = decay_s * (1 - decay)
        self.states = self.states + travel_s * self.velocities
        self.velocities = decay * self.velocities
        # White noise on the velocity, integrated over the step (the usual covariance
        # of the constant-velocity model, Bar-Shalom 2001, 6.2.2).
        process_var = (config.PROCESS_NOISE * np.array([1.0, _SIZE_RATIO])) ** 2
        state_var, velocity_var = self._state_var, self._velocity_var
        covariance = self._covariance
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
        """Correct some heads by measured boxes.

        Args:
            rows: `(k,)` rows of the heads.
            boxes: `(k, 4)` measured box of each.
            measurement_std: standard deviation of these boxes, in face sizes.
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
        """Set the velocity of the size of some heads to 0."""
        self.velocities[rows, 2:] = 0

    def rescale(self, x: float, y: float) -> None:
        """Rescale the states after the frame size changed by the factors `x`, `y`."""
        self.states[:, :2] *= (x, y)
        self.states[:, 2:] += np.log((x, y))
        self.velocities[:, :2] *= (x, y)

    @property
    def boxes(self) -> Boxes:
        """`(n, 4)` current boxes of the heads."""
        centres, halves = self.states[:, :2], np.exp(self.states[:, 2:]) / 2
        result: Boxes = np.concatenate(
            [centres - halves, centres + halves], axis=1
        ).astype(np.float32)
        return result

    @property
    def std(self) -> Array:
        """`(n, 2)` standard deviation of position and size, in face sizes."""
        result: Array = np.sqrt(self._state_var)
        return result


def _to_states(boxes: Boxes) -> Array:
    corners = boxes.astype(np.float64)
    sides = np.maximum(corners[:, 2:] - corners[:, :2], _MIN_SIDE_PX)
    result: Array = np.concatenate(
        [(corners[:, :2] + corners[:, 2:]) / 2, np.log(sides)], axis=1
    )
    return result
