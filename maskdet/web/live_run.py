"""One run of the camera, from Start to Stop: its stream, its people, its witness."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from maskdet.alerts.watch import StreamMonitor
from maskdet.streaming import Stream
from maskdet.types import Image, Scene, Settings
from maskdet.web.live_distance import DistanceGuard
from maskdet.web.live_people import PeopleCount, PeopleCounter


@dataclass(frozen=True, eq=False)
class LiveSnapshot:
    """A frame as it was understood; never changed.

    Attributes:
        image: `(h, w, 3)` uint8 BGR, mirrored if the visitor wants it so.
        scene: who is in it, where they stand, and who was in contact since Start.
        people: how many there are, now and since Start.
        settings: what the frame was looked at with.
    """

    image: Image
    scene: Scene
    people: PeopleCount = field(default_factory=PeopleCount)
    settings: Settings = field(default_factory=Settings)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the frame, in pixels."""
        return self.image.shape[1], self.image.shape[0]


class LiveSession:
    """One run of a camera; frames go in, what is known after each comes out."""

    def __init__(self, stream: Stream, monitor: StreamMonitor | None = None) -> None:
        """Start before the first frame.

        Args:
            stream: looks at the frames.
            monitor: is shown every scene.
        """
        self._stream = stream
        self._monitor = monitor
        self._people_counter = PeopleCounter()
        self._distance_guard = DistanceGuard()
        self._lock = threading.Lock()
        self._started = self._ended = False

    def set_monitor(self, monitor: StreamMonitor | None) -> None:
        """Show the scenes to another witness, unless the run has begun.

        The page is often opened long before Start, and the camera's name may change
        in between.
        """
        with self._lock:
            if not self._started:
                self._monitor = monitor

    def step(self, image: Image, time_s: float, settings: Settings) -> LiveSnapshot:
        """Return what is known after the next frame; see `Stream.step`.

        Settings by which distances cannot be told act as if distance were off:
        `obstacle` says why.
        """
        size_wh = image.shape[1], image.shape[0]
        settings = self._distance_guard.effective_settings(settings, size_wh)
        scene = self._stream.step(image, time_s, settings)
        with self._lock:
            self._started = True
            # The last frame may come after the end, and nobody enters then.
            if self._monitor is not None and not self._ended:
                self._monitor.on_scene(scene)
        return LiveSnapshot(image, scene, self._people_counter.update(scene), settings)

    def end(self) -> None:
        """Note that no frame comes any more; may be called twice."""
        with self._lock:
            self._ended = True
            if self._monitor is not None:
                self._monitor.end()
