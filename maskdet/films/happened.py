"""What happened in a film: kept for its report, and seen by a witness."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from maskdet.events import Event, EventDetector, StreamInfo
from maskdet.types import Scene

logger = logging.getLogger(__name__)

MAX_EVENTS: Final = 10_000
"""A report keeps the newest so many; a camera may run for months."""


class SceneObserver(Protocol):
    """What is shown every scene of a film, as `maskdet.alerts.watch.StreamMonitor` is."""

    @property
    def stream_info(self) -> StreamInfo:
        """What the film is called in events, and when it began."""
        ...

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        ...

    def end(self) -> Sequence[Event]:
        """Return that everybody left, because the film ended; may be called twice."""
        ...


class EventObserver:
    """A witness who says what happened, and tells nobody else."""

    def __init__(self, stream_info: StreamInfo) -> None:
        """Start at the beginning of a film."""
        self.stream_info = stream_info
        self._event_detector = EventDetector(stream_info)

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        return self._event_detector.update(scene)

    def end(self) -> Sequence[Event]:
        """Return that everybody left, because the film ended."""
        return self._event_detector.end()


class EventCollector:
    """Shows scenes to a witness, whose failures never stop a film.

    Attributes:
        stream_info: what the film is called in events, and when it began.
        n_events: how many there were in all.
    """

    def __init__(self, observer: SceneObserver, max_events: int = MAX_EVENTS) -> None:
        """Start with nothing.

        Args:
            observer: looks at every scene.
            max_events: so many events are kept, the newest.
        """
        self.stream_info = observer.stream_info
        self.n_events = 0
        self._observer = observer
        self._events: deque[Event] = deque(maxlen=max_events)
        self._n_failed = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far, oldest first; of very much, the newest."""
        return tuple(sorted(self._events, key=lambda event: event.at))

    def add(self, scene: Scene) -> None:
        """Show the next scene."""
        self._collect(lambda: self._observer.on_scene(scene))

    def end(self) -> None:
        """Note that everybody left; may be called twice."""
        self._collect(self._observer.end)

    def _collect(self, observe: Callable[[], Sequence[Event]]) -> None:
        try:
            events = observe()
        except Exception:
            # The failures 1, 10, 100 ...: a witness can fail with every picture.
            self._n_failed += 1
            if self._n_failed == 10 ** (len(str(self._n_failed)) - 1):
                logger.exception("events were lost (%d scenes so far)", self._n_failed)
            return
        self.n_events += len(events)
        self._events.extend(events)
