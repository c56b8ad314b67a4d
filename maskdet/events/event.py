"""`Event`, an event of a tracked person, its CSV, and `StreamInfo`, its stream."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from maskdet.atomic_file import AtomicFile, TextWriter
from maskdet.results_io import escape_formula
from maskdet.style import DEFAULT_STYLE, Style
from maskdet.types import UNTRACKED, Label

EVENT_KINDS: Final[Mapping[str, str]] = {
    "entered": "Entered",
    "classified": "Classified",
    "changed": "Class changed",
    "close": "Too close",
    "alert": "Alert",
    "left": "Left",
}
"""Kinds of events: the key in files, and the title shown to users."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

JSON_VERSION: Final = 2
"""Version of the JSON format; increases when a field is removed or changes meaning."""

_LABELS_BY_KEY: Final = {label.key: label for label in Label}

MAX_CAMERA_NAME_LENGTH = 60
"""Maximum length of a camera name, in characters."""


def format_utc(moment: datetime) -> str:
    """Return a time in UTC as text, to the millisecond."""
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@dataclass(frozen=True)
class Event:
    """Event of a tracked person.

    Examples:
        >>> report = maskdet.analyze_video("lobby.mp4", every=5)
        >>> report.events[0].kind
        'entered'

    Attributes:
        kind: a name in `EVENT_KINDS`.
        at: time in UTC.
        camera: name of the camera or video.
        session: one run of a stream; the same track ID in another session is another
            person.
        person: track ID, or `UNTRACKED` for an event about several people.
        label: the class of the person.
        confidence: of that class, in [0, 1].
        before: the class before, for `changed`.
        other: track ID of the other person, or `UNTRACKED`.
        distance: to the other person, in `unit`; 0 without another person.
        unit: `m` or `heads`, or an empty string.
        for_s: duration in seconds: of the stay for `left`, else of the state.
        rule: for `alert`, the rule that raised it.
        count: for an alert about several people, their number; else 0.
    """

    kind: str
    at: datetime
    camera: str
    session: str
    person: int = UNTRACKED
    label: Label = Label.UNKNOWN
    confidence: float = 0.0
    before: Label | None = None
    other: int = UNTRACKED
    distance: float = 0.0
    unit: str = ""
    for_s: float = 0.0
    rule: str = ""
    count: int = 0

    def __post_init__(self) -> None:
        """Reject an unknown kind and a time without a time zone."""
        if self.kind not in EVENT_KINDS:
            kinds = ", ".join(EVENT_KINDS)
            raise ValueError(f"kind must be one of {kinds}, not {self.kind!r}")
        if self.at.tzinfo is None:
            raise ValueError("at must have a time zone, as datetime.now(UTC) has")
        object.__setattr__(self, "at", self.at.astimezone(UTC))

    @property
    def at_ms(self) -> int:
        """Time in whole milliseconds since 1970 in UTC."""
        return round(self.at.timestamp() * 1e3)

    def to_record(self) -> dict[str, str | int | float | None]:
        """Return the event as a flat record; a field that does not apply is None."""
        # isoformat would truncate; the database rounds.
        at = _EPOCH + timedelta(milliseconds=self.at_ms)
        return {
            "kind": self.kind,
            "at": format_utc(at),
            "camera": self.camera,
            "session": self.session,
            "person": None if self.person == UNTRACKED else self.person,
            "label": self.label.key,
            "confidence": round(self.confidence, 4),
            "before": None if self.before is None else self.before.key,
            "other": None if self.other == UNTRACKED else self.other,
            "distance": round(self.distance, 2) if self.unit else None,
            "unit": self.unit or None,
            "for_s": round(self.for_s, 2),
            "rule": self.rule or None,
            "count": self.count or None,
        }

    def to_json(self) -> str:
        """Return the event as one line of JSON, the format of webhooks and MQTT."""
        return json.dumps(
            {"version": JSON_VERSION, **self.to_record()}, ensure_ascii=False
        )


