"""Aggregation over a video: people, contacts, and a timeline of people by class.

Memory is bounded, so that a camera can run without end: of people and pairs beyond a
limit only sums are kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from maskdet.boxes import clip_boxes
from maskdet.media import encode_jpeg
from maskdet.types import CLASSES, UNTRACKED, Contact, Image, Label, Scene

MAX_CONTACTS: Final = 10_000
"""Maximum number of pairs in a list; of others only sums are kept."""

_CONTACT_SLACK: Final = 1.1
"""Pairs are evicted many at a time, because sorting them takes time."""

_CONTACT_END_S: Final = 60.0
"""A pair that was not in contact for so long can be evicted first."""

LABELS: Final = (*CLASSES, Label.UNKNOWN)
"""The order of the classes in counts."""

_MAX_BINS: Final = 1200
"""More bins are not visible in a line chart; the bins of longer videos are longer."""

MAX_PEOPLE: Final = 10_000
"""Maximum number of people in a list, at about 1 kB each; of others only sums."""

_PERSON_SLACK: Final = 1.1
"""People are evicted many at a time, because sorting them takes time."""

_MAX_CROPS: Final = 500
"""Maximum number of face crops, at about 5 kB each."""

_CROP_MARGIN: Final = 0.25

_MAX_CROP_SIDE_PX: Final = 160


@dataclass(frozen=True)
class EvictedContacts:
    """Sums over the pairs that are no longer listed.

    Attributes:
        n_contacts: number of pairs.
        n_over_limit: number of pairs whose contact exceeds the limit.
        total_s: time in contact, summed over pairs.
        unmasked_s: part of it in which at least one person had no mask or wore it
            incorrectly.
    """

    n_contacts: int = 0
    n_over_limit: int = 0
    total_s: float = 0.0
    unmasked_s: float = 0.0


@dataclass(slots=True)
class _ContactTotals:
    start_s: float
    last_s: float
    unit: str
    total_s: float = 0.0
    unmasked_s: float = 0.0
    longest_s: float = 0.0
    min_distance: float = math.inf
    exceeds_limit: bool = False


class ContactAggregator:
    """Collects the pairs of people who were in contact."""

    def __init__(self, max_contacts: int = MAX_CONTACTS) -> None:
        """Start without pairs.

        Args:
            max_contacts: how many pairs are kept: first those in contact now, then by
                exceeded limit, time without a mask, and time in contact.
        """
        self._max_contacts = max_contacts
        self._totals: dict[tuple[int, int], _ContactTotals] = {}
        self._evicted = EvictedContacts()

    def add(self, scene: Scene, duration_s: float) -> None:
        """Add a scene that is shown for `duration_s` seconds."""
        labels, track_ids = scene.labels, np.asarray(scene.track_ids)
        for pair in scene.pairs:
            rows = (pair.first, pair.second)
            ids = sorted(int(track_ids[row]) for row in rows)
            if not pair.in_contact or UNTRACKED in ids:
                continue
            key = (ids[0], ids[1])
            initial = _ContactTotals(scene.time_s, scene.time_s, pair.unit)
            totals = self._totals.setdefault(key, initial)
            totals.last_s = scene.time_s
            totals.total_s += duration_s
            is_unmasked = any(
                labels[row] in (Label.NO_MASK, Label.INCORRECT) for row in rows
            )
            totals.unmasked_s += duration_s if is_unmasked else 0.0
            totals.longest_s = max(totals.longest_s, pair.contact_s)
            totals.min_distance = min(totals.min_distance, pair.distance)
            totals.exceeds_limit |= pair.exceeds_limit
        if len(self._totals) > _CONTACT_SLACK * self._max_contacts:
            self._evict(scene.time_s)

    @property
    def evicted(self) -> EvictedContacts:
        """Sums over the evicted pairs so far."""
        return self._evicted

    def get_contacts(self) -> tuple[Contact, ...]:
        """Return the pairs, sorted by time without a mask, then by time in contact.

        Evicts pairs beyond `max_contacts` first.
        """
        self._evict(math.inf)
        kept_contacts = [
            Contact(
                *ids,
                entry.start_s,
                entry.total_s,
                entry.longest_s,
                entry.unmasked_s,
                entry.min_distance,
                entry.unit,
                entry.exceeds_limit,
            )
            for ids, entry in self._totals.items()
        ]
        return tuple(
            sorted(kept_contacts, key=lambda entry: (-entry.unmasked_s, -entry.total_s))
        )

    def _evict(self, now_s: float) -> None:
        """Replace the least important pairs beyond the limit by their sums."""
        n_over = len(self._totals) - self._max_contacts
        if n_over <= 0:
            return

        def priority(pair: tuple[int, int]) -> tuple[bool, bool, float, float]:
            totals = self._totals[pair]
            is_recent = now_s - totals.last_s <= _CONTACT_END_S
            return is_recent, totals.exceeds_limit, totals.unmasked_s, totals.total_s

        for pair in sorted(self._totals, key=priority)[:n_over]:
            totals, evicted = self._totals.pop(pair), self._evicted
            self._evicted = EvictedContacts(
                evicted.n_contacts + 1,
                evicted.n_over_limit + totals.exceeds_limit,
                evicted.total_s + totals.total_s,
                evicted.unmasked_s + totals.unmasked_s,
            )


@dataclass(frozen=True)
class TimelineBin:
    """A short part of a video.

    Examples:
        >>> first = maskdet.analyze_video("lobby.mp4", every=5).timeline[0]
        >>> first.start_s, first.length_s, sum(first.counts.values()) > 0
        (0.0, 1.0, True)

    Attributes:
        start_s: start time, in seconds.
        length_s: duration, in seconds.
        counts: mean number of people with each label.
        n_contacts: maximum number of pairs in contact at once.
        n_over_limit: maximum number of pairs at once whose contact exceeds the limit.
    """

    start_s: float
    length_s: float
    counts: dict[Label, float]
    n_contacts: int
    n_over_limit: int

    @property
    def mask_rate(self) -> float | None:
        """People with a mask divided by people with a known class; None without."""
        n_known = sum(self.counts[label] for label in CLASSES)
        return self.counts[Label.MASK] / n_known if n_known > 0 else None


@dataclass
class _Bin:
    observed_s: float
    people_s: dict[Label, float]
    n_contacts: int = 0
    n_over_limit: int = 0


class Timeline:
    """Counts people over time in at most `max_bins` bins."""

    def __init__(self, max_bins: int = _MAX_BINS) -> None:
        """Start with bins of one second; they are doubled when there are too many."""
        self._max_bins = max_bins
        self._length_s = 1.0
        self._bins: dict[int, _Bin] = {}

    def add(self, scene: Scene, duration_s: float) -> None:
        """Add a scene that is shown for `duration_s` seconds."""
        index = int(scene.time_s // self._length_s)
        time_bin = self._bins.get(index)
        if time_bin is None:
            time_bin = self._bins[index] = _Bin(0.0, dict.fromkeys(LABELS, 0.0))
        # A frame of duration 0 gets a small weight.
        duration_s = max(duration_s, 1e-6)
        time_bin.observed_s += duration_s
        for label, track_id in zip(
            scene.labels, np.asarray(scene.track_ids), strict=True
        ):
            if track_id != UNTRACKED:
                time_bin.people_s[label] += duration_s
        time_bin.n_contacts = max(
            time_bin.n_contacts, sum(pair.in_contact for pair in scene.pairs)
        )
        time_bin.n_over_limit = max(
            time_bin.n_over_limit, sum(pair.exceeds_limit for pair in scene.pairs)
        )
        if len(self._bins) > self._max_bins:
            self._double_bin_length()

    def get_bins(self) -> tuple[TimelineBin, ...]:
        """Return the bins so far; those without a frame are left out."""
        return tuple(
            TimelineBin(
                index * self._length_s,
                self._length_s,
                {
                    label: label_s / time_bin.observed_s
                    for label, label_s in time_bin.people_s.items()
                },
                time_bin.n_contacts,
                time_bin.n_over_limit,
            )
            for index, time_bin in sorted(self._bins.items())
        )

    def _double_bin_length(self) -> None:
        old, self._bins = self._bins, {}
        self._length_s *= 2
        for index, old_bin in old.items():
            merged = self._bins.setdefault(index // 2, old_bin)
            if merged is not old_bin:
                merged.observed_s += old_bin.observed_s
                for label in LABELS:
                    merged.people_s[label] += old_bin.people_s[label]
                merged.n_contacts = max(merged.n_contacts, old_bin.n_contacts)
                merged.n_over_limit = max(merged.n_over_limit, old_bin.n_over_limit)


@dataclass(frozen=True)
class Person:
    """One person of a video.

    Examples:
        >>> person = maskdet.analyze_video("lobby.mp4", every=5).people[0]
        >>> person.track_id, person.label.title, person.last_s > person.first_s
        (1, 'Incorrect', True)

    Attributes:
        track_id: the track ID.
        first_s: when the face was first seen, in seconds.
        last_s: when it was last seen.
        seen_s: total time in which it was seen.
        label: the class for most of the time with a known class.
        confidence: mean confidence of that class; 0 to 1.
        label_s: time with each label, including the time without a detection.
        crop: the best face crop as a JPEG file, if crops are kept; else empty.
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
    """Sums over the people who are no longer listed.

    Attributes:
        n_people: number of people.
        label_counts: number of people by `Person.label`.
        label_s: time with each label, summed over people.
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
    """Collects the people of a video."""

    def __init__(
        self, *, keep_crops: bool = False, max_people: int = MAX_PEOPLE
    ) -> None:
        """Start without people.

        Args:
            keep_crops: whether to keep the best face crop of each person.
            max_people: how many people are kept, those who were present last.
        """
        self._keep_crops, self._max_people = keep_crops, max_people
        self._n_evicted: Counter[Label] = Counter()
        self._evicted_label_s = dict.fromkeys(LABELS, 0.0)
        self._totals: dict[int, _PersonTotals] = {}
        self._n_crops = 0

    def add(self, scene: Scene, image: Image | None, duration_s: float) -> None:
        """Add a scene that is shown for `duration_s` seconds.

        Args:
            scene: the people; untracked faces are ignored.
            image: `(h, w, 3)` the frame, for face crops.
            duration_s: time until the next frame, in seconds.
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
        """Sums over the evicted people so far."""
        label_counts = {label: self._n_evicted[label] for label in LABELS}
        return EvictedPeople(
            self._n_evicted.total(), label_counts, dict(self._evicted_label_s)
        )

    def get_people(self) -> tuple[Person, ...]:
        """Return the people, in order of their first detection.

        Evicts people beyond `max_people` first.
        """
        self._evict()
        return tuple(
            _build_person(track_id, totals)
            for track_id, totals in sorted(
                self._totals.items(), key=lambda pair: (pair[1].first_s, pair[0])
            )
        )

    def _evict(self) -> None:
        """Replace the people who left first, beyond the limit, by their sums."""
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
        """Keep this face crop if it is clearly better than the last one."""
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
