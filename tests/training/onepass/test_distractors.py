"""Things that are no face, laid into training views."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.training.onepass.augment import paste_distractors

NOBODY = np.zeros((0, 4), np.float32)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=2)


def test_things_are_laid_beside_faces_and_never_on_them() -> None:
    grey = np.full((200, 240, 3), 127, np.uint8)
    faces = np.array([[40, 50, 120, 150], [150, 20, 170, 45]], np.float32)
    touched = np.zeros((200, 240))
    for seed in range(60):
        touched += changed(
            grey, paste_distractors(grey, faces, None, np.random.default_rng(seed))
        )
    outside = np.ones((200, 240), bool)
    for x1, y1, x2, y2 in faces.astype(int):
        # A fiftieth of a thing may reach in; the middle of a face never changes.
        inner = touched[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8]
        assert inner.max(initial=0) <= 2
        outside[y1:y2, x1:x2] = False
    assert touched[outside].mean() > 3


def test_the_view_itself_is_not_changed_and_chance_is_the_only_difference() -> None:
    view = np.random.default_rng(5).integers(0, 255, (128, 128, 3)).astype(np.uint8)
    kept = view.copy()
    first, again, other = (
        paste_distractors(view, NOBODY, view[:40, :40], np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(view, kept)
    np.testing.assert_array_equal(first, again)
    assert changed(first, other).any()


def test_where_faces_fill_the_view_nothing_is_laid() -> None:
    view = np.full((96, 96, 3), 90, np.uint8)
    everywhere = np.array([[0, 0, 96, 96]], np.float32)
    for seed in range(20):
        got = paste_distractors(view, everywhere, None, np.random.default_rng(seed))
        np.testing.assert_array_equal(got, view)


@pytest.mark.parametrize("side", [8, 11, 64])
def test_small_views_are_no_trouble(side) -> None:
    view = np.zeros((side, side, 3), np.uint8)
    for seed in range(30):
        got = paste_distractors(view, NOBODY, view, np.random.default_rng(seed))
        assert got.shape == view.shape
        assert got.dtype == np.uint8
