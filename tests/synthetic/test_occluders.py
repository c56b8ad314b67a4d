"""Occluders at the mouth: hands, scarves, beards, cups and phones."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.synthetic import OCCLUDERS, render_occluder


@pytest.mark.parametrize(
    "occluder", [occluder for occluder in OCCLUDERS if occluder != "headscarf"]
)
def test_occluders_cover_the_mouth_and_not_the_eyes(occluder):
    image = np.full((200, 200, 3), (150, 170, 210), np.uint8)
    points = np.array([[82, 85], [118, 85], [100, 106], [85, 125], [115, 125]])
    box = np.array([60, 50, 140, 150])
    changed = np.zeros((200, 200))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        drawn = render_occluder(image, points, occluder, box=box, rng=rng)
        assert drawn.shape == image.shape
        changed += np.abs(drawn.astype(int) - image).max(axis=2) > 20
    assert changed[118:150, 80:120].mean() > 2  # of twelve: at or around the mouth
    assert changed[75:92].mean() < 1.2
    assert (image == (150, 170, 210)).all()


def test_a_headscarf_covers_hair_and_neck_and_not_the_face():
    image = np.full((240, 200, 3), (150, 170, 210), np.uint8)
    points = np.array([[82, 105], [118, 105], [100, 126], [85, 145], [115, 145]])
    box = np.array([60, 70, 140, 170])
    changed = np.zeros((240, 200))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        drawn = render_occluder(image, points, "headscarf", box=box, rng=rng)
        changed += np.abs(drawn.astype(int) - image).max(axis=2) > 20
    assert changed[95:150, 88:112].mean() < 1  # of twelve: eyes, nose and mouth
    assert changed[50:60, 80:120].mean() > 6  # the hair
    assert changed[185:200, 80:120].mean() > 6  # the neck


def test_occluders_are_reproducible():
    image = np.full((200, 200, 3), 128, np.uint8)
    points = np.array([[82, 85], [118, 85], [100, 106], [85, 125], [115, 125]])
    for occluder in OCCLUDERS:
        one, same, other = (
            render_occluder(image, points, occluder, rng=np.random.default_rng(seed))
            for seed in (1, 1, 2)
        )
        assert (one == same).all()
        assert (one != other).any()


def test_an_unknown_occluder_is_rejected():
    with pytest.raises(ValueError, match="occluder must be one of hand"):
        render_occluder(
            np.zeros((9, 9, 3), np.uint8),
            np.zeros((5, 2)),
            "banana",  # type: ignore[arg-type]
            rng=np.random.default_rng(0),
        )


def test_a_face_outside_the_image_changes_nothing():
    image = np.full((50, 50, 3), 128, np.uint8)
    points = np.array([[82, 85], [118, 85], [100, 106], [85, 125], [115, 125]]) + 900
    drawn = render_occluder(image, points, "cup", rng=np.random.default_rng(0))
    assert (drawn == image).all()
