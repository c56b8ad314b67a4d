"""Small sets and what an analyzer said of them, made by hand or by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskdet.tune.scored import FaceRows, LabelledSet, Scored
from maskdet.types import CLASSES, Label

A = (0, 0, 20, 20)
B = (40, 0, 60, 20)
C = (80, 0, 100, 20)
ELSEWHERE = (200, 200, 220, 220)


class Real(NamedTuple):
    """A true face."""

    picture: int
    box: tuple[float, float, float, float]
    label: Label
    light: float = 100.0
    sharpness: float = 50.0


class Found(NamedTuple):
    """A face that an analyzer found."""

    picture: int
    box: tuple[float, float, float, float]
    score: float
    probs: tuple[float, float, float]


def probs(label: Label, confidence: float = 0.9) -> tuple[float, float, float]:
    """Return probabilities of a label; the other classes share the rest."""
    rest = (1 - confidence) / 2
    values = [confidence if one is label else rest for one in CLASSES]
    return values[0], values[1], values[2]


def rows(faces: Sequence[Real | Found]) -> FaceRows:
    looks = [(getattr(f, "light", 100.0), getattr(f, "sharpness", 50.0)) for f in faces]
    table = np.array(looks, np.float32).reshape(-1, 2)
    boxes = np.array([face.box for face in faces], np.float32)
    pictures = np.array([face.picture for face in faces], np.int64)
    return FaceRows(pictures, boxes, table[:, 0], table[:, 1])


def scored(
    truths: Sequence[Real],
    found: Sequence[Found],
    *,
    pictures: int = 1,
    boxed: bool = True,
    name: str = "made up",
) -> Scored:
    truth = LabelledSet(
        name,
        tuple(f"picture {number}" for number in range(pictures)),
        np.full((pictures, 2), 300),
        rows(truths),
        np.array([face.label for face in truths], np.int64),
        boxed,
    )
    return Scored(
        truth,
        "by hand",
        rows(found),
        np.array([face.score for face in found], np.float32),
        np.array([face.probs for face in found], np.float32),
    )


def by_chance(seed: int, pictures: int = 30, *, equal_scores: bool = False) -> Scored:
    """Return a crowded set: doubled boxes, near misses, false alarms, unknown ones."""
    rng = np.random.default_rng(seed)
    truths, found = [], []

    def score(highest: float) -> float:
        return float(
            rng.integers(1, 10) / 10 if equal_scores else rng.uniform(0.02, highest)
        )

    for picture in range(pictures):
        for _ in range(rng.integers(0, 6)):
            corner, side = rng.uniform(0, 150, 2), rng.uniform(8, 60)
            box = np.concatenate([corner, corner + np.array([side, side * 1.2])])
            label = Label(int(rng.choice([0, 1, 2, -1], p=[0.6, 0.25, 0.1, 0.05])))
            truths.append(Real(picture, tuple(box), label, *rng.uniform(0, 255, 2)))
            for _ in range(rng.integers(0, 4)):
                moved = box + rng.normal(0, side * 0.15, 4)
                odds = np.full(3, 0.5)
                odds[max(label, 0)] += 2
                said = rng.dirichlet(odds)
                found.append(Found(picture, tuple(moved), score(1), tuple(said)))
        for _ in range(rng.integers(0, 3)):
            corner, side = rng.uniform(0, 250, 2), rng.uniform(8, 60)
            box = np.concatenate([corner, corner + side])
            said = rng.dirichlet(np.ones(3))
            found.append(Found(picture, tuple(box), score(0.7), tuple(said)))
    return scored(truths, found, pictures=pictures)
