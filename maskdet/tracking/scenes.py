"""The scene in view, the one before the last cut, and the people of each."""

from __future__ import annotations

from dataclasses import dataclass

from maskdet.tracking.cuts import Thumbnail, is_same_shot, make_thumbnail
from maskdet.tracking.flow import GreyImage, downscale_to_grey
from maskdet.tracking.people import TrackTable
from maskdet.tracking.rules import TrackerConfig
from maskdet.types import Image


@dataclass(frozen=True, eq=False)
class FrameThumbnail:
    """One picture, small.

    Attributes:
        size_wh: the picture's size in pixels.
        grey: the small picture.
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
        """Pixels of the small picture per pixel of the image."""
        return float(self.grey.shape[1] / self.size_wh[0])


class ShotMemory:
    """The scene in view and the one before it.

    A film that cuts back to the scene before, or a camera that shows one broken
    picture, finds its people again; everybody else is new after a cut.

    Attributes:
        tracks: who is in the scene in view.
        frame: its last picture, if pictures are given.
    """

    def __init__(self, config: TrackerConfig) -> None:
        """Start with nobody and no picture."""
        self.tracks = TrackTable(config)
        self.frame: FrameThumbnail | None = None
        self._config = config
        self._previous_tracks = TrackTable(config)
        self._previous_frame: FrameThumbnail | None = None

    def update(self, frame: FrameThumbnail | None) -> tuple[int, ...]:
        """Take in the next picture.

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
