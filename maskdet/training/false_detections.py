"""What the one-pass network takes for faces where there are none: crops to unlearn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.classifier import crop_face
from maskdet.onepass import Network, OnePass, Scaling
from maskdet.training.augment import PACKED_CONTEXT
from maskdet.training.onepass.scenes import Place
from maskdet.training.samples import NO_FACE, PACKED_PX, Progress, Samples
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Settings

_SCALINGS: Final = (Scaling(640, 2.0), Scaling(320, 1.0))
"""How large the network sees a picture: as `onepass` and as `onepass-fast`."""

_LEAST_SCORE: Final = 0.08
"""Weaker detections are never shown, at any threshold that is of use."""

_MOST: Final = 12
"""Detections of one picture and scaling, the best first."""

_LEAST_PX: Final = 10.0


class FalseDetections:
    """Finds boxes in pictures without a face that look like one to the network."""

    def __init__(self, network: str | Path) -> None:
        """Load the one-pass network.

        Args:
            network: its LiteRT file.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: it is not a one-pass network.
        """
        loaded = Network(network)
        self._looks = [OnePass(loaded, scaling) for scaling in _SCALINGS]

    def boxes(self, image: Image) -> Boxes:
        """Return the `(n, 4)` boxes of all looks, those of one look best first."""
        parts = [np.zeros((0, 4), np.float32)]
        for look in self._looks:
            faces = look.analyze(image, Settings.permissive()).faces
            sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1, initial=1e9)
            rows = (faces.scores >= _LEAST_SCORE) & (sides >= _LEAST_PX)
            parts.append(faces.boxes[rows][:_MOST])
        return np.concatenate(parts)

    def samples(self, places: Sequence[Place], progress: Progress) -> Samples:
        """Return the crops to train on, packed as those of faces."""
        cut = self._cut(places, PACKED_PX, PACKED_CONTEXT, progress)
        n = len(cut)
        shape = (-1, PACKED_PX, PACKED_PX, 3)
        return Samples(
            images=np.array([crop for crop, _ in cut], np.uint8).reshape(shape),
            labels=np.full(n, NO_FACE, np.int64),
            sources=np.array([f"no-face-{kind}" for _, kind in cut], np.str_),
            whole=np.zeros(n, np.bool_),
            drawn=np.zeros(n, np.bool_),
        )

    def crops(
        self, places: Sequence[Place], size_px: int, context: float, progress: Progress
    ) -> NDArray[np.uint8]:
        """Return the `(n, size_px, size_px, 3)` crops to judge by, as at run time."""
        cut = self._cut(places, size_px, context, progress)
        crops = [crop for crop, _ in cut]
        return np.array(crops, np.uint8).reshape(-1, size_px, size_px, 3)

    def _cut(
        self, places: Sequence[Place], size_px: int, context: float, progress: Progress
    ) -> list[tuple[Image, str]]:
        def cut(place: Place) -> list[tuple[Image, str]]:
            return [
                (crop_face(place.image, box, size_px, context=context), place.source)
                for box in self.boxes(place.image)
            ]

        return [one for crops in map_parallel(cut, places, progress) for one in crops]
