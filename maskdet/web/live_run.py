"""One run of the camera, from Start to Stop: its stream, its people, its witness."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from maskdet.alerts.watch import Witness
from maskdet.streaming import Stream
from maskdet.types import Image, Scene, Settings
from maskdet.web.live_distance import Measurable
from maskdet.web.live_people import People, Roll


@dataclass(frozen=True, eq=False)
class View:
    """A frame as it was understood; never changed.

    Attributes:
        image: `(h, w, 3)` uint8 BGR, mirrored if the visitor wants it so.
        scene: who is in it, where they stand, and who was in contact since Start.
        people: how many there are, now and since Start.
        settings: what the frame was looked at with.
    """

    image: Image
    scene: Scene
    people: People = field(default_factory=People)
    settings: Settings = field(default_factory=Settings)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the frame, in pixels."""
        return self.image.shape[1], self.image.shape[0]


class Run:
    """One run of a camera; frames go in, what is known after each comes out."""

    def __init__(self, stream: Stream, witness: Witness | None = None) -> None:
        """Start before the first frame.

        Args:
            stream: looks at the frames.
            witness: is shown every scene.
        """
        self._stream = stream
        self._witness = witness
        self._roll = Roll()
        self._measurable = Measurable()
        self._lock = threading.Lock()
        self._begun = self._ended = False

    def watch(self, witness: Witness | None) -> None:
        """Show the scenes to another witness, unless the run has begun.

        The page is often opened long before Start, and the camera's name may change
        in between.
        """
        with self._lock:
            if not self._begun:
                self._witness = witness

    def step(self, image: Image, time_s: float, settings: Settings) -> View:
        """Return what is known after the next frame; see `Stream.step`.

        Settings by which distances cannot be told act as if distance were off:
        `obstacle` says why.
        """
        size_wh = image.shape[1], image.shape[0]
        settings = self._measurable.settings(settings, size_wh)
        scene = self._stream.step(image, time_s, settings)
        with self._lock:
            self._begun = True
            # The last frame may come after the end, and nobody enters then.
            if self._witness is not None and not self._ended:
                self._witness.on_scene(scene)
        return View(image, scene, self._roll.update(scene), settings)

    def end(self) -> None:
        """Note that no frame comes any more; may be called twice."""
        with self._lock:
            self._ended = True
            if self._witness is not None:
                self._witness.end()
