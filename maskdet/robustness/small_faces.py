"""Small faces: detection and classification of portraits pasted into scenes.

Portraits (`index.csv`) show people who are not in the training scenes, but no crowds
and no distant faces. So they are scaled down and pasted on synthetic walls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskdet.analyzers.pipelines import Analyzer
from maskdet.boxes import Boxes
from maskdet.datasets import Example
from maskdet.media import read_image, resize_image
from maskdet.metrics.intervals import (
    Estimate,
    MetricsReport,
    poisson_rate,
    proportion_of,
)
from maskdet.settings import Settings
from maskdet.synthetic.backgrounds import SIZE_WH, draw_background
from maskdet.types import Image, Label, Scene

IMAGE_SIDES_PX: Final = (40, 80, 160)
"""Longer sides to which the portraits are scaled; the face takes about half of it."""

_GAP_PX: Final = 12
"""Smallest gap between two portraits, so that slightly large boxes do not overlap."""


@dataclass(frozen=True)
class SmallFaceReport(MetricsReport):
    """Results on pasted portraits by their longer side in pixels.

    Attributes:
        recall: fraction of the portraits with a detected face.
        accuracy: accuracy of mask against no mask for the detected faces; incorrect
            counts as masked, unknown as wrong.
        false_positives: detections on the wall between the portraits, per scene.
    """

    recall: dict[int, Estimate]
    accuracy: dict[int, Estimate]
    false_positives: Estimate


def evaluate_small_faces(
    analyzer: Analyzer,
    examples: Iterable[Example],
    settings: Settings,
    *,
    seed: int = 0,
) -> SmallFaceReport:
    """Paste images of one face into synthetic scenes, once per size, and evaluate them.

    Args:
        analyzer: the analyzer.
        examples: images of one face; scenes are skipped.
        settings: detection settings.
        seed: random seed of walls and places.
    """
    portraits = [example for example in examples if example.is_crop]
    images = [read_image(example.path) for example in portraits]
    masked = [example.label_values[0] != Label.NO_MASK for example in portraits]
    recalls: dict[int, Estimate] = {}
    accuracies: dict[int, Estimate] = {}
    false_positives: list[int] = []
    for side_px in IMAGE_SIDES_PX:
        outcomes: list[bool | None] = []
        for rows, image, boxes in _compose_scenes(images, side_px, (seed, side_px)):
            scene = analyzer.analyze(image, settings)
            predicted, n_outside = _predict_in_boxes(scene, boxes)
            false_positives.append(n_outside)
            for row, label in zip(rows, predicted, strict=True):
                outcomes.append(
                    None if label is None else _is_correct(label, masked[row])
                )
        detected_outcomes = [outcome for outcome in outcomes if outcome is not None]
        recalls[side_px] = proportion_of([outcome is not None for outcome in outcomes])
        accuracies[side_px] = proportion_of(detected_outcomes)
    return SmallFaceReport(recalls, accuracies, poisson_rate(false_positives))


def _is_correct(label: Label, masked: bool) -> bool:
    return label != Label.UNKNOWN and (label != Label.NO_MASK) == masked


def _compose_scenes(
    images: Sequence[Image], side_px: int, seed: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Image, Boxes]]:
    """Yield scenes: indices of the portraits, the image, and their boxes."""
    rng = np.random.default_rng(seed)
    cell_px = side_px + _GAP_PX
    n_columns, n_rows = SIZE_WH[0] // cell_px, SIZE_WH[1] // cell_px
    order = rng.permutation(len(images)).tolist()
    images_per_scene = max(1, n_columns * n_rows // 2)
    for start in range(0, len(order), images_per_scene):
        rows = tuple(order[start : start + images_per_scene])
        image = draw_background(rng)
        cells = rng.choice(n_columns * n_rows, len(rows), replace=False)
        boxes = np.zeros((len(rows), 4), np.float32)
        for index, (row, cell_index) in enumerate(zip(rows, cells, strict=True)):
            small = resize_image(images[row], side_px / max(images[row].shape[:2]))
            height, width = small.shape[:2]
            row_index, column = divmod(cell_index, n_columns)
            x = column * cell_px + _GAP_PX // 2 + (side_px - width) // 2
            y = row_index * cell_px + _GAP_PX // 2 + (side_px - height) // 2
            image[y : y + height, x : x + width] = small
            boxes[index] = x, y, x + width, y + height
        yield rows, image, boxes


def _predict_in_boxes(scene: Scene, boxes: Boxes) -> tuple[list[Label | None], int]:
    """Return the prediction in each box and the number of detections outside.

    A detection belongs to the box that contains its centre; of several, the one with
    the highest score is used.
    """
    centres = (scene.faces.boxes[:, :2] + scene.faces.boxes[:, 2:]) / 2
    x, y = centres[:, 0, None], centres[:, 1, None]
    inside = (x > boxes[:, 0]) & (x < boxes[:, 2])
    inside &= (y > boxes[:, 1]) & (y < boxes[:, 3])
    predicted = [
        scene.labels[int(inside[:, index].argmax())] if inside[:, index].any() else None
        for index in range(len(boxes))
    ]
    return predicted, len(scene) - int(inside.any(axis=1).sum())