EVENT_COLUMNS: Final = tuple(Event("entered", datetime.now(UTC), "", "").to_record())
"""Keys of `Event.to_record` in order: the columns of a CSV file."""


class EventCsvWriter:
    """Writes events as CSV to a text stream."""

    def __init__(self, stream: TextWriter) -> None:
        """Write the header."""
        self._writer = csv.writer(stream, lineterminator="\n")
        self._writer.writerow(EVENT_COLUMNS)

    def add(self, events: Iterable[Event]) -> int:
        """Write events, and return their number."""
        n_events = 0
        for event in events:
            values = event.to_record().values()
            self._writer.writerow(
                escape_formula(value) if isinstance(value, str) else value
                for value in values
            )
            n_events += 1
        return n_events


class EventCsvFile(AtomicFile, EventCsvWriter):
    """An `EventCsvWriter` to a file that appears only once it is complete."""

    def __init__(self, target: str | Path) -> None:
        """Create the file and write the header.

        Raises:
            OSError: the file cannot be created.
        """
        AtomicFile.__init__(self, target, "events")
        EventCsvWriter.__init__(self, self)


def parse_label(key: str | None) -> Label:
    """Return the label with this `Label.key`, or `UNKNOWN`."""
    return _LABELS_BY_KEY.get(key or "", Label.UNKNOWN)


def describe_event(event: Event, style: Style = DEFAULT_STYLE) -> str:
    """Describe an event in a few words, without its time: "Person 3: No mask"."""
    who = "A person" if event.person == UNTRACKED else f"Person {event.person}"
    label = style.title(event.label)
    distance = f", {event.distance:.1f} {event.unit} apart" if event.unit else ""
    pair = f"{who} and person {event.other}{distance}"
    if event.kind == "alert":
        return _describe_alert(event, who, pair, style)
    previous_label = (
        f"{style.title(event.before)}, now " if event.before is not None else ""
    )
    return {
        "entered": f"{who} entered",
        "classified": f"{who}: {label}",
        "changed": f"{who}: {previous_label}{label}",
        "close": f"{pair}: too close",
        "left": f"{who} left after {event.for_s:.0f} s, {label}",
    }[event.kind]


def _describe_alert(event: Event, who: str, pair: str, style: Style) -> str:
    camera = f" ({event.camera})" if event.camera else ""
    if event.count:
        return f"{event.count} people without a mask{camera}"
    if event.other != UNTRACKED:
        return f"{pair}: too close without a mask{camera}"
    return f"{who}: {style.title(event.label)}{camera}"


def clean_camera_name(text: str) -> str:
    """Return a camera name as one line of printable characters, cut if too long."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(line.split())[:MAX_CAMERA_NAME_LENGTH].strip()


def _create_session_id() -> str:
    return uuid.uuid4().hex[:16]


@dataclass(frozen=True)
class StreamInfo:
    """Name, start and session of one run of a stream.

    Attributes:
        camera: name of the camera or video.
        start_utc: wall-clock time at which `Scene.time_s` is 0, with a time zone.
        session: unique ID of this run; generated by default.
    """

    camera: str
    start_utc: datetime
    session: str = field(default_factory=_create_session_id)

    def __post_init__(self) -> None:
        """Clean the name, and convert the time to UTC."""
        if self.start_utc.tzinfo is None:
            raise ValueError(
                "start_utc must have a time zone, as datetime.now(UTC) has"
            )
        object.__setattr__(self, "camera", clean_camera_name(self.camera))
        object.__setattr__(self, "start_utc", self.start_utc.astimezone(UTC))

    @classmethod
    def now(cls, camera: str, clock_s: float = 0.0) -> StreamInfo:
        """Return the information of a stream that starts now.

        Args:
            camera: name of the camera.
            clock_s: current value of the clock of `Scene.time_s`, in seconds.
        """
        return cls(camera, datetime.now(UTC) - timedelta(seconds=clock_s))

    def to_utc(self, time_s: float) -> datetime:
        """Return the wall-clock time of a stream time, in UTC."""
        return self.start_utc + timedelta(seconds=time_s)
