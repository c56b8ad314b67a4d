"""Tests of `draw` for streams: track IDs, coasting tracks, distances and blur."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from maskdet.drawing import blur_faces, draw, pixelate_image
from maskdet.style import PALETTES, Palette, Style, colour_bgr
from maskdet.types import Faces, Image, Label, PersonPair, Scene

GREY_BGR = (90, 110, 130)
OUTLINES_ONLY = Style(labels=False, percentages=False, ids=False)
BOX = (200.0, 200.0, 360.0, 360.0)
LEFT, RIGHT = (60.0, 200.0, 140.0, 280.0), (460.0, 200.0, 540.0, 280.0)


def make_image(width: int = 640, height: int = 480) -> Image:
    return np.full((height, width, 3), GREY_BGR, np.uint8)


def noise(width: int = 640, height: int = 480) -> Image:
    rng = np.random.default_rng(3)
    return rng.integers(0, 255, (height, width, 3)).astype(np.uint8)


def make_scene(*boxes: tuple[float, ...], label: Label = Label.MASK) -> Scene:
    probs = np.full((len(boxes), 3), 0.06, np.float32)
    probs[:, label] = 0.88
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return Scene(Faces(np.array(boxes, np.float32), scores), probs, min_confidence=0.6)


def make_unsure_scene(*boxes: tuple[float, ...]) -> Scene:
    return dataclasses.replace(make_scene(*boxes), min_confidence=0.95)


def with_unseen_s(scene: Scene, *unseen_s: float) -> Scene:
    return dataclasses.replace(scene, unseen_s=np.array(unseen_s, np.float32))


def with_track_ids(scene: Scene, *ids: int) -> Scene:
    return dataclasses.replace(scene, track_ids=np.array(ids))


def with_pairs(scene: Scene, *pairs: PersonPair) -> Scene:
    return dataclasses.replace(scene, pairs=pairs)


def make_pair(*, in_contact: bool = True, exceeds_limit: bool = False) -> PersonPair:
    return PersonPair(
        0,
        1,
        1.2,
        "m",
        in_contact=in_contact,
        contact_s=5.0,
        exceeds_limit=exceeds_limit,
    )


def is_colour(image: Image, bgr: tuple[int, int, int]) -> np.ndarray:
    return (image == np.array(bgr, np.uint8)).all(axis=2)


def count_marks(line: np.ndarray) -> int:
    """Return the number of separate marks in a line of pixels."""
    return int((np.diff(np.pad(line.astype(int), 1)) == 1).sum())


def test_a_still_image_shows_no_track_ids() -> None:
    with_ids = draw(make_image(), make_scene(BOX), Style(ids=True))
    assert np.array_equal(
        with_ids, draw(make_image(), make_scene(BOX), Style(ids=False))
    )


def test_the_track_id_is_in_the_caption_if_enabled() -> None:
    scene = with_track_ids(make_scene(BOX), 31)
    colour = colour_bgr(Label.MASK)
    long, short = (
        int(is_colour(draw(make_image(), scene, Style(ids=ids)), colour)[:196].sum())
        for ids in (True, False)
    )
    assert long > 1.1 * short
    plain = draw(make_image(), make_scene(BOX))
    assert np.array_equal(draw(make_image(), scene, Style(ids=False)), plain)


@pytest.mark.parametrize("label", [Label.MASK, Label.NO_MASK, Label.INCORRECT])
def test_a_coasting_track_has_corners_in_its_line_style(label) -> None:
    detected = draw(make_image(), make_scene(BOX, label=label), OUTLINES_ONLY)
    coasting = draw(
        make_image(), with_unseen_s(make_scene(BOX, label=label), 1.0), OUTLINES_ONLY
    )
    changed = (coasting != make_image()).any(axis=2)
    assert not changed[260:300].any(), "the middle of the sides stays free"
    assert not changed[:, 260:300].any()
    for rows in (slice(190, 235), slice(325, 370)):
        for columns in (slice(190, 235), slice(325, 370)):
            assert is_colour(coasting, colour_bgr(label))[rows, columns].any()
    assert changed.sum() < (detected != make_image()).any(axis=2).sum()
    across = count_marks(is_colour(coasting, colour_bgr(label))[212, :260])
    assert across == (2 if label is Label.NO_MASK else 1)


def test_an_unknown_coasting_track_has_corners() -> None:
    coasting = draw(
        make_image(), with_unseen_s(make_unsure_scene(BOX), 2.5), OUTLINES_ONLY
    )
    grey = is_colour(coasting, colour_bgr(Label.UNKNOWN))
    assert grey[190:235, 190:235].any()
    assert not grey[260:300].any()


def test_corners_of_a_small_coasting_track_are_visible() -> None:
    coasting = draw(
        make_image(),
        with_unseen_s(make_scene((300, 200, 312, 214)), 1.0),
        OUTLINES_ONLY,
    )
    assert is_colour(coasting, colour_bgr(Label.MASK)).sum() >= 8


def test_a_short_gap_is_drawn_as_detected() -> None:
    scene = with_track_ids(make_scene(BOX), 4)
    assert np.array_equal(
        draw(make_image(), with_unseen_s(scene, 0.1)), draw(make_image(), scene)
    )


@pytest.mark.parametrize(
    ("pair", "label", "n_marks"),
    [
        (make_pair(exceeds_limit=True), Label.NO_MASK, 1),
        (make_pair(), Label.INCORRECT, 5),
        (make_pair(in_contact=False), Label.UNKNOWN, 7),
    ],
)
@pytest.mark.parametrize("palette", PALETTES)
def test_lines_between_people_differ_in_colour_and_dashes(
    pair: PersonPair, label: Label, n_marks: int, palette: Palette
) -> None:
    style = dataclasses.replace(OUTLINES_ONLY, palette=palette)
    result = draw(make_image(), with_pairs(make_scene(LEFT, RIGHT), pair), style)
    between = is_colour(result, colour_bgr(label, palette))[:, 150:450]
    # The distance covers the middle, so only the dashes beside it are counted.
    n_found = count_marks(between[238:243, :100].any(axis=0))
    assert n_found == n_marks
    for other in set(Label) - {label}:
        assert not is_colour(result, colour_bgr(other, palette))[:, 150:450].any()


def test_a_line_does_not_cover_faces() -> None:
    pairs = with_pairs(make_scene(LEFT, RIGHT), make_pair(exceeds_limit=True))
    style = dataclasses.replace(OUTLINES_ONLY, boxes=False)
    columns = np.flatnonzero(
        (draw(make_image(), pairs, style) != make_image()).any((0, 2))
    )
    assert 138 <= columns.min() <= 150
    assert 450 <= columns.max() <= 462


def test_the_distance_is_on_its_line_and_off_the_faces() -> None:
    style = Style(labels=False, percentages=False, boxes=False)
    third = (260.0, 200.0, 340.0, 280.0)
    for boxes in ((LEFT, RIGHT), (LEFT, RIGHT, third)):
        scene = with_pairs(make_scene(*boxes), make_pair(exceeds_limit=True))
        result = draw(make_image(), scene, style)
        red = is_colour(result, colour_bgr(Label.NO_MASK))
        plate = cv2.erode(red.astype(np.uint8), np.ones((5, 5))) > 0
        rows, columns = np.nonzero(plate)
        assert len(rows) > 50
        assert columns.min() >= 145
        assert columns.max() <= 455
        if len(boxes) == 3:
            assert not plate[195:285, 255:345].any()


def test_overlapping_people_get_a_distance_without_a_line() -> None:
    scene = with_pairs(
        make_scene((200, 200, 300, 300), (260, 210, 360, 310)), make_pair()
    )
    result = draw(make_image(), scene, OUTLINES_ONLY)
    assert is_colour(result, colour_bgr(Label.INCORRECT)).sum() > 100


def test_in_a_crowd_only_pairs_in_contact_get_a_line() -> None:
    boxes = [(20.0 + 100 * n, 200.0, 60.0 + 100 * n, 240.0) for n in range(6)]
    alone = draw(make_image(), make_scene(*boxes), OUTLINES_ONLY)
    far = with_pairs(make_scene(*boxes), make_pair(in_contact=False))
    assert np.array_equal(draw(make_image(), far, OUTLINES_ONLY), alone)
    assert not np.array_equal(
        draw(make_image(), with_pairs(far, make_pair()), OUTLINES_ONLY), alone
    )


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (37, 501), (501, 37)])
def test_unusual_image_sizes_are_accepted(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    boxes = (0, 0, width, height), (width / 2, 0, width, height)
    scene = with_pairs(
        with_track_ids(with_unseen_s(make_scene(*boxes), 0.0, 2.0), 1, 2), make_pair()
    )
    result = draw(make_image(width, height), scene, Style(blur=True))
    assert result.shape == (height, width, 3)


def test_pairs_with_a_person_outside_the_image_are_omitted() -> None:
    scene = with_pairs(make_scene((-300, 200, -200, 300), RIGHT), make_pair())
    assert np.array_equal(
        draw(make_image(), scene, OUTLINES_ONLY),
        draw(make_image(), make_scene(RIGHT), OUTLINES_ONLY),
    )


BLUR_ONLY = Style(boxes=False, labels=False, percentages=False, ids=False, blur=True)


def test_blur_changes_only_faces() -> None:
    image = noise()
    before = image.copy()
    result = draw(image, with_unseen_s(make_scene(LEFT, RIGHT), 0.0, 2.0), BLUR_ONLY)
    assert np.array_equal(image, before)
    for x1, y1, x2, y2 in (LEFT, RIGHT):
        face = result[int(y1) : int(y2), int(x1) : int(x2)].reshape(-1, 3)
        assert len(np.unique(face, axis=0)) <= 49
    assert np.array_equal(result[:150], image[:150])
    assert np.array_equal(result[:, 180:420], image[:, 180:420])


def test_the_blurred_area_grows_while_the_face_is_not_detected() -> None:
    def blurred_width(unseen_s: float) -> int:
        result = draw(noise(), with_unseen_s(make_scene(BOX), unseen_s), BLUR_ONLY)
        return int((result != noise()).any(axis=2).any(axis=0).sum())

    assert blurred_width(0.0) == pytest.approx(1.4 * 160, abs=2)
    assert blurred_width(1.0) == pytest.approx(1.7 * 160, abs=2)
    assert blurred_width(60.0) == pytest.approx(2.0 * 160, abs=2)


def test_blur_covers_low_score_faces_at_the_border() -> None:
    low_score_scene = dataclasses.replace(
        make_unsure_scene((600, 400, 700, 520)),
        faces=Faces(np.array([[600, 400, 700, 520]]), np.array([0.01])),
    )
    result = draw(noise(), low_score_scene, BLUR_ONLY)
    assert (result != noise()).any(axis=2)[400:, 600:].mean() > 0.95


def test_blur_covers_blur_boxes() -> None:
    scene = dataclasses.replace(
        make_scene(LEFT), blur_boxes=np.array([RIGHT], np.float32)
    )
    result = draw(noise(), scene, BLUR_ONLY)
    x1, y1, x2, y2 = (int(value) for value in RIGHT)
    assert (result != noise()).any(axis=2)[y1:y2, x1:x2].mean() > 0.95
    assert np.array_equal(result[:, 180:420], noise()[:, 180:420])
    sharp = dataclasses.replace(BLUR_ONLY, blur=False)
    assert np.array_equal(draw(noise(), scene, sharp), noise())


def test_pixelate_image_leaves_few_colours() -> None:
    small = pixelate_image(noise()).reshape(-1, 3)
    assert len(np.unique(small, axis=0)) <= 48


def test_blurred_pixels_cannot_be_restored() -> None:
    """Two different faces with the same coarse squares give the same image."""
    fine = np.tile(np.array([[60, 100], [100, 60]], np.uint8), (240, 320))
    fine = np.repeat(fine[..., None], 3, axis=2)
    boxes = np.array([BOX], np.float32)
    scene, other = blur_faces(fine, boxes), blur_faces(160 - fine, boxes)
    assert np.array_equal(scene[210:350, 210:350], other[210:350, 210:350])


def test_shifted_boxes_cannot_be_combined_to_a_sharper_image() -> None:
    levels = {
        int(value)
        for shift in range(8)
        for value in np.unique(
            blur_faces(noise(), np.array([BOX], np.float32) + shift)[220:340, 220:340]
        )
    }
    assert all(value % 16 == 0 or value == 255 for value in levels)
