"""`RunHistory`: people by class, mask rate and events of a live run over time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

import numpy as np

from maskdet.boxes import clip_boxes
from maskdet.events import Event
from maskdet.media import encode_jpeg, resize_image
from maskdet.people import TimelineBin
from maskdet.types import Image, Label, Scene

RECENT_S: Final = 60
"""Length of `LiveHistory.recent_counts`, in seconds."""

MAX_RECENT_EVENTS: Final = 6
"""Number of events on the page."""

_CROP_MARGIN: Final = 0.2

_CROP_SIDE_PX: Final = 72


@dataclass(frozen=True, eq=False)
class RecentEvent:
    """An event with the face of its person.

    Attributes:
        event: an event or an alert.
        crop: the face at that moment as a JPEG file; empty unless crops are kept.
    """

    event: Event
    crop: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, eq=False)
class LiveHistory:
    """A run over time; immutable.

    Attributes:
        recent_counts: of each label the mean number of people in each of the last
            `RECENT_S` seconds, oldest first; None for a second without an analyzed
            frame. Empty before the first one.
        timeline: the whole run, with times since its first frame; at most some seconds
            old.
        events: the newest `MAX_RECENT_EVENTS` events and alerts by time, newest first.
        n_alerts: number of alerts since Start.
    """

    recent_counts: Mapping[Label, tuple[float | None, ...]] = field(
        default_factory=lambda: MappingProxyType(dict.fromkeys(Label, ()))
    )
    timeline: tuple[TimelineBin, ...] = ()
    events: tuple[RecentEvent, ...] = ()
    n_alerts: int = 0


class RunHistory:
    """Collects the `LiveHistory` of one run; not thread-safe.

    Attributes:
        n_alerts: number of alerts so far.
    """

    def __init__(self) -> None:
        """Start before the first frame."""
        self._seconds: deque[tuple[int, int, Counter[Label]]] = deque()
        self._events: list[RecentEvent] = []
        self.n_alerts = 0

    def add_counts(self, now_s: float, counts: Mapping[Label, int]) -> None:
        """Count the people of a frame.

        Args:
            now_s: the time, in seconds; not earlier than the last one.
            counts: people by label.
        """
        second = int(now_s)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, 0, Counter()))
        _, n_frames, totals = self._seconds[-1]
        totals.update(counts)
        self._seconds[-1] = second, n_frames + 1, totals
        while self._seconds[0][0] <= second - RECENT_S:
            self._seconds.popleft()

    def add_events(
        self, events: tuple[Event, ...], scene: Scene, image: Image | None = None
    ) -> None:
        """Add the events of a frame.

        Args:
            events: events and alerts, oldest first.
            scene: the scene of the frame.
            image: the frame, to keep faces; None to keep none, and to drop those of
                earlier events.
        """
        if image is None and any(recent.crop for recent in self._events):
            self._events = [RecentEvent(recent.event) for recent in self._events]
        self.n_alerts += sum(event.kind == "alert" for event in events)
        for event in sorted(events, key=_get_time)[-MAX_RECENT_EVENTS:]:
            crop = b"" if image is None else _cut_face(event.person, scene, image)
            self._events.append(RecentEvent(event, crop))
        # That somebody left is known later than the events after it.
        self._events.sort(key=lambda recent: _get_time(recent.event))
        del self._events[:-MAX_RECENT_EVENTS]

    def get(self, now_s: float, timeline: tuple[TimelineBin, ...] = ()) -> LiveHistory:
        """Return the history until now.

        Args:
            now_s: the time, in seconds.
            timeline: the bins of the whole run.
        """
        bins = {second: (n, totals) for second, n, totals in self._seconds}
        # The current second is not over, but the page should not be late.
        seconds = range(int(now_s) - RECENT_S + 1, int(now_s) + 1) if bins else ()
        recent = [bins.get(second) for second in seconds]
        counts = {
            label: tuple(
                None if known is None else known[1][label] / known[0]
                for known in recent
            )
            for label in Label
        }
        return LiveHistory(
            MappingProxyType(counts),
            timeline,
            tuple(reversed(self._events)),
            self.n_alerts,
        )


def _get_time(event: Event) -> datetime:
    return event.at


def _cut_face(track_id: int, scene: Scene, image: Image) -> bytes:
    """Return a small JPEG of a person's face; empty if it is not in the scene."""
    rows = np.flatnonzero(np.asarray(scene.track_ids) == track_id)
    if not len(rows):
        return b""
    box = scene.faces.boxes[rows[0]]
    width, height = box[2] - box[0], box[3] - box[1]
    margin = np.array([-width, -height, width, height], np.float32) * _CROP_MARGIN
    clipped = clip_boxes((box + margin)[None], image.shape[1], image.shape[0])[0]
    x1, y1, x2, y2 = (int(corner) for corner in clipped)
    if x2 - x1 < 2 or y2 - y1 < 2:
        return b""
    scale = min(1.0, _CROP_SIDE_PX / max(x2 - x1, y2 - y1))
    return encode_jpeg(resize_image(image[y1:y2, x1:x2], scale))
