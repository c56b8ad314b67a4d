"""Clear and printed covers: visors, mouth shields, windows in masks, printed mouths."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.synthetic import COVERS, render_cover

POINTS = np.array([[82, 85], [118, 85], [100, 106], [85, 125], [115, 125]])
BOX = np.array([60, 50, 140, 150])


def draw_face() -> np.ndarray:
    """Return a face with dark eyes and a red mouth on a blue background."""
    image = np.full((200, 200, 3), (150, 170, 210), np.uint8)
    image[80:90, 76:88] = image[80:90, 112:124] = 30
    image[120:130, 85:115] = (60, 60, 190)
    return image


def draw(cover, seed, image=None, points=POINTS):
    image = draw_face() if image is None else image
    rng = np.random.default_rng(seed)
    return render_cover(image, points, cover, box=BOX, rng=rng)


def changes(cover, seeds):
    image = draw_face()
    drawn = [draw(cover, seed) for seed in seeds]
    return np.stack([np.abs(one.astype(int) - image).max(axis=2) for one in drawn])


@pytest.mark.parametrize("cover", ["visor", "mouth shield"])
def test_a_sheet_is_seen_and_the_mouth_can_be_seen_behind_it(cover):
    changed = changes(cover, range(12))
    assert ((changed > 8).mean(axis=(1, 2)) > 0.02).all()
    assert np.median(changed[:, 118:132, 83:117]) < 60
    reaches_forehead = (changed[:, :75] > 8).any(axis=(1, 2)).mean()
    assert reaches_forehead > 0.7 if cover == "visor" else not reaches_forehead


@pytest.mark.parametrize("cover", ["window", "printed face"])
def test_a_mask_with_a_window_covers_the_cheeks_and_shows_a_mouth(cover):
    changed = changes(cover, range(16))
    assert np.mean(changed[:, 112:118, 72:76] > 20) > 0.5  # the mask beside the mouth
    assert np.mean(changed[:, 80:90, 76:124] > 20) < 0.1  # the eyes
    reds = []
    for seed in range(16):
        mouth = draw(cover, seed)[122:128, 92:108].astype(int).mean(axis=(0, 1))
        reds.append(mouth[2] > mouth[:2].max() + 20)
    assert np.mean(reds) > 0.7


def test_a_printed_mouth_is_on_a_mask_that_covers_the_real_one():
    changed = changes("printed mouth", range(12))
    assert np.mean(changed[:, 118:132, 83:117] > 15) > 0.8
    assert np.mean(changed[:, 80:90, 76:124] > 20) < 0.1


@pytest.mark.parametrize("cover", COVERS)
def test_the_result_is_a_reproducible_copy(cover):
    image = draw_face()
    one, same, other = (draw(cover, seed, image) for seed in (1, 1, 2))
    assert (image == draw_face()).all()
    assert one.dtype == np.uint8
    assert (one == same).all()
    assert (one != other).any()


@pytest.mark.parametrize("cover", COVERS)
def test_a_face_outside_the_image_is_not_an_error(cover):
    assert (draw(cover, 0, points=POINTS + 900) == draw_face()).all()


def test_an_unknown_cover_is_rejected():
    with pytest.raises(ValueError, match="cover must be one of visor"):
        draw("veil", 0)
