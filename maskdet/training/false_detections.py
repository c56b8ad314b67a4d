"""What the one-pass network takes for faces where there are none: crops to unlearn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes
from maskdet.classifier import crop_face
from maskdet.onepass import Resize, SingleStage, SingleStageNetwork
from maskdet.training.augment import PACKED_CONTEXT
from maskdet.training.onepass.scenes import TrainingImage
from maskdet.training.samples import NO_FACE, PACKED_PX, PackedCrops, ProgressWrapper
from maskdet.training.workers import map_parallel
from maskdet.types import Image, Settings

_SCALINGS: Final = (Resize(640, 2.0), Resize(320, 1.0))
"""How large the network sees a picture: as `onepass` and as `onepass-fast`."""

_MIN_SCORE: Final = 0.08
"""Weaker detections are never shown, at any threshold that is of use."""

_MAX_DETECTIONS: Final = 12
"""Detections of one picture and scaling, the best first."""

_MIN_SIDE_PX: Final = 10.0


class FalsePositiveMiner:
    """Finds boxes in pictures without a face that look like one to the network."""

    def __init__(self, network: str | Path) -> None:
        """Load the one-pass network.

        Args:
            network: its LiteRT file.

        Raises:
            FileNotFoundError: there is no such file.
            RuntimeError: it is not a one-pass network.
        """
        onepass_network = SingleStageNetwork(network)
        self._analyzers = [
            SingleStage(onepass_network, scaling) for scaling in _SCALINGS
        ]

    def detect_boxes(self, image: Image) -> Boxes:
        """Return the `(n, 4)` boxes of all looks, those of one look best first."""
        parts = [np.zeros((0, 4), np.float32)]
        for analyzer in self._analyzers:
            faces = analyzer.analyze(image, Settings.permissive()).faces
            sides = (faces.boxes[:, 2:] - faces.boxes[:, :2]).min(axis=1, initial=1e9)
            rows = (faces.scores >= _MIN_SCORE) & (sides >= _MIN_SIDE_PX)
            parts.append(faces.boxes[rows][:_MAX_DETECTIONS])
        return np.concatenate(parts)

    def make_packed_crops(
        self, negatives: Sequence[TrainingImage], progress: ProgressWrapper
    ) -> PackedCrops:
        """Return the crops to train on, packed as those of faces."""
        crops_and_kinds = self._cut_crops(
            negatives, PACKED_PX, PACKED_CONTEXT, progress
        )
        n = len(crops_and_kinds)
        shape = (-1, PACKED_PX, PACKED_PX, 3)
        return PackedCrops(
            images=np.array([crop for crop, _ in crops_and_kinds], np.uint8).reshape(
                shape
            ),
            labels=np.full(n, NO_FACE, np.int64),
            sources=np.array(
                [f"no-face-{kind}" for _, kind in crops_and_kinds], np.str_
            ),
            whole=np.zeros(n, np.bool_),
            drawn=np.zeros(n, np.bool_),
        )

    def make_evaluation_crops(
        self,
        negatives: Sequence[TrainingImage],
        size_px: int,
        context: float,
        progress: ProgressWrapper,
    ) -> NDArray[np.uint8]:
        """Return the `(n, size_px, size_px, 3)` crops to judge by, as at run time."""
        crops_and_kinds = self._cut_crops(negatives, size_px, context, progress)
        crops = [crop for crop, _ in crops_and_kinds]
        return np.array(crops, np.uint8).reshape(-1, size_px, size_px, 3)

    def _cut_crops(
        self,
        negatives: Sequence[TrainingImage],
        size_px: int,
        context: float,
        progress: ProgressWrapper,
    ) -> list[tuple[Image, str]]:
        def cut(negative: TrainingImage) -> list[tuple[Image, str]]:
            return [
                (
                    crop_face(negative.image, box, size_px, context=context),
                    negative.source,
                )
                for box in self.detect_boxes(negative.image)
            ]

        return [
            item for crops in map_parallel(cut, negatives, progress) for item in crops
        ]
