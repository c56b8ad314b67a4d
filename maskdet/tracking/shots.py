"""The scene in view, the one before the last cut, and the people of each.

Telling a cut from a moving camera: two thumbnails, at most one shift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.tracking.config import TrackerConfig
from maskdet.tracking.optical_flow import GreyImage, downscale_to_grey
from maskdet.tracking.tracks import TrackTable
from maskdet.types import Image

Thumbnail = NDArray[np.float32]
"""`(48, 64)` float32, grey, 0 on average."""

_THUMBNAIL_WH = (64, 48)

_MIN_CORRELATION = 0.7
"""Correlation of two thumbnails of one scene. Of 200 pairs of unrelated photographs
none reached it; a still camera always does."""

_MIN_PHASE_PEAK = 0.45
"""Height of the peak of the phase correlation (Kuglin & Hines 1975). 1 of 100
unrelated pairs reached 0.5; with a camera that swung by a tenth of the image 99 of
100 photographs reached 0.58."""

_MIN_STD = 2.0
"""An image with a smaller deviation of its grey levels shows nothing."""


def make_thumbnail(grey: GreyImage) -> Thumbnail:
    """Return the image so small that only the scene is left."""
    small: Thumbnail = cv2.resize(
        grey, _THUMBNAIL_WH, interpolation=cv2.INTER_AREA
    ).astype(np.float32)
    small -= small.mean()
    return small


def is_same_shot(a: Thumbnail, b: Thumbnail) -> bool:
    """Return whether two images show one scene, moved and lit as may be."""
    stds = [math.sqrt(float(np.vdot(thumb, thumb)) / thumb.size) for thumb in (a, b)]
    if min(stds) < _MIN_STD:
        return max(stds) < _MIN_STD
    correlation = float(np.vdot(a, b)) / a.size / (stds[0] * stds[1])
    if correlation >= _MIN_CORRELATION:
        return True
    return float(cv2.phaseCorrelate(a, b, _HANNING_WINDOW)[1]) >= _MIN_PHASE_PEAK


_HANNING_WINDOW = cv2.createHanningWindow(_THUMBNAIL_WH, cv2.CV_32F)


@dataclass(frozen=True, eq=False)
class FrameThumbnail:
    """One image, small.

    Attributes:
        size_wh: the image's size in pixels.
        grey: the small image.
        thumb: a still smaller one.
    """

    size_wh: tuple[int, int]
    grey: GreyImage
    thumb: Thumbnail

    @classmethod
    def from_image(cls, image: Image) -> FrameThumbnail:
        """Return the view of an image, `(h, w, 3)` uint8, BGR."""
        grey = downscale_to_grey(image)
        return cls((image.shape[1], image.shape[0]), grey, make_thumbnail(grey))

    @property
    def scale(self) -> float:
        """Pixels of the small image per pixel of the image."""
        return float(self.grey.shape[1] / self.size_wh[0])


class ShotMemory:
    """The scene in view and the one before it.

    A video that cuts back to the scene before, or a camera that shows one broken
    image, finds its people again; everybody else is new after a cut.

    Attributes:
        tracks: who is in the scene in view.
        frame: its last image, if images are given.
    """

    def __init__(self, config: TrackerConfig) -> None:
        """Start with nobody and no image."""
        self.tracks = TrackTable(config)
        self.frame: FrameThumbnail | None = None
        self._config = config
        self._previous_tracks = TrackTable(config)
        self._previous_frame: FrameThumbnail | None = None

    def update(self, frame: FrameThumbnail | None) -> tuple[int, ...]:
        """Take in the next image.

        Returns:
            The numbers of people who are forgotten because the scene changed twice.
        """
        previous, self.frame = self.frame, frame
        if frame is None or previous is None:
            return ()
        if frame.size_wh != previous.size_wh:
            factors = (
                frame.size_wh[0] / previous.size_wh[0],
                (frame.size_wh[1] / previous.size_wh[1]),
            )
            self.tracks.rescale(*factors)
            self._previous_tracks.rescale(*factors)
        if is_same_shot(previous.thumb, frame.thumb):
            return ()
        stored_tracks, stored_frame = self._previous_tracks, self._previous_frame
        self.tracks.mark_lost()
        self._previous_tracks, self._previous_frame = self.tracks, previous
        if stored_frame is not None and is_same_shot(stored_frame.thumb, frame.thumb):
            self.tracks = stored_tracks
            return ()
        self.tracks = TrackTable(self._config)
        return tuple(
            int(track_id) for track_id in stored_tracks.ids[stored_tracks.has_id]
        )

    def remove_expired(self, time_s: float, memory_s: float) -> tuple[int, ...]:
        """Forget whoever was not seen for too long; return their numbers."""
        removed = self.tracks.remove_expired(time_s, memory_s)
        return removed + self._previous_tracks.remove_expired(time_s, memory_s)
