"""The CSV format of videos: one row per person and frame.

Version 2 of the columns; times in seconds, distances in `unit`:

    video      name or URL of the video
    time_s     time of the frame, from the first one
    person     track ID; -1 while the track is not confirmed
    x1 y1 x2 y2   box of the face, in pixels of the upright frame
    score      detection score; 0 while the face is not seen
    label      mask, no_mask, incorrect or unknown
    mask no_mask incorrect   probability of each class
    unseen_s   time since the face was last seen; 0 if it is seen
    n_effective_views   weight of the views that the label rests on
    nearest_id   track ID of the nearest person, if it is known
    distance   distance to the nearest person
    unit       m or heads
    contact_level   0: no contact, 1: in contact, 2: the contact exceeds the limit
    x z        position right of the camera and away from it, in unit
    error      why the video breaks off here or cannot be read; else empty

A frame without people has one row with only its video and time. A video that breaks off
has one more row, with the time of its last frame and the error; one that cannot be read
at all has only that row, without a time.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from maskdet.atomic_file import AtomicFile, TextWriter
from maskdet.results_io import escape_formula
from maskdet.types import CLASSES, Scene

VIDEO_CSV_VERSION: Final = 2
"""Incremented when a column is changed or removed, not when one is added."""

VIDEO_COLUMNS: Final = (
    *("video", "time_s", "person", "x1", "y1", "x2", "y2", "score", "label"),
    *(label.key for label in CLASSES),
    *("unseen_s", "n_effective_views", "nearest_id", "distance", "unit"),
    *("contact_level", "x", "z", "error"),
)


class VideoCsvWriter:
    """Writes the people of each frame to a text stream."""

    def __init__(self, stream: TextWriter) -> None:
        """Write the header."""
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(VIDEO_COLUMNS)

    def add(self, video_name: str, scene: Scene) -> None:
        """Write the people of one frame.

        Args:
            video_name: the name of the video.
            scene: the people, with positions if they are known.
        """
        head = [escape_formula(video_name), f"{scene.time_s:.3f}"]
        if not len(scene):
            self._writer.writerow(_pad_row(head))
        n_views = np.asarray(scene.n_effective_views)
        for row, face in enumerate(scene):
            values = [
                face.track_id,
                *(round(corner, 1) for corner in face.box),
                round(face.score, 4),
                face.label.key,
                *(round(prob, 4) for prob in face.probs),
                round(face.unseen_s, 2),
                round(float(n_views[row]), 2),
                *_format_nearest(scene, row),
            ]
            if len(scene.positions):
                values += [round(float(value), 2) for value in scene.positions[row]]
            self._writer.writerow(_pad_row([*head, *values]))

    def add_error(self, video_name: str, time_s: float | None, error: str) -> None:
        """Write the row of a video that breaks off, or cannot be read at all.

        Args:
            video_name: the name of the video.
            time_s: time of its last frame, if there is one.
            error: one line.
        """
        time_text = "" if time_s is None else f"{time_s:.3f}"
        self._writer.writerow(
            _pad_row([escape_formula(video_name), time_text], escape_formula(error))
        )


class VideoCsvFile(AtomicFile, VideoCsvWriter):
    """A `VideoCsvWriter` to a file that appears only once it is complete."""

    def __init__(self, target: str | Path) -> None:
        """Create the file and write the header.

        Raises:
            OSError: the file cannot be created.
        """
        AtomicFile.__init__(self, target, "rows")
        VideoCsvWriter.__init__(self, self)


def _pad_row(values: Sequence[object], error: str = "") -> list[object]:
    """Return a row of full length: the values, blanks, and the error."""
    blanks = [""] * (len(VIDEO_COLUMNS) - 1 - len(values))
    return [*values, *blanks, error]


def _format_nearest(scene: Scene, row: int) -> list[object]:
    """Return the columns of the nearest person; `scene.pairs` is sorted by distance."""
    pair = next(
        (
            candidate
            for candidate in scene.pairs
            if row in (candidate.first, candidate.second)
        ),
        None,
    )
    if pair is None:
        return ["", "", "", ""]
    other = pair.second if pair.first == row else pair.first
    other_id = int(np.asarray(scene.track_ids)[other])
    contact_level = (1 + pair.exceeds_limit) if pair.in_contact else 0
    return [other_id, round(pair.distance, 2), pair.unit, contact_level]
