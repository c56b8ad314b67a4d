"""Reuse of a classifier's results for the same face in the next frames of a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, iou_matrix
from maskdet.settings import Settings
from maskdet.types import CLASSES, Image, Scene

if TYPE_CHECKING:
    from maskdet.analyzers.pipelines import Analyzer

MIN_AGE_S: Final = 0.2
"""Age in seconds up to which a result is always reused. Smoothing of labels takes
longer."""

MAX_AGE_S: Final = 1.5
"""Age up to which it is reused if the network that detects faces sees no change."""

_MAX_CHANGE: Final = 0.2
"""Change of a class probability of that network which means that something happened."""

_MIN_IOU: Final = 0.7
"""A box with at least this IoU shows the face of the result."""

ClassAndFaceProbs: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""`(n, 3)` class probabilities and `(n,)` face probabilities, as of a `Verifier`."""


class RecentChecks:
    """Results of a classifier for the faces in the last frame of a stream.

    Attributes:
        time_s: time of the current frame, in seconds.
    """

    def __init__(self) -> None:
        """Start without results."""
        self.time_s = 0.0
        self._boxes = np.zeros((0, 4), np.float32)
        self._first_probs = np.zeros((0, len(CLASSES)), np.float32)
        self._probs = np.zeros((0, len(CLASSES) + 1), np.float32)
        self._times_s = np.zeros(0)

    def check(
        self,
        boxes: Boxes,
        first_probs: NDArray[np.float32],
        verify: Callable[[Boxes], ClassAndFaceProbs],
    ) -> ClassAndFaceProbs:
        """Return the results for boxes in the current frame; some are reused.

        Args:
            boxes: `(n, 4)` in pixels.
            first_probs: `(n, 3)` class probabilities of the network that detected them.
            verify: returns the results for those that are not known.
        """
        known = self._find(boxes, first_probs)
        is_known = known >= 0
        first_probs = first_probs.copy()
        probs = np.empty((len(boxes), self._probs.shape[1]), np.float32)
        times_s = np.full(len(boxes), self.time_s)
        rows = known[is_known]
        first_probs[is_known] = self._first_probs[rows]
        probs[is_known] = self._probs[rows]
        times_s[is_known] = self._times_s[rows]
        if not is_known.all():
            probs[~is_known] = np.column_stack(verify(boxes[~is_known]))
        self._boxes, self._first_probs = boxes, first_probs
        self._probs, self._times_s = probs, times_s
        return probs[:, :-1], probs[:, -1]

    def _find(
        self, boxes: Boxes, first_probs: NDArray[np.float32]
    ) -> NDArray[np.int64]:
        """Return the row of the result for each box, -1 if there is none."""
        if not len(self._boxes):
            return np.full(len(boxes), -1)
        ious = iou_matrix(boxes, self._boxes)
        rows = ious.argmax(axis=1)
        changes = np.abs(first_probs - self._first_probs[rows]).max(axis=1)
        max_ages_s = np.where(changes <= _MAX_CHANGE, MAX_AGE_S, MIN_AGE_S)
        is_valid = (ious.max(axis=1) >= _MIN_IOU) & (
            self.time_s - self._times_s[rows] < max_ages_s
        )
        return np.where(is_valid, rows, -1)


@runtime_checkable
class StreamAnalyzer(Protocol):
    """Protocol of an analyzer that is faster for the frames of a stream."""

    def analyze_frame(
        self, image: Image, settings: Settings, checks: RecentChecks | None
    ) -> Scene:
        """Return the scene, as `Analyzer.analyze` does, with results that are reused.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            settings: thresholds.
            checks: results of the stream; updated. None: nothing is reused.
        """
        ...


def analyze_frame(
    analyzer: Analyzer, image: Image, settings: Settings, checks: RecentChecks
) -> Scene:
    """Analyze a frame of a stream with any analyzer; see `StreamAnalyzer`."""
    if isinstance(analyzer, StreamAnalyzer):
        return analyzer.analyze_frame(image, settings, checks)
    return analyzer.analyze(image, settings)
