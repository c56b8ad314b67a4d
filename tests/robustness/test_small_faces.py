"""Portraits pasted on walls: recall, accuracy and false positives."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskdet.boxes import Boxes
from maskdet.datasets import Example
from maskdet.robustness.small_faces import IMAGE_SIDES_PX, evaluate_small_faces
from maskdet.settings import Settings
from maskdet.types import Faces, Image, Label, Scene

# Colours that no wall has, one for each class.
WORN_BGR = {Label.MASK: (255, 0, 255), Label.NO_MASK: (255, 255, 0)}


class Spotter:
    """Detects coloured squares of a minimal width, and classifies them by colour."""

    def __init__(self, least_px: int = 1, swapped: bool = False, extra: bool = False):
        self.least_px, self.swapped, self.extra = least_px, swapped, extra

    def analyze(self, image: Image, settings: Settings | None = None) -> Scene:
        boxes: list[tuple[int, ...]] = [(0, 0, 4, 4)] if self.extra else []
        labels = [Label.MASK] * len(boxes)
        for label, colour in WORN_BGR.items():
            same = (image == colour).all(axis=2).astype(np.uint8)
            for x, y, w, h, _ in cv2.connectedComponentsWithStats(same)[2][1:]:
                if w >= self.least_px:
                    boxes.append((x, y, x + w, y + h))
                    labels.append(Label(1 - label) if self.swapped else label)
        probs = np.eye(3, dtype=np.float32)[[int(label) for label in labels]]
        found: Boxes = np.array(boxes, np.float32).reshape(-1, 4)
        scores = np.linspace(0.9, 0.8, len(found)).astype(np.float32)
        return Scene(Faces(found, scores), probs.reshape(-1, 3))


@pytest.fixture
def portraits(tmp_path: Path) -> list[Example]:
    examples = []
    for number in range(30):
        label = Label.MASK if number < 10 else Label.NO_MASK
        image = np.full((200, 200, 3), 90, np.uint8)
        image[50:150, 50:150] = WORN_BGR[label]
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), image)
        examples.append(Example(path, np.zeros((0, 4), np.float32), (label,)))
    return examples


def test_each_portrait_is_evaluated_once_per_size(portraits):
    report = evaluate_small_faces(Spotter(), portraits, Settings())
    assert {px: one.n for px, one in report.recall.items()} == dict.fromkeys(
        IMAGE_SIDES_PX, 30
    )
    assert {one.value for one in report.recall.values()} == {1.0}
    assert {one.value for one in report.accuracy.values()} == {1.0}
    assert report.false_positives.value == 0


def test_portraits_have_the_requested_sizes(portraits):
    report = evaluate_small_faces(Spotter(least_px=30), portraits, Settings())
    assert [report.recall[px].value for px in (40, 80, 160)] == [0, 1, 1]
    assert report.accuracy[40].n == 0


def test_wrong_labels_and_faces_on_the_wall_are_counted(portraits):
    report = evaluate_small_faces(
        Spotter(swapped=True, extra=True), portraits, Settings()
    )
    assert {one.value for one in report.recall.values()} == {1.0}
    assert {one.value for one in report.accuracy.values()} == {0.0}
    assert report.false_positives.value == 1


def test_results_are_reproducible_and_scenes_are_skipped(portraits):
    box = np.array([[1, 1, 9, 9]], np.float32)
    scene = Example(portraits[0].path, box, (Label.MASK,))
    first = evaluate_small_faces(Spotter(), [*portraits, scene], Settings(), seed=4)
    assert first.recall[40].n == 30
    assert first == evaluate_small_faces(Spotter(), portraits, Settings(), seed=4)
