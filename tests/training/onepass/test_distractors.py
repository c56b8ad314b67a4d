"""Distractors: random objects pasted into training images."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.training.onepass.augment import paste_distractors

NO_FACES = np.zeros((0, 4), np.float32)


def changed_pixels(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_distractors_do_not_cover_faces() -> None:
    grey = np.full((200, 240, 3), 127, np.uint8)
    faces = np.array([[40, 50, 120, 150], [150, 20, 170, 45]], np.float32)
    n_changes = np.zeros((200, 240))
    for seed in range(60):
        n_changes += changed_pixels(
            grey, paste_distractors(grey, faces, None, np.random.default_rng(seed))
        )
    outside = np.ones((200, 240), bool)
    for x1, y1, x2, y2 in faces.astype(int):
        # Distractors may intersect the border of a face by 2 %.
        inner = n_changes[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8]
        assert inner.max(initial=0) <= 2
        outside[y1:y2, x1:x2] = False
    assert n_changes[outside].mean() > 3


def test_distractors_are_reproducible_and_keep_the_original() -> None:
    image = np.random.default_rng(5).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    original = image.copy()
    first, again, other = (
        paste_distractors(image, NO_FACES, image[:40, :40], np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(image, original)
    np.testing.assert_array_equal(first, again)
    assert changed_pixels(first, other).any()


def test_no_distractors_where_faces_fill_the_image() -> None:
    image = np.full((96, 96, 3), 90, np.uint8)
    everywhere = np.array([[0, 0, 96, 96]], np.float32)
    for seed in range(20):
        result = paste_distractors(image, everywhere, None, np.random.default_rng(seed))
        np.testing.assert_array_equal(result, image)


@pytest.mark.parametrize("side", [8, 11, 64])
def test_small_images_are_supported(side) -> None:
    image = np.zeros((side, side, 3), np.uint8)
    for seed in range(30):
        result = paste_distractors(image, NO_FACES, image, np.random.default_rng(seed))
        assert result.shape == image.shape
        assert result.dtype == np.uint8
