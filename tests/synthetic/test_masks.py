"""Rendered masks: position, rotation, light and patterns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage import data

from maskdet.synthetic import (
    FABRIC_PATTERNS,
    MASK_KINDS,
    MASK_POSITIONS,
    Mask,
    MaskPosition,
    render_mask,
)
from maskdet.synthetic.head import MEAN_FACE, Head
from maskdet.types import Image

# Eileen Collins's portrait (NASA, public domain); eyes, nose, corners of the mouth.
LANDMARKS = np.array(
    [[203.4, 103.6], [247.5, 104.4], [224.1, 127.7], [204.0, 143.1], [242.9, 143.7]]
)
BOX = np.array([178.1, 65.0, 269.5, 176.4])
EYES_PX = 44.1
BLUE = Mask(colour=(226, 203, 165))
BLACK = Mask("black", colour=(10, 10, 10))


@pytest.fixture(scope="module")
def portrait() -> Image:
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def changed(before: Image, after: Image) -> np.ndarray:
    return np.abs(before.astype(int) - after).max(axis=2) > 25


def mirrored(points: np.ndarray, width: int) -> np.ndarray:
    turned = points[[1, 0, 2, 4, 3]].copy()
    turned[:, 0] = width - turned[:, 0]
    return turned


def turned_landmarks(yaw_deg: float, eyes_px: float = 60.0) -> np.ndarray:
    """Landmarks of the mean face turned to the side, in a 400 px image."""
    angle = np.deg2rad(yaw_deg)
    x = MEAN_FACE[:, 0] * np.cos(angle) + MEAN_FACE[:, 2] * np.sin(angle)
    return np.stack([200 + eyes_px * x, 150 + eyes_px * MEAN_FACE[:, 1]], axis=1)


def test_the_input_is_not_changed(portrait: Image) -> None:
    before, points = portrait.copy(), LANDMARKS.copy()
    result = render_mask(portrait, points, box=BOX)
    assert np.array_equal(portrait, before)
    assert np.array_equal(points, LANDMARKS)
    assert result.dtype == np.uint8
    assert result.shape == portrait.shape
    assert not np.may_share_memory(result, portrait)


@pytest.mark.parametrize(
    ("position", "covered", "free"),
    [
        ("worn", {"nose", "mouth", "chin"}, {"eyes", "forehead"}),
        ("below_nose", {"mouth", "chin"}, {"eyes", "forehead", "nose"}),
        ("chin", {"chin"}, {"eyes", "forehead", "nose", "mouth"}),
    ],
)
@pytest.mark.parametrize("kind", MASK_KINDS)
def test_each_position_covers_its_part_of_the_face(
    portrait: Image,
    kind: str,
    position: MaskPosition,
    covered: set[str],
    free: set[str],
) -> None:
    mask = Mask(kind, position, colour=(230, 60, 60))  # type: ignore[arg-type]
    result = changed(portrait, render_mask(portrait, LANDMARKS, mask, box=BOX))
    spots = {
        "forehead": (224, 85),
        "eyes": (225, 104),
        "nose": (224, 128),
        "mouth": (224, 147),
        "chin": (224, 166),
    }
    for name, (x, y) in spots.items():
        patch = result[y - 3 : y + 4, x - 6 : x + 7]
        if name in covered:
            assert patch.mean() > 0.9, name
        if name in free:
            assert not patch.any(), name


def test_only_the_face_changes(portrait: Image) -> None:
    result = changed(portrait, render_mask(portrait, LANDMARKS, box=BOX))
    rows, columns = np.nonzero(result)
    assert columns.min() > BOX[0] - 10
    assert columns.max() < BOX[2] + 10
    assert rows.min() > 95
    assert rows.max() < BOX[3] + 15


def test_the_box_gives_the_position_of_the_chin(portrait: Image) -> None:
    def lowest(bottom: float) -> int:
        box = np.array([178, 65, 269, bottom])
        result = render_mask(portrait, LANDMARKS, BLUE, box=box)
        return int(np.nonzero(changed(portrait, result))[0].max())

    assert lowest(172) + 5 < lowest(186)


def test_the_mask_has_its_colour(portrait: Image) -> None:
    def patch(colour: tuple[int, int, int]) -> np.ndarray:
        mask = Mask("cloth", colour=colour)
        result = render_mask(portrait, LANDMARKS, mask, box=BOX)
        return result[140:160, 205:240].reshape(-1, 3).mean(axis=0)

    assert patch((200, 40, 40)).argmax() == 0
    assert patch((40, 200, 40)).argmax() == 1
    assert patch((40, 40, 200)).argmax() == 2
    assert patch((30, 30, 30)).max() < 50
    assert patch((240, 240, 240)).min() > 170


@pytest.mark.parametrize(
    "pattern", [name for name in FABRIC_PATTERNS if name != "plain"]
)
def test_patterns_show_both_colours(portrait: Image, pattern: str) -> None:
    mask = Mask("cloth", "worn", (200, 30, 30), pattern, (30, 30, 200))  # type: ignore[arg-type]
    fabric = render_mask(portrait, LANDMARKS, mask, box=BOX)[130:165, 200:245].astype(
        int
    )
    blueness = fabric[..., 0] - fabric[..., 2]
    assert (blueness > 60).mean() > 0.15
    assert (blueness < -60).mean() > 0.15


def test_a_valve_is_visible(portrait: Image) -> None:
    plain = Mask("ffp2", colour=(238, 238, 236))
    valve = Mask("ffp2", colour=(238, 238, 236), has_valve=True)
    a, b = (render_mask(portrait, LANDMARKS, mask, box=BOX) for mask in (plain, valve))
    assert 40 < np.count_nonzero(np.abs(a.astype(int) - b).max(axis=2) > 8) < 600


def test_the_same_generator_gives_the_same_image(portrait: Image) -> None:
    def drawn(seed: int) -> Image:
        rng = np.random.default_rng(seed)
        return render_mask(portrait, LANDMARKS, BLUE, box=BOX, rng=rng)

    assert np.array_equal(drawn(1), drawn(1))
    assert not np.array_equal(drawn(1), drawn(2))
    default = render_mask(portrait, LANDMARKS, BLUE, box=BOX)
    assert np.array_equal(default, render_mask(portrait, LANDMARKS, BLUE, box=BOX))


def test_a_mirrored_face_wears_a_mirrored_mask(portrait: Image) -> None:
    straight = changed(portrait, render_mask(portrait, LANDMARKS, BLACK))
    flipped = np.ascontiguousarray(portrait[:, ::-1])
    points = mirrored(LANDMARKS, portrait.shape[1])
    back = changed(flipped, render_mask(flipped, points, BLACK))[:, ::-1]
    assert (straight & back).sum() / (straight | back).sum() > 0.9


@pytest.mark.parametrize("degrees", [-90, -40, 25, 180])
def test_the_mask_rotates_with_the_head(portrait: Image, degrees: float) -> None:
    centre = LANDMARKS.mean(axis=0)
    turn = cv2.getRotationMatrix2D(centre.tolist(), degrees, 1)
    leaning = cv2.warpAffine(portrait, turn, (512, 512))
    points = LANDMARKS @ turn[:, :2].T + turn[:, 2]
    worn = changed(leaning, render_mask(leaning, points, BLACK)).astype(np.uint8)
    upright = changed(portrait, render_mask(portrait, LANDMARKS, BLACK)).astype(
        np.uint8
    )
    expected = cv2.warpAffine(upright, turn, (512, 512)) > 0
    assert (worn & expected).sum() / (worn | expected).sum() > 0.9


def test_the_far_half_of_a_turned_face_is_narrower() -> None:
    grey = np.full((400, 400, 3), 120, np.uint8)

    def halves(yaw_deg: float) -> tuple[int, int]:
        points = turned_landmarks(yaw_deg)
        worn = changed(grey, render_mask(grey, points, Mask("black", colour=(5, 5, 5))))
        row, nose = int(points[3:, 1].mean()), int(points[2, 0])
        return int(worn[row, :nose].sum()), int(worn[row, nose:].sum())

    left, right = halves(0)
    assert left == pytest.approx(right, abs=2)
    left, right = halves(35)
    assert left > 2 * right
    assert halves(-35)[1] > 2 * halves(-35)[0]


@pytest.mark.parametrize("yaw_deg", [-60, -30, 0, 15, 45, 60])
def test_the_yaw_of_the_head_follows_the_landmarks(yaw_deg: float) -> None:
    head = Head.fit(turned_landmarks(yaw_deg))
    found = np.rad2deg(np.arctan2(head.rotation[0, 2], head.rotation[0, 0]))
    assert found == pytest.approx(yaw_deg, abs=1)
    assert head.eyes_px == pytest.approx(60, rel=0.01)
    assert head.project(MEAN_FACE) == pytest.approx(turned_landmarks(yaw_deg), abs=0.1)


def test_landmarks_of_other_faces_are_fitted_closely() -> None:
    found = Head.fit(LANDMARKS).project(MEAN_FACE)
    assert np.abs(found - LANDMARKS).max() < 0.06 * EYES_PX


def test_the_mask_has_the_light_of_the_face(portrait: Image) -> None:
    shade = np.where(np.arange(512) < 224, 0.35, 1.0)[None, :, None]
    lit = (portrait * shade).astype(np.uint8)
    result = render_mask(lit, LANDMARKS, Mask("cloth", colour=(200, 200, 200)), box=BOX)
    left, right = (result[145:160, x : x + 15].mean() for x in (202, 232))
    assert left < 0.65 * right
    dark = (portrait * 0.3).astype(np.uint8)
    mask = Mask("ffp2", colour=(238, 238, 236))
    assert render_mask(dark, LANDMARKS, mask, box=BOX)[145:160, 205:240].max() < 140


@pytest.mark.parametrize("eyes_px", [3.5, 8, 30, 300])
@pytest.mark.parametrize("position", MASK_POSITIONS)
def test_faces_of_every_size_get_a_mask(
    portrait: Image, eyes_px: float, position: MaskPosition
) -> None:
    scale = eyes_px / EYES_PX
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(
        portrait[40:220, 130:320], None, fx=scale, fy=scale, interpolation=how
    )
    points = (LANDMARKS - (130, 40)) * scale
    mask = Mask("black", position, colour=(10, 10, 10))
    result = render_mask(image, points, mask)
    covered_area = changed(image, result).sum() / eyes_px**2
    assert 0.4 < covered_area < 4


@pytest.mark.parametrize(
    "shift", [(-225, 0), (290, 0), (0, -130), (0, 380), (-3000, 0), (0, 3000)]
)
def test_a_face_partly_or_fully_outside_is_not_an_error(
    portrait: Image, shift: tuple[int, int]
) -> None:
    result = render_mask(portrait, LANDMARKS + shift, BLUE)
    assert result.shape == portrait.shape
    if max(map(abs, shift)) == 3000:
        assert np.array_equal(result, portrait)
    else:
        assert changed(portrait, result).any()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((4, 2)),
        np.zeros((5, 3)),
        np.zeros((5, 2)),
        np.full((5, 2), np.nan),
        LANDMARKS * 0.01,
    ],
)
def test_invalid_landmarks_are_rejected(portrait: Image, points: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"landmarks (must|are too close)"):
        render_mask(portrait, points)


@pytest.mark.parametrize(
    ("field", "value"), [("kind", "scarf"), ("position", "ear"), ("pattern", "zigzag")]
)
def test_an_unknown_name_is_rejected(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be one of .* got '{value}'"):
        Mask(**{field: value})  # type: ignore[arg-type]


def test_random_masks_have_all_kinds_and_are_reproducible() -> None:
    def many(seed: int) -> list[Mask]:
        rng = np.random.default_rng(seed)
        return [Mask.random(rng, "chin") for _ in range(120)]

    masks = many(0)
    assert masks == many(0)
    assert masks != many(1)
    assert {mask.kind for mask in masks} == set(MASK_KINDS)
    assert {mask.pattern for mask in masks} == set(FABRIC_PATTERNS)
    assert {mask.position for mask in masks} == {"chin"}
    assert {mask.has_valve for mask in masks} == {True, False}
    assert all(0 <= channel <= 255 for mask in masks for channel in mask.colour)
