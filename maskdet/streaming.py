"""A stream of images: who is in each, and what is known of them by now."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.pipelines import Analyzer
from maskdet.distance import ContactTracker
from maskdet.settings import Settings
from maskdet.smoothing import LabelSmoother, compute_observation_weights
from maskdet.tracking import Tracker, Tracks
from maskdet.types import Faces, Image, Label, Scene, check_image


class Stream:
    """One camera or video, analyzed frame by frame: tracks, classes, distances.

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
    ) -> None:
        """Start a stream.

        Args:
            analyzer: detects and classifies the faces of each frame.
            settings: used by `step` where it is given none; by default `Settings()`.
            track: whether people are tracked from frame to frame; without, each
                frame is analyzed alone.
        """
        self._settings = Settings() if settings is None else settings
        self._proximity = ContactTracker()
        self._analyzer = analyzer
        self._track = track
        self._tracker = Tracker(self._settings.memory_s)
        self._smoother = LabelSmoother()
        self._time_s = -math.inf

    def step(
        self, image: Image, time_s: float, settings: Settings | None = None
    ) -> Scene:
        """Return the scene in the next frame; it holds all results.

        Faces come first, by falling score; people who turned away follow them, see
        `Scene`. Doubtful faces without a track are left out, as are people out of
        sight: `Scene.blur_boxes` has their boxes.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            time_s: when it was taken, in seconds; never earlier than the last one.
            settings: thresholds of this step; by default those of the stream.

        Raises:
            TypeError: `image` is not an array of numbers.
            ValueError: `image` is not `(h, w, 3)` uint8; or time went back or is not
                a number.
        """
        image = check_image(image)
        if not self._time_s <= time_s < math.inf:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s
        settings = self._settings if settings is None else settings
        if not self._track:
            scene = self._analyzer.analyze(image, settings)
            return dataclasses.replace(scene, time_s=time_s)
        detections = self._analyzer.analyze(image, _tracking_settings(settings))
        return self._update_tracks(detections, image, settings)

    def _update_tracks(
        self, detections: Scene, image: Image, settings: Settings
    ) -> Scene:
        """Return the scene with everybody in it, and what is known of them."""
        started = perf_counter()
        self._tracker.memory_s = settings.memory_s
        tracks = self._tracker.update(
            detections.faces, self._time_s, image, min_score=settings.min_score
        )
        self._smoother.forget(tracks.removed_ids)
        self._smoother.method = settings.smoothing
        self._smoother.window_s = settings.smoothing_window_s
        self._smoother.memory_s = settings.memory_s
        self._smoother.class_weights = settings.class_weights
        faces, probs = (
            detections.faces[tracks.is_visible],
            detections.probs[tracks.is_visible],
        )
        ids, weights = (
            tracks.ids[tracks.is_visible],
            compute_observation_weights(faces, probs),
        )
        visible_labels = self._smoother.update(ids, probs, weights, self._time_s)
        coasting_labels = self._smoother.predict_unseen(
            tracks.coasting_ids.tolist(), self._time_s
        )
        all_faces = _append_coasting(faces, tracks)
        track_ids = np.concatenate([ids, tracks.coasting_ids])
        size_wh = image.shape[1], image.shape[0]
        probs = np.concatenate([visible_labels.probs, coasting_labels.probs])
        pairs = self._proximity.update(
            all_faces.boxes,
            track_ids,
            self._time_s,
            size_wh,
            settings,
            unmasked=_is_unmasked(probs, settings.min_confidence),
        )
        return Scene(
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
            positions=self._proximity.positions,
            contacts=self._proximity.contacts,
        )


def _is_unmasked(
    probs: NDArray[np.float32], min_confidence: float
) -> NDArray[np.bool_]:
    """Return who is known to wear no mask, or to wear it incorrectly; `(n,)`."""
    is_confident = probs.max(axis=1, initial=0) >= min_confidence
    result: NDArray[np.bool_] = is_confident & (
        probs[:, Label.MASK] < probs.max(1, initial=0)
    )
    return result


@lru_cache(maxsize=16)
def _tracking_settings(settings: Settings) -> Settings:
    """Return settings that let through all faces by which tracks may go on."""
    low_threshold = Tracker.low_threshold(settings.min_score)
    return dataclasses.replace(settings, min_score=low_threshold)


def _append_coasting(faces: Faces, tracks: Tracks) -> Faces:
    """Return the faces, and after them the heads without one, with the score 0."""
    return Faces(
        np.concatenate([faces.boxes, tracks.coasting_boxes]),
        np.concatenate([faces.scores, np.zeros(len(tracks.coasting_ids), np.float32)]),
    )
