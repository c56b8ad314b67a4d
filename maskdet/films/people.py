"""Who was in a film, for how long, and what they wore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from maskdet.boxes import clip_boxes
from maskdet.films.timeline import LABELS
from maskdet.media import encode_jpeg
from maskdet.types import CLASSES, UNTRACKED, Image, Label, Scene

MAX_PEOPLE: Final = 10_000
"""Of those who came before the newest so many, only sums are kept: a camera that never
stops must not fill memory, at about 1 kB a person."""

_PERSON_SLACK: Final = 1.1
"""Sums are made of many people at once, as finding the oldest takes time."""

_MAX_CROPS: Final = 500
"""At about 5 kB each, so that a camera that runs for days does not fill memory."""

_CROP_MARGIN: Final = 0.25
_MAX_CROP_SIDE_PX: Final = 160


@dataclass(frozen=True)
class Person:
    """One person of a video.

    Examples:
        >>> person = maskdet.analyze_video("lobby.mp4", every=5).people[0]
        >>> person.track_id, person.label.title, person.last_s > person.first_s
        (1, 'Incorrect', True)

    Attributes:
        track_id: their number.
        first_s: when their face was first seen, in seconds.
        last_s: when it was last seen.
        seen_s: for how long it was seen in all.
        label: what they wore for most of the time in which that was known.
        confidence: of that label, on average while it held; 0 to 1.
        label_s: for how long each label held, also while they were turned away.
        crop: their best view as a JPEG file, where that was asked for; else empty.
    """

    track_id: int
    first_s: float
    last_s: float
    seen_s: float
    label: Label
    confidence: float
    label_s: dict[Label, float]
    crop: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class EvictedPeople:
    """People of whom only sums are kept, because so many came after them.

    Attributes:
        n_people: how many they were.
        label_counts: how many of them wore what, as `Person.label` says.
        label_s: for how long they were there with each label, added up.
    """

    n_people: int = 0
    label_counts: Mapping[Label, int] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0)
    )
    label_s: Mapping[Label, float] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0.0)
    )


@dataclass(slots=True)
class _PersonTotals:
    first_s: float
    last_s: float
    last_present_s: float
    seen_s: float = 0.0
    label_s: dict[Label, float] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0.0)
    )
    confidence_s: dict[Label, float] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0.0)
    )
    crop_quality: float = 0.0
    crop: bytes = b""


class PersonAggregator:
    """Collects the people of a film."""

    def __init__(
        self, *, keep_crops: bool = False, max_people: int = MAX_PEOPLE
    ) -> None:
        """Start with nobody.

        Args:
            keep_crops: whether each person's best view is kept.
            max_people: so many people are kept, those who were there last.
        """
        self._keep_crops, self._max_people = keep_crops, max_people
        self._n_evicted: Counter[Label] = Counter()
        self._evicted_label_s = dict.fromkeys(LABELS, 0.0)
        self._totals: dict[int, _PersonTotals] = {}
        self._n_crops = 0

    def add(self, scene: Scene, image: Image | None, duration_s: float) -> None:
        """Count a scene that is shown for so long.

        Args:
            scene: who is there; the untracked are nobody yet.
            image: `(h, w, 3)` the picture, from which views are kept.
            duration_s: until the next one, in seconds.
        """
        duration_s = max(duration_s, 1e-6)
        rows = zip(
            np.asarray(scene.track_ids), scene.labels, scene.confidences, strict=True
        )
        for row, (track_id, label, confidence) in enumerate(rows):
            if track_id == UNTRACKED:
                continue
            totals = self._totals.setdefault(
                int(track_id), _PersonTotals(scene.time_s, scene.time_s, scene.time_s)
            )
            totals.last_present_s = scene.time_s
            totals.label_s[label] += duration_s
            totals.confidence_s[label] += float(confidence) * duration_s
            if scene.unseen_s is not None and scene.unseen_s[row] > 0:
                continue
            totals.last_s = scene.time_s
            totals.seen_s += duration_s
            if self._keep_crops and image is not None:
                self._update_crop(totals, scene, row, image)
        if len(self._totals) > _PERSON_SLACK * self._max_people:
            self._evict()

    @property
    def evicted(self) -> EvictedPeople:
        """Those of whom only sums are kept by now."""
        label_counts = {label: self._n_evicted[label] for label in LABELS}
        return EvictedPeople(
            self._n_evicted.total(), label_counts, dict(self._evicted_label_s)
        )

    def get_people(self) -> tuple[Person, ...]:
        """Return everybody who is kept, in the order in which they came.

        From now on those are `max_people` at most; the others are `evicted`.
        """
        self._evict()
        return tuple(
            _build_person(track_id, totals)
            for track_id, totals in sorted(
                self._totals.items(), key=lambda pair: (pair[1].first_s, pair[0])
            )
        )

    def _evict(self) -> None:
        """Keep only sums of those who left first, where there are too many."""
        n_over = len(self._totals) - self._max_people
        if n_over <= 0:
            return
        oldest = sorted(
            self._totals, key=lambda person_id: self._totals[person_id].last_present_s
        )
        for track_id in oldest[:n_over]:
            totals = self._totals.pop(track_id)
            self._n_crops -= bool(totals.crop)
            self._n_evicted[_build_person(track_id, totals).label] += 1
            for label in LABELS:
                self._evicted_label_s[label] += totals.label_s[label]

    def _update_crop(
        self, totals: _PersonTotals, scene: Scene, row: int, image: Image
    ) -> None:
        """Keep this view of a person if it is clearly better than the last one."""
        box = scene.faces.boxes[row]
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        confidence = float(scene.confidences[row])
        quality = float(scene.faces.scores[row]) * confidence * (width * height) ** 0.5
        is_limit_reached = not totals.crop and self._n_crops >= _MAX_CROPS
        if (
            is_limit_reached
            or quality < 1.1 * totals.crop_quality
            or min(width, height) < 1
        ):
            return
        margin = np.array([-width, -height, width, height], np.float32) * _CROP_MARGIN
        clipped = clip_boxes((box + margin)[None], image.shape[1], image.shape[0])[0]
        x1, y1, x2, y2 = (int(corner) for corner in clipped)
        if x2 - x1 < 2 or y2 - y1 < 2:
            return
        self._n_crops += not totals.crop
        step = max(1, max(x2 - x1, y2 - y1) // _MAX_CROP_SIDE_PX)
        totals.crop = encode_jpeg(np.ascontiguousarray(image[y1:y2:step, x1:x2:step]))
        totals.crop_quality = quality


def _build_person(track_id: int, totals: _PersonTotals) -> Person:
    known_s = {label: totals.label_s[label] for label in CLASSES}
    label = max(known_s, key=lambda label: known_s[label])
    if known_s[label] <= 0:
        label = Label.UNKNOWN
    return Person(
        track_id,
        totals.first_s,
        totals.last_s,
        totals.seen_s,
        label,
        min(1.0, totals.confidence_s[label] / totals.label_s[label]),
        dict(totals.label_s),
        totals.crop,
    )
