"""A stream of images: who is in each, and what is known of them by now."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from time import perf_counter

import numpy as np

from maskdet.analyzer import Analyzer
from maskdet.proximity import Proximity
from maskdet.tracking import Tracker, Tracks
from maskdet.types import Faces, Image, Scene, Settings
from maskdet.voting import Vote, view_weights


class Stream:
    """One camera or film, seen image by image.

    Attributes:
        settings: may be replaced at any time; the next `step` obeys.
        left: numbers of the people who were forgotten in the last step.
        proximity: who was near whom, and for how long in all.
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
            analyzer: looks at each image.
            settings: what counts as a face and as a sure label, and for how long
                people are remembered.
            track: whether people are followed from image to image; without, each
                image is judged alone.
        """
        self.settings = Settings() if settings is None else settings
        self.left: tuple[int, ...] = ()
        self.proximity = Proximity()
        self._analyzer = analyzer
        self._track = track
        self._tracker = Tracker(self.settings.memory_s)
        self._vote = Vote()
        self._time_s = -math.inf

    def step(self, image: Image, time_s: float) -> Scene:
        """Return the scene in the next image.

        Faces come first, by falling score; people who turned away follow them, see
        `Scene`. Faces that are doubtful and nobody's are left out,
        as are people out of sight: `Scene.hide` has their boxes.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            time_s: when it was taken, in seconds; never earlier than the last one.

        Raises:
            ValueError: time went back or is not a number.
        """
        if not self._time_s <= time_s < math.inf:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s
        settings = self.settings
        if not self._track:
            scene = self._analyzer.analyze(image, settings)
            return dataclasses.replace(scene, time_s=time_s)
        seen = self._analyzer.analyze(image, _with_doubtful(settings))
        return self._remembered(seen, image, settings)

    def _remembered(self, seen: Scene, image: Image, settings: Settings) -> Scene:
        """Return the scene with everybody in it, and what is known of them."""
        started = perf_counter()
        self._tracker.memory_s = settings.memory_s
        tracks = self._tracker.update(
            seen.faces, self._time_s, image, min_score=settings.min_score
        )
        self.left = tracks.left
        self._vote.forget(tracks.left)
        self._vote.method = settings.vote
        self._vote.window_s = settings.vote_window_s
        self._vote.memory_s = settings.memory_s
        faces, probs = seen.faces.keep(tracks.shown), seen.probs[tracks.shown]
        ids, weights = tracks.ids[tracks.shown], view_weights(faces, probs)
        now = self._vote.update(ids, probs, weights, self._time_s)
        kept = self._vote.recall(tracks.carried_ids.tolist(), self._time_s)
        everybody = _with_heads(faces, tracks)
        track_ids = np.concatenate([ids, tracks.carried_ids])
        size_wh = image.shape[1], image.shape[0]
        near = self.proximity.update(
            everybody.boxes, track_ids, self._time_s, size_wh, settings
        )
        return Scene(
            faces=everybody,
            probs=np.concatenate([now.probs, kept.probs]),
            track_ids=track_ids,
            time_s=self._time_s,
            min_certainty=settings.min_certainty,
            stage_ms={**seen.stage_ms, "track": (perf_counter() - started) * 1e3},
            seen_s=np.concatenate([np.zeros(len(faces), np.float32), tracks.carried_s]),
            evidence=np.concatenate([now.evidence, kept.evidence]),
            near=near,
            hide=np.concatenate(
                [seen.hide, seen.faces.boxes[~tracks.shown], tracks.lost_boxes]
            ),
        )


@lru_cache(maxsize=16)
def _with_doubtful(settings: Settings) -> Settings:
    """Return settings that let through all faces by which tracks may go on."""
    lowest = Tracker.low_score(settings.min_score)
    return dataclasses.replace(settings, min_score=lowest)


def _with_heads(faces: Faces, tracks: Tracks) -> Faces:
    """Return the faces, and after them the heads without one, with the score 0."""
    return Faces(
        np.concatenate([faces.boxes, tracks.carried_boxes]),
        np.concatenate([faces.scores, np.zeros(len(tracks.carried_ids), np.float32)]),
    )
