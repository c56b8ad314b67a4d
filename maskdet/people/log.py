"""`PersonLog`: who is in a stream, for how long, with which class, and close to whom.

Every `Stream` has one `PersonLog` and updates it with each scene. Events, alert rules,
the counts of the Live page and the report of a video all read it, so that none of them
keeps people of its own:

    people = PersonLog()
    people.update(scene)  # for each scene
    [person for person in people.present if person.has_entered]
    people.left  # who left with this scene
    people.end(end_s)  # everybody leaves
    people.list_people(), people.list_contacts()

A person is a `PersonState` while in the stream, and a `Person` in the list of all
people. Memory is bounded, so that a camera can run without end: of people and pairs
beyond a limit only sums are kept.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from maskdet.boxes import clip_boxes
from maskdet.media import encode_jpeg
from maskdet.people.timeline import Timeline
from maskdet.types import CLASSES, UNTRACKED, Contact, Image, Label, PersonPair, Scene

EXPIRE_AFTER_S: Final = 65.0
"""A person who is in no scene for so long has left, even if the tracker did not report
it: no tracker remembers people for longer (`Settings.memory_s`). In seconds."""

MIN_LABEL_DURATION_S: Final = 1.0
"""How long a label must be stable until it counts, in seconds."""

MAX_PEOPLE: Final = 10_000
"""Maximum number of people in a list, those who were present last, at about 1 kB each;
of others only sums are kept."""

MAX_CONTACTS: Final = 10_000
"""Maximum number of pairs in a list: first those in contact now, then by exceeded
limit, time without a mask, and time in contact; of others only sums are kept."""

MIN_PRESENCE_S: Final = 0.5
"""A person has entered, for events, once seen over this time: a false positive is
usually shorter. In seconds."""

_MAX_FRAME_DURATION_S: Final = 1.0
"""At most so much of a longer pause between two frames is counted."""

_SLACK: Final = 1.1
"""People and pairs are evicted many at a time, because sorting them takes time."""

_CONTACT_GAP_S: Final = 5.0
"""A shorter interruption does not end a contact that exceeds the limit."""

_CONTACT_END_S: Final = 60.0
"""A pair that was not in contact for so long can be evicted first."""

_REFRESH_S: Final = 1.0
"""Maximum age of `PersonLog.contacts`, in seconds."""

_FEW_CONTACTS: Final = 200
"""With fewer contacts, a new one is listed immediately."""

_MAX_CROPS: Final = 500
"""Maximum number of face crops, at about 5 kB each."""

_CROP_MARGIN: Final = 0.25

_MAX_CROP_SIDE_PX: Final = 160


@dataclass(slots=True, eq=False)
class PersonState:
    """A person in a stream; updated with every scene.

    Attributes:
        track_id: the track ID.
        entered_s: time of the first scene with the person.
        last_present_s: time of the last scene with the person, detected or coasting.
        last_detected_s: time of the last detection.
        is_detected: whether the person was detected in the last scene of theirs.
        is_confirmed: whether the person was seen for `MIN_PRESENCE_S`, or has a label.
        has_entered: whether that scene has confirmed the person.
        likeliest: likeliest class at the last detection; `UNKNOWN` before it.
        confidence: its probability, in [0, 1].
        known_label: the last label other than `UNKNOWN`, stable or not.
        label: the last stable label, which is the one to report; `UNKNOWN` before.
        label_confidence: confidence of the last detection with `label`, in [0, 1].
        previous_label: the stable label before, if it has changed with the last scene.
    """

    track_id: int
    entered_s: float
    last_present_s: float
    last_detected_s: float
    is_detected: bool = False
    is_confirmed: bool = False
    has_entered: bool = False
    likeliest: Label = Label.UNKNOWN
    confidence: float = 0.0
    known_label: Label = Label.UNKNOWN
    label: Label = Label.UNKNOWN
    label_confidence: float = 0.0
    previous_label: Label | None = None
    _clock_s: float = 0.0  # detected with the current likeliest class
    _runs: list[tuple[float, float]] = field(default_factory=list)

    def get_label(self, min_confidence: float) -> Label:
        """Return the label of the last detection; `UNKNOWN` below the threshold."""
        return self.likeliest if self.confidence >= min_confidence else Label.UNKNOWN

    def get_stable_s(self, min_confidence: float) -> float:
        """Return for how long `get_label` has not changed, in seconds.

        Only time in which the person was detected counts. It is 0 for `UNKNOWN`.
        """
        number = bisect_left(self._runs, (min_confidence, -math.inf))
        if number == len(self._runs):
            return 0.0
        return self._clock_s - self._runs[number][1]

    def _detect(
        self, likeliest: Label, confidence: float, now_s: float, elapsed_s: float
    ) -> None:
        """Add a detection; `elapsed_s` is the time since the last one that counts."""
        if likeliest is self.likeliest:
            self._clock_s += elapsed_s
        else:
            self._clock_s = 0.0
            self._runs.clear()
        # Each run is a confidence and the time since which it has not been lower. Both
        # rise along the list, so it has the duration for any threshold.
        since_s = self._clock_s
        while self._runs and self._runs[-1][0] >= confidence:
            since_s = self._runs.pop()[1]
        self._runs.append((confidence, since_s))
        self.likeliest, self.confidence = likeliest, confidence
        self.is_detected, self.last_detected_s = True, now_s


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


def _no_times() -> dict[Label, float]:
    return dict.fromkeys(Label, 0.0)


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
        default_factory=lambda: dict.fromkeys(Label, 0)
    )
    label_s: Mapping[Label, float] = field(default_factory=_no_times)


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
class _PersonTotals:
    first_s: float
    last_s: float
    last_present_s: float
    seen_s: float = 0.0
    label_s: dict[Label, float] = field(default_factory=_no_times)
    confidence_s: dict[Label, float] = field(default_factory=_no_times)
    crop_quality: float = 0.0
    crop: bytes = b""


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
    last_over_limit_s: float = -math.inf


@dataclass(slots=True)
class _PendingScene:
    """The last scene, whose duration is not known yet.

    Attributes:
        scene: the scene.
        people: totals, label, confidence and whether the person is detected.
        contacts: totals, and whether one of the two is unmasked.
    """

    scene: Scene
    people: list[tuple[_PersonTotals, Label, float, bool]] = field(default_factory=list)
    contacts: list[tuple[_ContactTotals, bool]] = field(default_factory=list)


ContactPair: TypeAlias = tuple[PersonState, PersonState, PersonPair]
"""The people of a pair in contact, in the order of its rows, and the pair."""


class PersonLog:
    """Everything that is known about the people of one stream.

    Attributes:
        scene: the last scene; None before the first one and after `end`.
        present: the people in it, in the order of its rows.
        contact_pairs: its pairs in contact with their people, nearest first.
        new_contact_pairs: those of them whose contact has just exceeded the limit.
        left: the people who left with it, or all of them after `end`.
        label_counts: number of people so far, by the last label other than `UNKNOWN`.
        evicted_people: sums over the people who are no longer listed.
        evicted_contacts: sums over the pairs that are no longer listed.
        timeline: counts the people of each scene over time, if it was given.
    """

    def __init__(
        self,
        *,
        keep_crops: bool = False,
        timeline: Timeline | None = None,
    ) -> None:
        """Start without people.

        Args:
            keep_crops: whether to keep the best face crop of each person.
            timeline: counts the people of each scene over time, if given.
        """
        self.scene: Scene | None = None
        self.present: list[PersonState] = []
        self.contact_pairs: list[ContactPair] = []
        self.new_contact_pairs: list[ContactPair] = []
        self.left: list[PersonState] = []
        self.label_counts: Counter[Label] = Counter()
        self._keep_crops = keep_crops
        self.timeline = timeline
        self._states: dict[int, PersonState] = {}
        self._totals: dict[int, _PersonTotals] = {}
        self._contact_totals: dict[tuple[int, int], _ContactTotals] = {}
        self.evicted_people, self.evicted_contacts = EvictedPeople(), EvictedContacts()
        self._n_crops = 0
        self._pending: _PendingScene | None = None
        self._last_scene_s = -math.inf
        self._contacts: tuple[Contact, ...] = ()
        self._contacts_s = -math.inf

    def update(self, scene: Scene, image: Image | None = None) -> None:
        """Add the next scene of the stream; see `add`."""
        self.advance(scene.time_s)
        self.add(scene, image)

    def advance(self, time_s: float) -> None:
        """Count the last scene, which was shown until `time_s`; only once."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        duration_s = min(_MAX_FRAME_DURATION_S, time_s - pending.scene.time_s)
        # A frame of duration 0 gets a small weight, also in the timeline.
        weight_s = max(duration_s, 1e-6)
        for totals, label, confidence, is_detected in pending.people:
            totals.label_s[label] += weight_s
            totals.confidence_s[label] += confidence * weight_s
            if is_detected:
                totals.seen_s += weight_s
        for contact_totals, is_unmasked in pending.contacts:
            contact_totals.total_s += duration_s
            contact_totals.unmasked_s += duration_s if is_unmasked else 0.0
        if self.timeline is not None:
            self.timeline.add(pending.scene, weight_s)
        if len(self._totals) > _SLACK * MAX_PEOPLE:
            self._evict_people()
        if len(self._contact_totals) > _SLACK * MAX_CONTACTS:
            self._evict_contacts(pending.scene.time_s)

    def add(self, scene: Scene, image: Image | None = None) -> None:
        """Add the next scene, after `advance`.

        Args:
            scene: the people; untracked rows are ignored.
            image: `(h, w, 3)` the frame, for face crops.
        """
        self.scene, self._pending = scene, _PendingScene(scene)
        people: list[PersonState | None] = []
        labels = scene.labels
        rows = zip(
            np.asarray(scene.track_ids).tolist(),
            *(scene.likeliest, labels, scene.confidences.tolist()),
            np.asarray(scene.unseen_s).tolist(),
            strict=True,
        )
        for row, (track_id, likeliest, label, confidence, unseen_s) in enumerate(rows):
            if track_id == UNTRACKED:
                people.append(None)
                continue
            is_detected = unseen_s <= 0
            person = self._find_or_enter(track_id, scene.time_s)
            if is_detected:
                elapsed_s = self._time_since_last_scene_s(person, scene.time_s)
                person._detect(likeliest, confidence, scene.time_s, elapsed_s)
            else:
                person.is_detected = False
            person.last_present_s = scene.time_s
            self._settle_label(person, label, scene.min_confidence)
            _confirm(person)
            people.append(person)
            totals = self._add_totals(track_id, scene.time_s, is_detected=is_detected)
            self._pending.people.append((totals, label, confidence, is_detected))
            if self._keep_crops and is_detected and image is not None:
                self._update_crop(totals, scene, row, image)
        self.present = [person for person in people if person is not None]
        self._add_contacts(scene, people, labels, self._pending)
        self.left = self._remove_people(scene)
        self._last_scene_s = scene.time_s

    def end(self, end_s: float | None = None) -> None:
        """Let everybody leave, because the stream has ended; can be called twice.

        Args:
            end_s: the end of the last scene in seconds, if it is known.
        """
        if end_s is not None:
            self.advance(end_s)
        self.scene, self.present = None, []
        self.contact_pairs, self.new_contact_pairs = [], []
        self.left = list(self._states.values())
        self._states.clear()

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """The contacts so far, longest first; updated once a second.

        Sorting thousands of pairs in every frame would be too slow.
        """
        is_due = self._last_scene_s - self._contacts_s >= _REFRESH_S
        n = len(self._contact_totals)
        if is_due or len(self._contacts) < n < _FEW_CONTACTS:
            contacts = sorted(self._build_contacts(), key=lambda entry: -entry.total_s)
            self._contacts, self._contacts_s = tuple(contacts), self._last_scene_s
        return self._contacts

    def list_people(self) -> tuple[Person, ...]:
        """Return the people, in order of their first detection.

        Evicts people beyond `MAX_PEOPLE` first.
        """
        self._evict_people()
        return tuple(
            _build_person(track_id, totals)
            for track_id, totals in sorted(
                self._totals.items(), key=lambda pair: (pair[1].first_s, pair[0])
            )
        )

    def list_contacts(self) -> tuple[Contact, ...]:
        """Return the pairs, sorted by time without a mask, then by time in contact.

        Evicts pairs beyond `MAX_CONTACTS` first.
        """
        self._evict_contacts(math.inf)
        return tuple(
            sorted(
                self._build_contacts(),
                key=lambda entry: (-entry.unmasked_s, -entry.total_s),
            )
        )

    def _find_or_enter(self, track_id: int, now_s: float) -> PersonState:
        """Return the state of a person, or a new one."""
        person = self._states.get(track_id)
        if person is None:
            person = PersonState(track_id, now_s, now_s, now_s)
            self._states[track_id] = person
            self.label_counts[Label.UNKNOWN] += 1
        return person

    def _time_since_last_scene_s(self, person: PersonState, now_s: float) -> float:
        """Return the time since the last scene, if the person was detected in it."""
        if person.is_detected and person.last_present_s == self._last_scene_s:
            return now_s - person.last_present_s
        return 0.0

    def _settle_label(
        self, person: PersonState, label: Label, min_confidence: float
    ) -> None:
        """Update the labels of a person that depend on the confidence threshold."""
        if label is not Label.UNKNOWN and label is not person.known_label:
            self.label_counts[person.known_label] -= 1
            self.label_counts[label] += 1
            person.known_label = label
        person.previous_label = None
        stable_label = person.get_label(min_confidence)
        stable_s = person.get_stable_s(min_confidence)
        if stable_label is Label.UNKNOWN or stable_s < MIN_LABEL_DURATION_S:
            return
        if stable_label is not person.label:
            person.previous_label = person.label
        person.label, person.label_confidence = stable_label, person.confidence

    def _add_totals(
        self, track_id: int, now_s: float, *, is_detected: bool
    ) -> _PersonTotals:
        totals = self._totals.get(track_id)
        if totals is None:
            totals = self._totals[track_id] = _PersonTotals(now_s, now_s, now_s)
        totals.last_present_s = now_s
        if is_detected:
            totals.last_s = now_s
        return totals

    def _add_contacts(
        self,
        scene: Scene,
        people: list[PersonState | None],
        labels: tuple[Label, ...],
        pending: _PendingScene,
    ) -> None:
        """Add the pairs in contact; `people` and `labels` are those of the rows."""
        self.contact_pairs, self.new_contact_pairs = [], []
        is_unmasked = [label in (Label.NO_MASK, Label.INCORRECT) for label in labels]
        for pair in scene.pairs:
            first, second = people[pair.first], people[pair.second]
            if not pair.in_contact or first is None or second is None:
                continue
            contact_pair = first, second, pair
            self.contact_pairs.append(contact_pair)
            totals = self._add_contact_totals(contact_pair, scene.time_s)
            pending.contacts.append(
                (totals, is_unmasked[pair.first] or is_unmasked[pair.second])
            )
            is_continued = (
                self._last_scene_s - totals.last_over_limit_s <= _CONTACT_GAP_S
            )
            if pair.exceeds_limit and not is_continued:
                self.new_contact_pairs.append(contact_pair)
            if pair.exceeds_limit or is_continued:
                totals.last_over_limit_s = scene.time_s

    def _add_contact_totals(
        self, contact_pair: ContactPair, now_s: float
    ) -> _ContactTotals:
        first, second = contact_pair[0].track_id, contact_pair[1].track_id
        pair = contact_pair[2]
        key = (first, second) if first < second else (second, first)
        totals = self._contact_totals.get(key)
        if totals is None:
            totals = self._contact_totals[key] = _ContactTotals(now_s, now_s, pair.unit)
        totals.last_s = now_s
        if pair.contact_s > totals.longest_s:
            totals.longest_s = pair.contact_s
        if pair.distance < totals.min_distance:
            totals.min_distance = pair.distance
        totals.exceeds_limit |= pair.exceeds_limit
        return totals

    def _remove_people(self, scene: Scene) -> list[PersonState]:
        """Forget the states of the people who have left, and return them."""
        expired_ids = [
            track_id
            for track_id, person in self._states.items()
            if scene.time_s - person.last_present_s > EXPIRE_AFTER_S
        ]
        removed = [
            self._states.pop(track_id, None)
            for track_id in (*scene.removed_ids, *expired_ids)
        ]
        return [person for person in removed if person is not None]

    def _build_contacts(self) -> list[Contact]:
        return [
            Contact(
                *ids,
                totals.start_s,
                totals.total_s,
                totals.longest_s,
                totals.unmasked_s,
                totals.min_distance,
                totals.unit,
                totals.exceeds_limit,
            )
            for ids, totals in self._contact_totals.items()
        ]

    def _evict_people(self) -> None:
        """Replace the people who left first, beyond the limit, by their sums."""
        n_over = len(self._totals) - MAX_PEOPLE
        if n_over <= 0:
            return
        oldest = sorted(
            self._totals, key=lambda track_id: self._totals[track_id].last_present_s
        )
        evicted = self.evicted_people
        label_counts, label_s = dict(evicted.label_counts), dict(evicted.label_s)
        for track_id in oldest[:n_over]:
            totals = self._totals.pop(track_id)
            self._n_crops -= bool(totals.crop)
            label_counts[_build_person(track_id, totals).label] += 1
            for label in Label:
                label_s[label] += totals.label_s[label]
        self.evicted_people = EvictedPeople(
            evicted.n_people + n_over, label_counts, label_s
        )

    def _evict_contacts(self, now_s: float) -> None:
        """Replace the least important pairs beyond the limit by their sums."""
        n_over = len(self._contact_totals) - MAX_CONTACTS
        if n_over <= 0:
            return

        def priority(pair: tuple[int, int]) -> tuple[bool, bool, float, float]:
            totals = self._contact_totals[pair]
            is_recent = now_s - totals.last_s <= _CONTACT_END_S
            return is_recent, totals.exceeds_limit, totals.unmasked_s, totals.total_s

        for pair in sorted(self._contact_totals, key=priority)[:n_over]:
            totals, evicted = self._contact_totals.pop(pair), self.evicted_contacts
            self.evicted_contacts = EvictedContacts(
                evicted.n_contacts + 1,
                evicted.n_over_limit + totals.exceeds_limit,
                evicted.total_s + totals.total_s,
                evicted.unmasked_s + totals.unmasked_s,
            )

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


def _confirm(person: PersonState) -> None:
    """Set whether the last scene has confirmed a person."""
    seen_s = person.last_detected_s - person.entered_s
    is_confirmed = seen_s >= MIN_PRESENCE_S or person.label is not Label.UNKNOWN
    person.has_entered = is_confirmed and not person.is_confirmed
    person.is_confirmed |= is_confirmed


def _build_person(track_id: int, totals: _PersonTotals) -> Person:
    known_s = {label: totals.label_s[label] for label in CLASSES}
    label = max(known_s, key=lambda label: known_s[label])
    if known_s[label] <= 0:
        label = Label.UNKNOWN
    # The only scene of somebody who has just entered is not counted yet.
    label_s = totals.label_s[label]
    confidence = min(1.0, totals.confidence_s[label] / label_s) if label_s > 0 else 0.0
    return Person(
        track_id,
        totals.first_s,
        totals.last_s,
        totals.seen_s,
        label,
        confidence,
        dict(totals.label_s),
        totals.crop,
    )
