"""Analyze a stream frame by frame: detection, tracking, smoothing and distances.

`Stream.step` returns the `Scene` of a frame with all its results, and is the only place
that checks that time does not go back. What is known about the people since the start
of the stream is in its `PersonLog`.
"""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from time import perf_counter

import numpy as np

from maskdet.analyzers.pipelines import Analyzer
from maskdet.analyzers.recent_checks import RecentChecks, analyze_frame
from maskdet.distance import ContactTracker
from maskdet.people import PersonLog
from maskdet.settings import Settings
from maskdet.smoothing import LabelSmoother, compute_observation_weights
from maskdet.tracking import Tracker, Tracks
from maskdet.types import Faces, Image, Scene, check_image


class Stream:
    """The analysis of one camera or video: tracks, classes and distances.

    Attributes:
        people: the people since the start of the stream; empty without tracking.

    Examples:
        >>> stream = maskdet.Stream(maskdet.load_analyzer("onepass-fast"))
        >>> for image, time_s in maskdet.open_video("lobby.mp4", every=100):
        ...     scene = stream.step(image, time_s)
        >>> scene.time_s
        8.0
    """

    def __init__(
        self,
        analyzer: Analyzer,
        settings: Settings | None = None,
        *,
        track: bool = True,
        people: PersonLog | None = None,
    ) -> None:
        """Start a stream.

        Args:
            analyzer: detects and classifies the faces of each frame.
            settings: default settings of `step`; by default `Settings()`.
            track: whether people are tracked; if not, each frame is analyzed alone.
            people: log of the people; by default `PersonLog()`.
        """
        self.people = PersonLog() if people is None else people
        self._settings = Settings() if settings is None else settings
        self._contacts = ContactTracker()
        self._analyzer = analyzer
        self._checks = RecentChecks()
        self._track = track
        self._tracker = Tracker(self._settings.memory_s)
        self._smoother = LabelSmoother(self._settings)
        self._time_s = -math.inf

    def step(
        self, image: Image, time_s: float, settings: Settings | None = None
    ) -> Scene:
        """Analyze the next frame and return its scene with all results.

        Detected faces come first, by falling score; coasting tracks follow, see
        `Scene`. Low-score faces without a track and lost tracks have no row; their
        boxes are in `Scene.blur_boxes`.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            time_s: time of the frame, in seconds; not earlier than the last one.
            settings: thresholds of this step; by default those of the stream.

        Raises:
            TypeError: `image` is not an array of numbers.
            ValueError: `image` is not `(h, w, 3)` uint8; or time decreased or is not
                a number.
        """
        image = check_image(image)
        if not self._time_s <= time_s < math.inf:
            raise ValueError(
                f"time must not decrease: {time_s} s after {self._time_s} s"
            )
        settings = self._settings if settings is None else settings
        if not self._track:
            scene = self._analyzer.analyze(image, settings)
            self._time_s = time_s
            return dataclasses.replace(scene, time_s=time_s)
        self._checks.time_s = time_s
        detections = analyze_frame(
            self._analyzer, image, _tracking_settings(settings), self._checks
        )
        self._time_s = time_s
        return self._update_tracks(detections, image, settings)

    def _update_tracks(
        self, detections: Scene, image: Image, settings: Settings
    ) -> Scene:
        """Update tracks, labels and distances, and return the scene."""
        started = perf_counter()
        self._tracker.memory_s = settings.memory_s
        tracks = self._tracker.update(
            detections.faces, self._time_s, image, min_score=settings.min_score
        )
        self._smoother.forget(tracks.removed_ids)
        self._smoother.settings = settings
        faces = detections.faces[tracks.is_visible]
        probs = detections.probs[tracks.is_visible]
        ids = tracks.ids[tracks.is_visible]
        weights = compute_observation_weights(faces, probs)
        visible_labels = self._smoother.update(ids, probs, weights, self._time_s)
        coasting_labels = self._smoother.predict_unseen(
            tracks.coasting_ids.tolist(), self._time_s
        )
        all_faces = _append_coasting(faces, tracks)
        track_ids = np.concatenate([ids, tracks.coasting_ids])
        size_wh = image.shape[1], image.shape[0]
        probs = np.concatenate([visible_labels.probs, coasting_labels.probs])
        pairs, positions = self._contacts.update(
            all_faces.boxes, track_ids, self._time_s, size_wh, settings
        )
        self.people.advance(self._time_s)
        scene = Scene(
            faces=all_faces,
            probs=probs,
            track_ids=track_ids,
            time_s=self._time_s,
            min_confidence=settings.min_confidence,
            stage_ms={**detections.stage_ms, "track": (perf_counter() - started) * 1e3},
            unseen_s=np.concatenate(
                [np.zeros(len(faces), np.float32), tracks.coasting_unseen_s]
            ),
            n_effective_views=np.concatenate(
                [visible_labels.n_effective_views, coasting_labels.n_effective_views]
            ),
            pairs=pairs,
            blur_boxes=np.concatenate(
                [
                    detections.blur_boxes,
                    detections.faces.boxes[~tracks.is_visible],
                    tracks.lost_boxes,
                ]
            ),
            removed_ids=tracks.removed_ids,
            positions=positions,
            contacts=self.people.contacts,
        )
        self.people.add(scene, image)
        return scene


@lru_cache(maxsize=16)
def _tracking_settings(settings: Settings) -> Settings:
    """Return settings with the low threshold of detections that continue tracks."""
    low_threshold = Tracker.low_threshold(settings.min_score)
    return dataclasses.replace(settings, min_score=low_threshold)


def _append_coasting(faces: Faces, tracks: Tracks) -> Faces:
    """Append the boxes of coasting tracks to the faces, with score 0."""
    return Faces(
        np.concatenate([faces.boxes, tracks.coasting_boxes]),
        np.concatenate([faces.scores, np.zeros(len(tracks.coasting_ids), np.float32)]),
    )
