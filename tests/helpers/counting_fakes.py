"""Small sets with predictions, explicit or random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskdet.evaluation.predictions import AnalyzerPredictions, FaceRows, LabelledSet
from maskdet.types import CLASSES, Label

A = (0, 0, 20, 20)
B = (40, 0, 60, 20)
C = (80, 0, 100, 20)
ELSEWHERE = (200, 200, 220, 220)


class TrueFace(NamedTuple):
    """A true face."""

    image: int
    box: tuple[float, float, float, float]
    label: Label
    light: float = 100.0
    sharpness: float = 50.0


class DetectedFace(NamedTuple):
    """A detected face."""

    image: int
    box: tuple[float, float, float, float]
    score: float
    probs: tuple[float, float, float]


def make_probs(label: Label, confidence: float = 0.9) -> tuple[float, float, float]:
    """Return probabilities of a label; the others have equal ones."""
    rest = (1 - confidence) / 2
    values = [confidence if class_label is label else rest for class_label in CLASSES]
    return values[0], values[1], values[2]


def make_face_rows(faces: Sequence[TrueFace | DetectedFace]) -> FaceRows:
    light_and_sharpness = [
        (getattr(f, "light", 100.0), getattr(f, "sharpness", 50.0)) for f in faces
    ]
    columns = np.array(light_and_sharpness, np.float32).reshape(-1, 2)
    boxes = np.array([face.box for face in faces], np.float32)
    image_rows = np.array([face.image for face in faces], np.int64)
    return FaceRows(image_rows, boxes, columns[:, 0], columns[:, 1])


def make_counted_predictions(
    true_faces: Sequence[TrueFace],
    detected_faces: Sequence[DetectedFace],
    *,
    n_images: int = 1,
    boxed: bool = True,
    name: str = "made up",
) -> AnalyzerPredictions:
    ground_truth = LabelledSet(
        name,
        tuple(f"image {number}" for number in range(n_images)),
        np.full((n_images, 2), 300),
        make_face_rows(true_faces),
        np.array([face.label for face in true_faces], np.int64),
        boxed,
    )
    return AnalyzerPredictions(
        ground_truth,
        "by hand",
        make_face_rows(detected_faces),
        np.array([face.score for face in detected_faces], np.float32),
        np.array([face.probs for face in detected_faces], np.float32),
    )


def make_random_predictions(
    seed: int, n_images: int = 30, *, equal_scores: bool = False
) -> AnalyzerPredictions:
    """Return a random set with duplicates, false positives and unknown faces."""
    rng = np.random.default_rng(seed)
    true_faces, detected_faces = [], []

    def score(highest: float) -> float:
        return float(
            rng.integers(1, 10) / 10 if equal_scores else rng.uniform(0.02, highest)
        )

    for image in range(n_images):
        for _ in range(rng.integers(0, 6)):
            corner, side = rng.uniform(0, 150, 2), rng.uniform(8, 60)
            box = np.concatenate([corner, corner + np.array([side, side * 1.2])])
            label = Label(int(rng.choice([0, 1, 2, -1], p=[0.6, 0.25, 0.1, 0.05])))
            true_faces.append(
                TrueFace(image, tuple(box), label, *rng.uniform(0, 255, 2))
            )
            for _ in range(rng.integers(0, 4)):
                shifted = box + rng.normal(0, side * 0.15, 4)
                odds = np.full(3, 0.5)
                odds[max(label, 0)] += 2
                predicted_probs = rng.dirichlet(odds)
                detected_faces.append(
                    DetectedFace(
                        image, tuple(shifted), score(1), tuple(predicted_probs)
                    )
                )
        for _ in range(rng.integers(0, 3)):
            corner, side = rng.uniform(0, 250, 2), rng.uniform(8, 60)
            box = np.concatenate([corner, corner + side])
            predicted_probs = rng.dirichlet(np.ones(3))
            detected_faces.append(
                DetectedFace(image, tuple(box), score(0.7), tuple(predicted_probs))
            )
    return make_counted_predictions(true_faces, detected_faces, n_images=n_images)
