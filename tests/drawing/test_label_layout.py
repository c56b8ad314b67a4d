"""Tests of the placement of captions."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.drawing.label_layout import Caption, PlacedCaption, place_captions

FULL = Caption("Mask 98 %", 12, (80, 20))
SHORT = Caption("98 %", 8, (30, 14))


def place_by_face(
    boxes: list[tuple[int, int, int, int]],
    captions: tuple[Caption, ...] = (FULL, SHORT),
    image_wh: tuple[int, int] = (640, 480),
) -> dict[int, PlacedCaption]:
    array = np.array(boxes, np.float32).reshape(-1, 4)
    placed = place_captions(array, [captions] * len(boxes), image_wh=image_wh)
    return {caption.face: caption for caption in placed}


def intersection_area(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0) * max(height, 0)


def test_no_faces_give_no_captions() -> None:
    assert place_by_face([]) == {}


def test_a_caption_is_placed_above_its_face() -> None:
    assert place_by_face([(100, 100, 200, 200)])[0].box == (100, 80, 180, 100)


@pytest.mark.parametrize(
    ("face", "box"),
    [
        ((100, 5, 200, 105), (100, 105, 180, 125)),  # no room above: below
        ((600, 100, 640, 140), (560, 80, 640, 100)),  # right border: moved inside
        ((-0, 100, 20, 140), (0, 80, 80, 100)),  # left border
        ((0, 0, 640, 480), (0, 0, 80, 20)),  # face fills the image: inside
    ],
)
def test_a_caption_stays_in_the_image(
    face: tuple[int, int, int, int], box: tuple[int, int, int, int]
) -> None:
    assert place_by_face([face])[0].box == box


def test_a_caption_avoids_the_face_above() -> None:
    placed = place_by_face([(100, 100, 200, 200), (100, 20, 190, 99)])
    assert placed[0].box == (100, 200, 180, 220)
    assert placed[1].box == (100, 0, 180, 20)


def test_a_face_between_neighbours_has_its_caption_inside() -> None:
    faces = [(100, 100, 200, 200), (100, 10, 200, 100), (100, 200, 200, 290)]
    placed = place_by_face(faces)
    assert placed[0].box == (100, 100, 180, 120)


def test_a_small_face_in_a_crowd_gets_the_short_caption() -> None:
    crowd = [(60 * column, 100, 60 * column + 16, 118) for column in range(1, 9)]
    placed = place_by_face(crowd)
    assert {caption.caption.text for caption in placed.values()} == {"98 %"}
    assert place_by_face(crowd[:2])[0].caption.text == "Mask 98 %"


def test_small_faces_without_room_get_no_caption() -> None:
    rows = [
        (20 * column, 16 * row, 20 * column + 20, 16 * row + 16)
        for column in range(10)
        for row in range(10)
    ]
    placed = place_by_face(rows, image_wh=(200, 160))
    assert placed == {}


def test_a_large_face_has_a_caption_even_if_faces_overlap() -> None:
    faces = [(0, 0, 200, 200), (0, 0, 200, 150), (0, 50, 200, 200)]
    placed = place_by_face(faces, image_wh=(200, 200))
    assert set(placed) == {0, 1, 2}
    for a in placed.values():
        assert all(
            intersection_area(a.box, b.box) == 0 for b in placed.values() if a is not b
        )


def test_an_image_smaller_than_the_caption_gets_none() -> None:
    assert place_by_face([(0, 0, 20, 20)], image_wh=(20, 20)) == {}


@pytest.mark.parametrize("seed", range(20))
def test_captions_of_random_scenes_are_valid(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 560, (int(rng.integers(1, 40)), 2))
    sides = rng.integers(8, 80, (len(corners), 1))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    placed = place_captions(boxes, [(FULL, SHORT)] * len(boxes), image_wh=(640, 640))
    assert len({caption.face for caption in placed}) == len(placed)
    for caption in placed:
        x1, y1, x2, y2 = caption.box
        assert (x2 - x1, y2 - y1) == caption.caption.size_wh
        assert x1 >= 0
        assert y1 >= 0
        assert x2 <= 640
        assert y2 <= 640
        assert not any(
            intersection_area(caption.box, b.box) for b in placed if b is not caption
        )
        covered = sum(
            intersection_area(caption.box, b)
            for b in np.delete(boxes, caption.face, axis=0)
        )
        width, height = boxes[caption.face, 2:] - boxes[caption.face, :2]
        can_hold_caption = any(
            c.size_wh[0] <= width and c.size_wh[1] <= height / 4 for c in (FULL, SHORT)
        )
        assert covered == 0 or can_hold_caption
