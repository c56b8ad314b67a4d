"""What was found in a video, and its JSON form.

JSON, version 2; times and lengths in seconds, distances in `unit`:

    {"version": 2, "videos": [{"video": "lobby.mp4", "error": null, "whole": true,
      "pipeline": "onepass-fast detects and classifies, ...",
      "width": 1280, "height": 720, "frame_rate": 29.97,
      "frame_rate_assumed": false, "duration_s": 60.0,
      "has_sound": true, "images": 1798, "analysed_s": 60.0,
      "seconds": {"mask": 80.1, "no_mask": 12.0, "incorrect": 0.0, "unknown": 4.4},
      "share_masked": 0.87,
      "people": [{"person": 1, "first_s": 0.2, "last_s": 41.0, "seen_s": 38.2,
        "label": "mask", "confidence": 0.97, "seconds": {"mask": 39.0, ...}}],
      "contacts": [{"people": [1, 2], "first_s": 3.1, "near_s": 9.0, "bare_s": 0.0,
        "closest": 0.8, "unit": "m", "too_long": true}],
      "timeline": [{"start_s": 0.0, "length_s": 1.0, "mask": 1.2, "no_mask": 0.0,
        "incorrect": 0.0, "unknown": 0.1, "share_masked": 1.0, "near": 0,
        "too_long": 0}],
      "earlier": {"people": 0, "worn": {"mask": 0, ...}, "contacts": 0, "too_long": 0,
        "near_s": 0.0, "bare_s": 0.0},
      "began": "2026-11-21T10:00:00.000Z", "n_events": 2,
      "events": [{"time_s": 1.2, "kind": "entered", "person": 1, "label": "unknown",
        ...}]}]}

`seconds` is how long people were there with each label, added up over people: two
people with a mask for 10 s make 20. `share_masked` is that with a mask among what is
known, or null where nothing is. A video that breaks off, such as a file that was copied
half way, has an `error` and what was found until then; it is not `whole`, nor is one
that was stopped. `frame_rate_assumed` says that a file without times, such as bare
H.264, does not name its frame rate either, so that all times are a guess. Of very many
people the newest are listed, of pairs those who matter most; `earlier` counts the
others, who are part of `seconds` too. `events` are the newest of `n_events`, with the
fields of `maskdet.events.Event`; `began` is when the video was taken if that is known,
else when it was looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from maskdet.events import Event
from maskdet.media import VideoInfo
from maskdet.results_io import to_utf8
from maskdet.types import CLASSES, Contact, Label
from maskdet.video.summary import (
    LABELS,
    EvictedContacts,
    EvictedPeople,
    Person,
    TimelineBin,
)

REPORT_JSON_VERSION: Final = 2
"""Goes up when a field changes its meaning or goes away, not when one is added."""


@dataclass(frozen=True)
class VideoReport:
    """The result of one video: people, timeline, contacts and events.

    Examples:
        >>> report = maskdet.analyze_video("lobby.mp4", every=2)
        >>> report.is_complete, report.n_people, 0 < report.mask_rate < 1
        (True, 3, True)

    Attributes:
        source: path or address of the video, without a password.
        info: what the video says about itself; None if it could not be opened.
        n_frames: how many frames were analyzed.
        analyzed_s: up to which time of the video, in seconds.
        timeline: people by class and contacts over time.
        people: everybody, in the order in which they came; of more than 10,000
            people, the newest.
        contacts: pairs who were in contact, those without a mask for longest first;
            of more than 10,000 pairs, those that matter most.
        out: the annotated video, if one was written.
        is_complete: whether the video was analyzed to its end.
        error: one line if the video breaks off or cannot be read, else empty.
        note: one line about what the annotated video lacks, else empty.
        started_at: the date and time of second 0, in UTC.
        events: what happened, oldest first; of more than 10,000 events, the newest.
        n_events: how many events there were in all.
        evicted_people: the people who are not in `people`.
        evicted_contacts: the pairs that are not in `contacts`.
        pipeline: who detected and who classified, in one line.
    """

    source: str
    info: VideoInfo | None = None
    n_frames: int = 0
    analyzed_s: float = 0.0
    timeline: tuple[TimelineBin, ...] = ()
    people: tuple[Person, ...] = ()
    contacts: tuple[Contact, ...] = ()
    out: Path | None = None
    is_complete: bool = False
    error: str = ""
    note: str = ""
    started_at: datetime | None = None
    events: tuple[Event, ...] = ()
    n_events: int = 0
    evicted_people: EvictedPeople = field(default_factory=EvictedPeople)
    evicted_contacts: EvictedContacts = field(default_factory=EvictedContacts)
    pipeline: str = ""

    @property
    def label_s(self) -> dict[Label, float]:
        """How long people were there with each label, added up over people."""
        return {
            label: self.evicted_people.label_s[label]
            + sum(person.label_s[label] for person in self.people)
            for label in LABELS
        }

    @property
    def n_people(self) -> int:
        """How many people there were in all."""
        return len(self.people) + self.evicted_people.n_people

    @property
    def label_counts(self) -> Counter[Label]:
        """How many people had each class for most of the time."""
        return Counter(person.label for person in self.people) + Counter(
            self.evicted_people.label_counts
        )

    @property
    def n_over_limit(self) -> int:
        """How many pairs had a contact that exceeds the limit."""
        listed = sum(contact.exceeds_limit for contact in self.contacts)
        return listed + self.evicted_contacts.n_over_limit

    @property
    def mask_rate(self) -> float | None:
        """Time with a mask divided by the time with a known class; 0 to 1, or None."""
        label_s = self.label_s
        known_s = sum(label_s[label] for label in CLASSES)
        return label_s[Label.MASK] / known_s if known_s > 0 else None

    def _duration_s(self, info: VideoInfo) -> float:
        """Return how long the video lasts; a clock that leaps says too much."""
        is_estimate = self.is_complete and info.duration_is_estimate
        return self.analyzed_s if is_estimate else info.duration_s

    def event_time_s(self, event: Event) -> float:
        """Return the time of an event in the video, in seconds."""
        return (
            0.0
            if self.started_at is None
            else (event.at - self.started_at).total_seconds()
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as in the module's description of the JSON."""
        info = self.info
        return {
            "video": to_utf8(self.source),
            "error": to_utf8(self.error) or None,
            "whole": self.is_complete,
            "pipeline": self.pipeline or None,
            "width": None if info is None else info.width,
            "height": None if info is None else info.height,
            "frame_rate": None if info is None else _round(float(info.frame_rate)),
            "frame_rate_assumed": None if info is None else info.rate_is_assumed,
            "duration_s": None if info is None else _round(self._duration_s(info)),
            "has_sound": None if info is None else info.has_sound,
            "images": self.n_frames,
            "analysed_s": _round(self.analyzed_s),
            "seconds": _values_by_key(self.label_s),
            "share_masked": _round(self.mask_rate),
            "people": [_person_to_dict(person) for person in self.people],
            "contacts": [_contact_to_dict(contact) for contact in self.contacts],
            "timeline": [_bin_to_dict(timeline_bin) for timeline_bin in self.timeline],
            "earlier": _evicted_to_dict(self.evicted_people, self.evicted_contacts),
            "began": None if self.started_at is None else _format_utc(self.started_at),
            "n_events": self.n_events,
            "events": [
                _event_to_dict(event, self.event_time_s(event)) for event in self.events
            ],
        }


