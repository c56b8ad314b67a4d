"""What happened in a film: kept for its report, and seen by a witness."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from maskdet.events import Event, Happenings, Origin
from maskdet.types import Scene

logger = logging.getLogger(__name__)

MOST_EVENTS: Final = 10_000
"""A report keeps the newest so many; a camera may run for months."""


class Witness(Protocol):
    """What is shown every scene of a film, as `maskdet.alerts.watch.Witness` is."""

    @property
    def origin(self) -> Origin:
        """What the film is called in events, and when it began."""
        ...

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        ...

    def end(self) -> Sequence[Event]:
        """Return that everybody left, because the film ended; may be called twice."""
        ...


class Onlooker:
    """A witness who says what happened, and tells nobody else."""

    def __init__(self, origin: Origin) -> None:
        """Start at the beginning of a film."""
        self.origin = origin
        self._happenings = Happenings(origin)

    def on_scene(self, scene: Scene) -> Sequence[Event]:
        """Look at the next scene; return what happened."""
        return self._happenings.update(scene)

    def end(self) -> Sequence[Event]:
        """Return that everybody left, because the film ended."""
        return self._happenings.end()


class Happened:
    """Shows scenes to a witness, whose failures never stop a film.

    Attributes:
        origin: what the film is called in events, and when it began.
        n_events: how many there were in all.
    """

    def __init__(self, witness: Witness, most: int = MOST_EVENTS) -> None:
        """Start with nothing.

        Args:
            witness: looks at every scene.
            most: so many events are kept, the newest.
        """
        self.origin = witness.origin
        self.n_events = 0
        self._witness = witness
        self._kept: deque[Event] = deque(maxlen=most)
        self._n_failed = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened so far, oldest first; of very much, the newest."""
        return tuple(sorted(self._kept, key=lambda event: event.at))

    def add(self, scene: Scene) -> None:
        """Show the next scene."""
        self._keep(lambda: self._witness.on_scene(scene))

    def end(self) -> None:
        """Note that everybody left; may be called twice."""
        self._keep(self._witness.end)

    def _keep(self, told: Callable[[], Sequence[Event]]) -> None:
        try:
            events = told()
        except Exception:
            # The failures 1, 10, 100 ...: a witness can fail with every picture.
            self._n_failed += 1
            if self._n_failed == 10 ** (len(str(self._n_failed)) - 1):
                logger.exception("events were lost (%d scenes so far)", self._n_failed)
            return
        self.n_events += len(events)
        self._kept.extend(events)
