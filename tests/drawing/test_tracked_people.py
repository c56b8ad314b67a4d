"""What `draw` shows of people over time: numbers, turned heads, distances, blur."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from maskdet.drawing import blur_faces, draw, pixelate_image
from maskdet.style import PALETTES, Palette, Style, colour_bgr
from maskdet.types import Faces, Image, Label, PersonPair, Scene

GREY_BGR = (90, 110, 130)
BARE = Style(labels=False, percentages=False, ids=False)
BOX = (200.0, 200.0, 360.0, 360.0)
LEFT, RIGHT = (60.0, 200.0, 140.0, 280.0), (460.0, 200.0, 540.0, 280.0)


def picture(width: int = 640, height: int = 480) -> Image:
    return np.full((height, width, 3), GREY_BGR, np.uint8)


def noise(width: int = 640, height: int = 480) -> Image:
    rng = np.random.default_rng(3)
    return rng.integers(0, 255, (height, width, 3)).astype(np.uint8)


def scene(*boxes: tuple[float, ...], label: Label = Label.MASK) -> Scene:
    probs = np.full((len(boxes), 3), 0.06, np.float32)
    probs[:, label] = 0.88
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return Scene(Faces(np.array(boxes, np.float32), scores), probs, min_confidence=0.6)


def unsure(*boxes: tuple[float, ...]) -> Scene:
    return dataclasses.replace(scene(*boxes), min_confidence=0.95)


def seen_ago(one: Scene, *unseen_s: float) -> Scene:
    return dataclasses.replace(one, unseen_s=np.array(unseen_s, np.float32))


def tracked(one: Scene, *ids: int) -> Scene:
    return dataclasses.replace(one, track_ids=np.array(ids))


def near(one: Scene, *pairs: PersonPair) -> Scene:
    return dataclasses.replace(one, pairs=pairs)


def pair(*, close: bool = True, too_long: bool = False) -> PersonPair:
    return PersonPair(
        0, 1, 1.2, "m", in_contact=close, contact_s=5.0, exceeds_limit=too_long
    )


def is_colour(image: Image, bgr: tuple[int, int, int]) -> np.ndarray:
    return (image == np.array(bgr, np.uint8)).all(axis=2)


def marks(line: np.ndarray) -> int:
    """How many separate marks a line of pixels shows."""
    return int((np.diff(np.pad(line.astype(int), 1)) == 1).sum())


def test_a_still_picture_is_drawn_as_if_there_were_no_numbers() -> None:
    with_ids = draw(picture(), scene(BOX), Style(ids=True))
    assert np.array_equal(with_ids, draw(picture(), scene(BOX), Style(ids=False)))


def test_a_number_makes_the_caption_longer_unless_it_is_switched_off() -> None:
    one = tracked(scene(BOX), 31)
    colour = colour_bgr(Label.MASK)
    long, short = (
        int(is_colour(draw(picture(), one, Style(ids=ids)), colour)[:196].sum())
        for ids in (True, False)
    )
    assert long > 1.1 * short
    plain = draw(picture(), scene(BOX))
    assert np.array_equal(draw(picture(), one, Style(ids=False)), plain)


@pytest.mark.parametrize("label", [Label.MASK, Label.NO_MASK, Label.INCORRECT])
def test_of_a_turned_head_only_the_corners_are_drawn_in_its_line_style(label) -> None:
    seen = draw(picture(), scene(BOX, label=label), BARE)
    turned = draw(picture(), seen_ago(scene(BOX, label=label), 1.0), BARE)
    changed = (turned != picture()).any(axis=2)
    assert not changed[260:300].any(), "the middle of the sides stays free"
    assert not changed[:, 260:300].any()
    for rows in (slice(190, 235), slice(325, 370)):
        for columns in (slice(190, 235), slice(325, 370)):
            assert is_colour(turned, colour_bgr(label))[rows, columns].any()
    assert changed.sum() < (seen != picture()).any(axis=2).sum()
    across = marks(is_colour(turned, colour_bgr(label))[212, :260])
    assert across == (2 if label is Label.NO_MASK else 1)


def test_an_unsure_turned_head_has_corners_too() -> None:
    turned = draw(picture(), seen_ago(unsure(BOX), 2.5), BARE)
    grey = is_colour(turned, colour_bgr(Label.UNKNOWN))
    assert grey[190:235, 190:235].any()
    assert not grey[260:300].any()


def test_the_corners_of_a_small_turned_head_still_show() -> None:
    turned = draw(picture(), seen_ago(scene((300, 200, 312, 214)), 1.0), BARE)
    assert is_colour(turned, colour_bgr(Label.MASK)).sum() >= 8


def test_a_face_missed_for_a_blink_is_drawn_as_seen() -> None:
    one = tracked(scene(BOX), 4)
    assert np.array_equal(draw(picture(), seen_ago(one, 0.1)), draw(picture(), one))


@pytest.mark.parametrize(
    ("one", "label", "n_marks"),
    [
        (pair(too_long=True), Label.NO_MASK, 1),
        (pair(), Label.INCORRECT, 5),
        (pair(close=False), Label.UNKNOWN, 7),
    ],
)
@pytest.mark.parametrize("palette", PALETTES)
def test_lines_between_people_differ_in_colour_and_in_dashes(
    one: PersonPair, label: Label, n_marks: int, palette: Palette
) -> None:
    style = dataclasses.replace(BARE, palette=palette)
    result = draw(picture(), near(scene(LEFT, RIGHT), one), style)
    between = is_colour(result, colour_bgr(label, palette))[:, 150:450]
    # The distance is written in the middle: the dashes beside it count.
    found = marks(between[238:243, :100].any(axis=0))
    assert found == n_marks
    for other in set(Label) - {label}:
        assert not is_colour(result, colour_bgr(other, palette))[:, 150:450].any()


def test_a_line_goes_from_face_to_face_and_not_over_them() -> None:
    pairs = near(scene(LEFT, RIGHT), pair(too_long=True))
    style = dataclasses.replace(BARE, boxes=False)
    columns = np.flatnonzero((draw(picture(), pairs, style) != picture()).any((0, 2)))
    assert 138 <= columns.min() <= 150
    assert 450 <= columns.max() <= 462


def test_the_distance_stands_on_its_line_and_off_the_faces() -> None:
    style = Style(labels=False, percentages=False, boxes=False)
    third = (260.0, 200.0, 340.0, 280.0)
    for boxes in ((LEFT, RIGHT), (LEFT, RIGHT, third)):
        one = near(scene(*boxes), pair(too_long=True))
        result = draw(picture(), one, style)
        red = is_colour(result, colour_bgr(Label.NO_MASK))
        plate = cv2.erode(red.astype(np.uint8), np.ones((5, 5))) > 0
        rows, columns = np.nonzero(plate)
        assert len(rows) > 50
        assert columns.min() >= 145
        assert columns.max() <= 455
        if len(boxes) == 3:
            assert not plate[195:285, 255:345].any()


def test_people_who_overlap_get_a_distance_without_a_line() -> None:
    one = near(scene((200, 200, 300, 300), (260, 210, 360, 310)), pair())
    result = draw(picture(), one, BARE)
    assert is_colour(result, colour_bgr(Label.INCORRECT)).sum() > 100


def test_in_a_crowd_only_those_who_are_near_get_a_line() -> None:
    boxes = [(20.0 + 100 * n, 200.0, 60.0 + 100 * n, 240.0) for n in range(6)]
    alone = draw(picture(), scene(*boxes), BARE)
    far = near(scene(*boxes), pair(close=False))
    assert np.array_equal(draw(picture(), far, BARE), alone)
    assert not np.array_equal(draw(picture(), near(far, pair()), BARE), alone)


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (37, 501), (501, 37)])
def test_odd_sizes_are_drawn_without_a_crash(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    boxes = (0, 0, width, height), (width / 2, 0, width, height)
    one = near(tracked(seen_ago(scene(*boxes), 0.0, 2.0), 1, 2), pair())
    result = draw(picture(width, height), one, Style(blur=True))
    assert result.shape == (height, width, 3)


def test_pairs_of_a_person_out_of_the_picture_are_left_out() -> None:
    one = near(scene((-300, 200, -200, 300), RIGHT), pair())
    assert np.array_equal(
        draw(picture(), one, BARE), draw(picture(), scene(RIGHT), BARE)
    )


NOTHING = Style(boxes=False, labels=False, percentages=False, ids=False, blur=True)


def test_blur_leaves_few_colours_of_every_face_and_the_rest_alone() -> None:
    image = noise()
    before = image.copy()
    result = draw(image, seen_ago(scene(LEFT, RIGHT), 0.0, 2.0), NOTHING)
    assert np.array_equal(image, before)
    for x1, y1, x2, y2 in (LEFT, RIGHT):
        face = result[int(y1) : int(y2), int(x1) : int(x2)].reshape(-1, 3)
        assert len(np.unique(face, axis=0)) <= 49
    assert np.array_equal(result[:150], image[:150])
    assert np.array_equal(result[:, 180:420], image[:, 180:420])


def test_blur_covers_more_than_the_box_and_more_yet_of_a_turned_head() -> None:
    def wide(unseen_s: float) -> int:
        result = draw(noise(), seen_ago(scene(BOX), unseen_s), NOTHING)
        return int((result != noise()).any(axis=2).any(axis=0).sum())

    assert wide(0.0) == pytest.approx(1.4 * 160, abs=2)
    assert wide(1.0) == pytest.approx(1.7 * 160, abs=2)
    assert wide(60.0) == pytest.approx(2.0 * 160, abs=2)


def test_blur_covers_doubtful_faces_and_those_at_the_border() -> None:
    doubtful = dataclasses.replace(
        unsure((600, 400, 700, 520)),
        faces=Faces(np.array([[600, 400, 700, 520]]), np.array([0.01])),
    )
    result = draw(noise(), doubtful, NOTHING)
    assert (result != noise()).any(axis=2)[400:, 600:].mean() > 0.95


def test_blur_covers_what_is_no_row_but_may_be_a_face() -> None:
    one = dataclasses.replace(scene(LEFT), blur_boxes=np.array([RIGHT], np.float32))
    result = draw(noise(), one, NOTHING)
    x1, y1, x2, y2 = (int(value) for value in RIGHT)
    assert (result != noise()).any(axis=2)[y1:y2, x1:x2].mean() > 0.95
    assert np.array_equal(result[:, 180:420], noise()[:, 180:420])
    sharp = dataclasses.replace(NOTHING, blur=False)
    assert np.array_equal(draw(noise(), one, sharp), noise())


def test_a_coarse_picture_shows_nobody_wherever_they_are() -> None:
    small = pixelate_image(noise()).reshape(-1, 3)
    assert len(np.unique(small, axis=0)) <= 48


def test_what_is_blurred_is_gone_and_not_only_hidden() -> None:
    """Two different faces with the same coarse squares give the same image."""
    fine = np.tile(np.array([[60, 100], [100, 60]], np.uint8), (240, 320))
    fine = np.repeat(fine[..., None], 3, axis=2)
    boxes = np.array([BOX], np.float32)
    one, other = blur_faces(fine, boxes), blur_faces(160 - fine, boxes)
    assert np.array_equal(one[210:350, 210:350], other[210:350, 210:350])


def test_shaking_boxes_do_not_add_up_to_a_finer_picture() -> None:
    steps = {
        int(value)
        for shift in range(8)
        for value in np.unique(
            blur_faces(noise(), np.array([BOX], np.float32) + shift)[220:340, 220:340]
        )
    }
    assert all(value % 16 == 0 or value == 255 for value in steps)