def reports_to_json(reports: Iterable[VideoReport]) -> str:
    """Return reports as JSON text, one video a line, ended by a line break."""
    lines = ",\n  ".join(
        json.dumps(report.to_dict(), ensure_ascii=False) for report in reports
    )
    videos = f"[\n  {lines}\n]" if lines else "[]"
    return f'{{"version": {REPORT_JSON_VERSION}, "videos": {videos}}}\n'


def _person_to_dict(person: Person) -> dict[str, Any]:
    return {
        "person": person.track_id,
        "first_s": _round(person.first_s),
        "last_s": _round(person.last_s),
        "seen_s": _round(person.seen_s),
        "label": person.label.key,
        "confidence": _round(person.confidence),
        "seconds": _values_by_key(person.label_s),
    }


def _contact_to_dict(contact: Contact) -> dict[str, Any]:
    return {
        "people": [contact.first_id, contact.second_id],
        "first_s": _round(contact.start_s),
        "near_s": _round(contact.total_s),
        "bare_s": _round(contact.unmasked_s),
        "closest": _round(contact.min_distance),
        "unit": contact.unit,
        "too_long": contact.exceeds_limit,
    }


def _evicted_to_dict(
    people: EvictedPeople, contacts: EvictedContacts
) -> dict[str, Any]:
    return {
        "people": people.n_people,
        "worn": {label.key: people.label_counts[label] for label in LABELS},
        "contacts": contacts.n_contacts,
        "too_long": contacts.n_over_limit,
        "near_s": _round(contacts.total_s),
        "bare_s": _round(contacts.unmasked_s),
    }


def _bin_to_dict(timeline_bin: TimelineBin) -> dict[str, Any]:
    return {
        "start_s": _round(timeline_bin.start_s),
        "length_s": _round(timeline_bin.length_s),
        **_values_by_key(timeline_bin.counts),
        "share_masked": _round(timeline_bin.mask_rate),
        "near": timeline_bin.n_contacts,
        "too_long": timeline_bin.n_over_limit,
    }


def _event_to_dict(event: Event, time_s: float) -> dict[str, Any]:
    """Return an event without what all events of a video share."""
    record = event.to_record()
    shared = ("at", "camera", "session")
    rest = {name: value for name, value in record.items() if name not in shared}
    return {"time_s": _round(time_s), **rest}


def _values_by_key(values: dict[Label, float]) -> dict[str, float | None]:
    return {label.key: _round(values[label]) for label in LABELS}


def _format_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _round(value: float | None) -> float | None:
    """Return a number without digits that are noise."""
    return None if value is None else round(value, 3)
