"""The report of a video, and its JSON format.

JSON, version 3; times and durations in seconds, distances in `unit`:

    {"version": 3, "videos": [{"video": "lobby.mp4", "error": null,
      "is_complete": true, "pipeline": "onepass-fast detects and classifies, ...",
      "width": 1280, "height": 720, "frame_rate": 29.97, "rate_is_assumed": false,
      "duration_s": 60.0, "has_audio": true, "n_frames": 1798, "analyzed_s": 60.0,
      "label_s": {"mask": 80.1, "no_mask": 12.0, "incorrect": 0.0, "unknown": 4.4},
      "mask_rate": 0.87,
      "people": [{"person": 1, "first_s": 0.2, "last_s": 41.0, "seen_s": 38.2,
        "label": "mask", "confidence": 0.97, "label_s": {"mask": 39.0, ...}}],
      "contacts": [{"people": [1, 2], "start_s": 3.1, "total_s": 9.0,
        "unmasked_s": 0.0, "min_distance": 0.8, "unit": "m", "exceeds_limit": true}],
      "timeline": [{"start_s": 0.0, "length_s": 1.0, "mask": 1.2, "no_mask": 0.0,
        "incorrect": 0.0, "unknown": 0.1, "mask_rate": 1.0, "n_contacts": 0,
        "n_over_limit": 0}],
      "evicted": {"n_people": 0, "label_counts": {"mask": 0, ...}, "n_contacts": 0,
        "n_over_limit": 0, "total_s": 0.0, "unmasked_s": 0.0},
      "started_at": "2026-11-21T10:00:00.000Z", "n_events": 2,
      "events": [{"time_s": 1.2, "kind": "entered", "person": 1, "label": "unknown",
        ...}]}]}

`person` and `people` of a contact are track IDs. `label_s` is the time with each label,
summed over people: two people with a mask for 10 s give 20. `mask_rate` is the time
with a mask divided by the time with a known class, or null. A video that breaks off,
such as an incomplete copy, has an `error` and the results until then. `is_complete` is
false for it, and for a video that was stopped. `rate_is_assumed` means that a file
without times, such as raw H.264, has no frame rate either, so that all times are
estimates. Only the newest people and the most important pairs are listed; `evicted` has
the sums of the others, which are part of `label_s` too. `events` are the newest of
`n_events`, with the fields of `maskdet.events.Event`. `started_at` is the date of the
recording if it is known, else that of the analysis.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from maskdet.events import Event
from maskdet.events.event import format_utc
from maskdet.media import VideoInfo
from maskdet.people import (
    EvictedContacts,
    EvictedPeople,
    LabelSpan,
    Person,
    TimelineBin,
)
from maskdet.results_io import iterate_json_list, to_utf8
from maskdet.types import CLASSES, Contact, Label

REPORT_JSON_VERSION: Final = 3
"""Incremented when a field is changed or removed, not when one is added."""


@dataclass(frozen=True)
class VideoReport:
    """The result of one video: people, timeline, contacts and events.

    Examples:
        >>> report = maskdet.analyze_video("lobby.mp4", every=2)
        >>> report.is_complete, report.n_people, 0 < report.mask_rate < 1
        (True, 3, True)

    Attributes:
        source: path or URL of the video, without a password.
        info: the video's metadata; None if it could not be opened.
        n_frames: how many frames were analyzed.
        analyzed_s: up to which time of the video, in seconds.
        timeline: people by class and contacts over time.
        people: the people, in order of their first detection; of more than 10,000
            people, the newest.
        contacts: pairs who were in contact, sorted by the time without a mask; of more
            than 10,000 pairs, the most important.
        out: the annotated video, if one was written.
        is_complete: whether the video was analyzed to its end.
        error: one line if the video breaks off or cannot be read, else empty.
        note: one line if the annotated video lacks something, else empty.
        started_at: the date and time of second 0, in UTC.
        events: the events, oldest first; of more than 10,000 events, the newest.
        n_events: the total number of events.
        evicted_people: sums of the people who are not in `people`.
        evicted_contacts: sums of the pairs that are not in `contacts`.
        pipeline: the detector and the classifier, in one line.
        label_spans: when each person had which label, by track ID; not in the JSON. Of
            more than 20,000 spans, those of the people who came last.
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
    label_spans: Mapping[int, tuple[LabelSpan, ...]] = field(
        default_factory=dict, repr=False
    )

    @property
    def label_s(self) -> dict[Label, float]:
        """The time with each label, summed over people."""
        return {
            label: self.evicted_people.label_s[label]
            + sum(person.label_s[label] for person in self.people)
            for label in Label
        }

    @property
    def n_people(self) -> int:
        """The total number of people."""
        return len(self.people) + self.evicted_people.n_people

    @property
    def label_counts(self) -> Counter[Label]:
        """The number of people by the class they had for most of the time."""
        return Counter(person.label for person in self.people) + Counter(
            self.evicted_people.label_counts
        )

    @property
    def n_contacts(self) -> int:
        """The total number of pairs who were in contact."""
        return len(self.contacts) + self.evicted_contacts.n_contacts

    @property
    def n_over_limit(self) -> int:
        """The number of pairs whose contact exceeds the limit."""
        listed = sum(contact.exceeds_limit for contact in self.contacts)
        return listed + self.evicted_contacts.n_over_limit

    @property
    def mask_rate(self) -> float | None:
        """Time with a mask divided by the time with a known class; 0 to 1, or None."""
        label_s = self.label_s
        known_s = sum(label_s[label] for label in CLASSES)
        return label_s[Label.MASK] / known_s if known_s > 0 else None

    def _duration_s(self, info: VideoInfo) -> float:
        """Return the duration; an estimate from jumping timestamps is replaced."""
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
        """Return the report as a dictionary in the JSON format of this module."""
        info = self.info
        return {
            "video": to_utf8(self.source),
            "error": to_utf8(self.error) or None,
            "is_complete": self.is_complete,
            "pipeline": self.pipeline or None,
            "width": info and info.width,
            "height": info and info.height,
            "frame_rate": info and _to_json(float(info.frame_rate)),
            "rate_is_assumed": info and info.rate_is_assumed,
            "duration_s": info and _to_json(self._duration_s(info)),
            "has_audio": info and info.has_audio,
            "n_frames": self.n_frames,
            "analyzed_s": _to_json(self.analyzed_s),
            "label_s": _to_json(self.label_s),
            "mask_rate": _to_json(self.mask_rate),
            "people": [
                {"person": person.track_id, **_list_fields(person, "track_id", "crop")}
                for person in self.people
            ],
            "contacts": [
                {
                    "people": [contact.first_id, contact.second_id],
                    **_list_fields(contact, "first_id", "second_id", "longest_s"),
                }
                for contact in self.contacts
            ],
            "timeline": [
                timeline_bin_to_dict(timeline_bin) for timeline_bin in self.timeline
            ],
            "evicted": {
                **_list_fields(self.evicted_people, "label_s"),
                **_list_fields(self.evicted_contacts),
            },
            "started_at": self.started_at and format_utc(self.started_at),
            "n_events": self.n_events,
            "events": [
                _event_to_dict(event, self.event_time_s(event)) for event in self.events
            ],
        }


