"""Who was in a film, for how long, and what they wore."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from maskdet.boxes import clip
from maskdet.films.timeline import LABELS
from maskdet.media import encode_jpeg
from maskdet.types import CLASSES, UNTRACKED, Image, Label, Scene

MOST_PEOPLE: Final = 10_000
"""Of those who came before the newest so many, only sums are kept: a camera that never
stops must not fill memory, at about 1 kB a person."""

_SLACK: Final = 1.1
"""Sums are made of many people at once, as finding the oldest takes time."""

_MAX_CROPS: Final = 500
"""At about 5 kB each, so that a camera that runs for days does not fill memory."""

_CROP_MARGIN: Final = 0.25
_CROP_SIDE_PX: Final = 160


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
class Earlier:
    """People of whom only sums are kept, because so many came after them.

    Attributes:
        n_people: how many they were.
        labels: how many of them wore what, as `Person.label` says.
        label_s: for how long they were there with each label, added up.
    """

    n_people: int = 0
    labels: Mapping[Label, int] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0)
    )
    label_s: Mapping[Label, float] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0.0)
    )


@dataclass(slots=True)
class _Known:
    first_s: float
    last_s: float
    there_s: float
    seen_s: float = 0.0
    label_s: dict[Label, float] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0.0)
    )
    confidence_s: dict[Label, float] = field(
        default_factory=lambda: dict.fromkeys(LABELS, 0.0)
    )
    quality: float = 0.0
    crop: bytes = b""


class People:
    """Collects the people of a film."""

    def __init__(self, *, keep_crops: bool = False, most: int = MOST_PEOPLE) -> None:
        """Start with nobody.

        Args:
            keep_crops: whether each person's best view is kept.
            most: so many people are kept, those who were there last.
        """
        self._keep_crops, self._most = keep_crops, most
        self._n_earlier: Counter[Label] = Counter()
        self._earlier_s = dict.fromkeys(LABELS, 0.0)
        self._known: dict[int, _Known] = {}
        self._n_crops = 0

    def add(self, scene: Scene, image: Image | None, lasts_s: float) -> None:
        """Count a scene that is shown for so long.

        Args:
            scene: who is there; the untracked are nobody yet.
            image: `(h, w, 3)` the picture, from which views are kept.
            lasts_s: until the next one, in seconds.
        """
        lasts_s = max(lasts_s, 1e-6)
        rows = zip(
            np.asarray(scene.track_ids), scene.labels, scene.confidences, strict=True
        )
        for row, (track_id, label, confidence) in enumerate(rows):
            if track_id == UNTRACKED:
                continue
            one = self._known.setdefault(
                int(track_id), _Known(scene.time_s, scene.time_s, scene.time_s)
            )
            one.there_s = scene.time_s
            one.label_s[label] += lasts_s
            one.confidence_s[label] += float(confidence) * lasts_s
            if scene.unseen_s is not None and scene.unseen_s[row] > 0:
                continue
            one.last_s = scene.time_s
            one.seen_s += lasts_s
            if self._keep_crops and image is not None:
                self._view(one, scene, row, image)
        if len(self._known) > _SLACK * self._most:
            self._sum_up()

    @property
    def earlier(self) -> Earlier:
        """Those of whom only sums are kept by now."""
        worn = {label: self._n_earlier[label] for label in LABELS}
        return Earlier(self._n_earlier.total(), worn, dict(self._earlier_s))

    def people(self) -> tuple[Person, ...]:
        """Return everybody who is kept, in the order in which they came.

        From now on those are `most` at most; the others are `earlier`.
        """
        self._sum_up()
        return tuple(
            _person(track_id, one)
            for track_id, one in sorted(
                self._known.items(), key=lambda pair: (pair[1].first_s, pair[0])
            )
        )

    def _sum_up(self) -> None:
        """Keep only sums of those who left first, where there are too many."""
        n_over = len(self._known) - self._most
        if n_over <= 0:
            return
        oldest = sorted(self._known, key=lambda number: self._known[number].there_s)
        for track_id in oldest[:n_over]:
            one = self._known.pop(track_id)
            self._n_crops -= bool(one.crop)
            self._n_earlier[_person(track_id, one).label] += 1
            for label in LABELS:
                self._earlier_s[label] += one.label_s[label]

    def _view(self, one: _Known, scene: Scene, row: int, image: Image) -> None:
        """Keep this view of a person if it is clearly better than the last one."""
        box = scene.faces.boxes[row]
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        confidence = float(scene.confidences[row])
        quality = float(scene.faces.scores[row]) * confidence * (width * height) ** 0.5
        full = not one.crop and self._n_crops >= _MAX_CROPS
        if full or quality < 1.1 * one.quality or min(width, height) < 1:
            return
        out = np.array([-width, -height, width, height], np.float32) * _CROP_MARGIN
        inside = clip((box + out)[None], image.shape[1], image.shape[0])[0]
        x1, y1, x2, y2 = (int(corner) for corner in inside)
        if x2 - x1 < 2 or y2 - y1 < 2:
            return
        self._n_crops += not one.crop
        step = max(1, max(x2 - x1, y2 - y1) // _CROP_SIDE_PX)
        one.crop = encode_jpeg(np.ascontiguousarray(image[y1:y2:step, x1:x2:step]))
        one.quality = quality


def _person(track_id: int, one: _Known) -> Person:
    known = {label: one.label_s[label] for label in CLASSES}
    label = max(known, key=lambda label: known[label])
    if known[label] <= 0:
        label = Label.UNKNOWN
    return Person(
        track_id,
        one.first_s,
        one.last_s,
        one.seen_s,
        label,
        min(1.0, one.confidence_s[label] / one.label_s[label]),
        dict(one.label_s),
        one.crop,
    )
