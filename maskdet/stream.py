"""A stream of images, each seen with the settings of the moment."""

from __future__ import annotations

import dataclasses
import math

from maskdet.analyzer import Analyzer
from maskdet.types import Image, Scene, Settings


class Stream:
    """One camera or film, seen image by image.

    Attributes:
        settings: may be replaced at any time; the next `step` obeys.
    """

    def __init__(self, analyzer: Analyzer, settings: Settings | None = None) -> None:
        """Start a stream.

        Args:
            analyzer: looks at each image.
            settings: what counts as a face and as a sure label.
        """
        self.settings = Settings() if settings is None else settings
        self._analyzer = analyzer
        self._time_s = -math.inf

    def step(self, image: Image, time_s: float) -> Scene:
        """Return the scene in the next image.

        Args:
            image: `(h, w, 3)` uint8, BGR; not changed.
            time_s: when it was taken, in seconds; never earlier than the last one.

        Raises:
            ValueError: time went back or is not a number.
        """
        if not time_s >= self._time_s:
            raise ValueError(
                f"time must not go back: {time_s} s after {self._time_s} s"
            )
        self._time_s = time_s
        scene = self._analyzer.analyze(image, self.settings)
        return dataclasses.replace(scene, time_s=time_s)
