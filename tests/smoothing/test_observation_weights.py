"""Tests of the weights of observations."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.smoothing import compute_observation_weights
from maskdet.types import Faces


def weight(probs, *, side_px: float = 64, score: float = 1.0) -> float:
    faces = Faces(np.array([[0, 0, side_px, 2 * side_px]]), np.array([score]))
    return float(compute_observation_weights(faces, np.array([probs], np.float32))[0])


def test_a_large_face_with_full_confidence_has_weight_1() -> None:
    assert weight((0.0, 1.0, 0.0)) == pytest.approx(1)


def test_the_detection_score_is_a_factor() -> None:
    assert weight((1, 0, 0), score=0.3) == pytest.approx(0.3)
    assert weight((1, 0, 0), score=0.0) == 0


@pytest.mark.parametrize(
    ("side_px", "factor"), [(6, 0), (10, 0), (21, 0.5), (32, 1), (300, 1)]
)
def test_small_faces_have_less_weight(side_px, factor) -> None:
    assert weight((1, 0, 0), side_px=side_px) == pytest.approx(factor)


def test_the_weight_falls_with_the_entropy() -> None:
    assert weight((0.5, 0.5, 0.0)) == pytest.approx(1 - np.log(2) / np.log(3))
    assert 0.7 < weight((0.95, 0.04, 0.01)) < 0.9
    assert 0.1 < weight((0.6, 0.3, 0.1)) < 0.25


@pytest.mark.parametrize("probs", [(1 / 3, 1 / 3, 1 / 3), (0.45, 0.30, 0.25)])
def test_near_uniform_probabilities_have_weight_0(probs) -> None:
    assert weight(probs) == 0


def test_no_faces_give_no_weights() -> None:
    assert compute_observation_weights(
        Faces.empty(), np.zeros((0, 3), np.float32)
    ).shape == (0,)