def reports_to_json(reports: Iterable[VideoReport]) -> str:
    """Return reports as JSON text with one video per line."""
    return "".join(iterate_reports_json(report.to_dict() for report in reports))


def iterate_reports_json(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the text of `reports_to_json` in pieces, from `VideoReport.to_dict`."""
    yield f'{{"version": {REPORT_JSON_VERSION}, "videos": '
    yield from iterate_json_list(records)
    yield "}\n"


def timeline_bin_to_dict(timeline_bin: TimelineBin) -> dict[str, Any]:
    """Return a time bin as in the JSON of a report."""
    return {
        "start_s": _to_json(timeline_bin.start_s),
        "length_s": _to_json(timeline_bin.length_s),
        **_to_json(timeline_bin.counts),
        "mask_rate": _to_json(timeline_bin.mask_rate),
        "n_contacts": timeline_bin.n_contacts,
        "n_over_limit": timeline_bin.n_over_limit,
    }


def _event_to_dict(event: Event, time_s: float) -> dict[str, Any]:
    """Return an event without the fields that are the same in the whole video."""
    record = event.to_record()
    for name in ("at", "camera", "session"):
        del record[name]
    return {"time_s": _to_json(time_s), **record}


def _list_fields(record: Any, *left_out: str) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON values."""
    return {
        member.name: _to_json(getattr(record, member.name))
        for member in fields(record)
        if member.name not in left_out
    }


def _to_json(value: Any) -> Any:
    """Return a value with classes as keys and numbers of three decimals."""
    if isinstance(value, Label):
        return value.key
    if isinstance(value, dict):
        return {label.key: _to_json(value[label]) for label in Label}
    return round(value, 3) if isinstance(value, float) else value
