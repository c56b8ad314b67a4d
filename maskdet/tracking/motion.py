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
from maskdet.tracking.rules import TrackRules

Array = NDArray[np.float64]

_SIZE_SHARE = 0.2
"""Sizes change this much slower than places, both in face sizes."""

_LEAST_SIDE_PX = 1.0
"""Boxes without an area have no logarithm."""


class Motion:
    """The places, sizes and speeds of `n` heads.

    Attributes:
        places: `(n, 4)` centre x and y in pixels, logarithms of width and height.
        speeds: `(n, 4)` the same per second.
    """

    def __init__(self, rules: TrackRules) -> None:
        """Start without a head."""
        self._rules = rules
        self.places: Array = np.zeros((0, 4))
        self.speeds: Array = np.zeros((0, 4))
        # Columns: centre, size. Variances of place and speed, and what they share.
        self._place_var: Array = np.zeros((0, 2))
        self._speed_var: Array = np.zeros((0, 2))
        self._shared: Array = np.zeros((0, 2))

    def __len__(self) -> int:
        """Return the number of heads."""
        return len(self.places)

    def add(self, boxes: Boxes) -> None:
        """Add heads seen for the first time, at rest as far as is known."""
        n, rules = len(boxes), self._rules
        scale = np.array([1.0, _SIZE_SHARE])
        self.places = np.concatenate([self.places, _places(boxes)])
        self.speeds = np.concatenate([self.speeds, np.zeros((n, 4))])
        seen = np.full((n, 2), rules.jitter**2)
        fast = np.tile((rules.start_speed * scale) ** 2, (n, 1))
        self._place_var = np.concatenate([self._place_var, seen])
        self._speed_var = np.concatenate([self._speed_var, fast])
        self._shared = np.concatenate([self._shared, np.zeros((n, 2))])

    def keep(self, wanted: NDArray[np.bool_]) -> None:
        """Forget all heads but those that a mask selects."""
        self.places, self.speeds = self.places[wanted], self.speeds[wanted]
        self._place_var = self._place_var[wanted]
        self._speed_var = self._speed_var[wanted]
        self._shared = self._shared[wanted]

    def advance(self, dt_s: float) -> None:
        """Move every head on by `dt_s` seconds."""
        if dt_s <= 0:
            return
        glide = self._rules.glide_s
        left = math.exp(-dt_s / glide)
        way = glide * (1 - left)
        self.places = self.places + way * self.speeds
        self.speeds = left * self.speeds
        # White noise on the speed, integrated over the step (constant velocity's
        # usual covariance, Bar-Shalom 2001, 6.2.2).
        push = (self._rules.push * np.array([1.0, _SIZE_SHARE])) ** 2
        place, speed, shared = self._place_var, self._speed_var, self._shared
        self._place_var = place + 2 * way * shared + way**2 * speed + push * dt_s**3 / 3
        self._shared = left * (shared + way * speed) + push * dt_s**2 / 2
        self._speed_var = left**2 * speed + push * dt_s

    def correct(self, rows: NDArray[np.int64], boxes: Boxes, jitter: float) -> None:
        """Draw some heads towards where they were seen.

        Args:
            rows: `(k,)` which heads.
            boxes: `(k, 4)` where each was seen.
            jitter: how far these boxes may lie beside them, in face sizes.
        """
        if not len(rows):
            return
        place, shared = self._place_var[rows], self._shared[rows]
        sure = place + jitter**2
        gain, speed_gain = place / sure, shared / sure
        surprise = _places(boxes) - self.places[rows]
        self.places[rows] += np.repeat(gain, 2, axis=1) * surprise
        self.speeds[rows] += np.repeat(speed_gain, 2, axis=1) * surprise
        self._place_var[rows] = (1 - gain) * place
        self._speed_var[rows] -= speed_gain * shared
        self._shared[rows] = (1 - gain) * shared

    def rest(self, rows: NDArray[np.int64]) -> None:
        """Let some heads keep the size that they have."""
        self.speeds[rows, 2:] = 0

    def rescale(self, x: float, y: float) -> None:
        """Follow pictures that from now on come `x` times as wide, `y` as high."""
        self.places[:, :2] *= (x, y)
        self.places[:, 2:] += np.log((x, y))
        self.speeds[:, :2] *= (x, y)

    @property
    def boxes(self) -> Boxes:
        """`(n, 4)` where the heads are."""
        centres, halves = self.places[:, :2], np.exp(self.places[:, 2:]) / 2
        result: Boxes = np.concatenate(
            [centres - halves, centres + halves], axis=1
        ).astype(np.float32)
        return result

    @property
    def spreads(self) -> Array:
        """`(n, 2)` how unsure place and size are, one deviation, in face sizes."""
        result: Array = np.sqrt(self._place_var)
        return result


def _places(boxes: Boxes) -> Array:
    wide = boxes.astype(np.float64)
    sides = np.maximum(wide[:, 2:] - wide[:, :2], _LEAST_SIDE_PX)
    result: Array = np.concatenate(
        [(wide[:, :2] + wide[:, 2:]) / 2, np.log(sides)], axis=1
    )
    return result
