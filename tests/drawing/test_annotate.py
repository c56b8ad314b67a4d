"""Tests of `draw`, partly pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from maskdet.drawing import draw
from maskdet.style import (
    PALETTES,
    Palette,
    Style,
    colour_bgr,
    line_style,
    text_colour_bgr,
)
from maskdet.types import Faces, Image, Label, Scene

GREY_BGR = (90, 110, 130)
NO_TEXT = Style(labels=False, percentages=False)


def make_image(width: int, height: int) -> Image:
    return np.full((height, width, 3), GREY_BGR, np.uint8)


def make_scene(*faces: tuple[Label, tuple[float, float, float, float]]) -> Scene:
    """Return faces with these labels, with confidence 88 %, or 50 % if `UNKNOWN`."""
    probs = np.full((len(faces), 3), 0.06, np.float32)
    for row, (label, _) in enumerate(faces):
        probs[row] = [0.5, 0.25, 0.25] if label is Label.UNKNOWN else probs[row]
        if label is not Label.UNKNOWN:
            probs[row, label] = 0.88
    boxes = np.array([box for _, box in faces], np.float32).reshape(-1, 4)
    scores = np.linspace(0.9, 0.5, len(faces)).astype(np.float32)
    return Scene(Faces(boxes, scores), probs, min_confidence=0.6)


def changed_pixels(before: Image, after: Image) -> np.ndarray:
    return (before != after).any(axis=2)


def is_colour(image: Image, bgr: tuple[int, int, int]) -> np.ndarray:
    return (image == np.array(bgr, np.uint8)).all(axis=2)


def test_the_input_is_never_changed_and_the_result_is_new() -> None:
    image = make_image(200, 150)
    before = image.copy()
    result = draw(image, make_scene((Label.MASK, (50, 50, 100, 100))))
    assert np.array_equal(image, before)
    assert not np.shares_memory(image, result)
    assert result.shape == image.shape
    assert result.dtype == np.uint8


def test_a_read_only_image_is_accepted() -> None:
    image = make_image(200, 150)
    image.flags.writeable = False
    assert changed_pixels(
        image, draw(image, make_scene((Label.MASK, (50, 50, 100, 100))))
    ).any()


def test_nothing_is_drawn_without_faces() -> None:
    image = make_image(64, 48)
    assert np.array_equal(draw(image, Scene.empty()), image)


def test_pixels_change_only_near_the_box() -> None:
    image = make_image(640, 480)
    result = draw(image, make_scene((Label.NO_MASK, (200, 200, 300, 320))))
    rows, columns = np.nonzero(changed_pixels(image, result))
    assert columns.min() >= 190
    assert columns.max() <= 330
    assert rows.min() >= 165
    assert rows.max() <= 330
    assert np.array_equal(result[230:290, 230:270], image[230:290, 230:270])


@pytest.mark.parametrize(
    "box",
    [
        (-500, 20, -10, 90),
        (300, 10, 400, 60),
        (20, 20, 20, 60),
        (60, 60, 30, 30),
    ],
)
def test_a_box_outside_or_empty_draws_nothing(
    box: tuple[float, float, float, float],
) -> None:
    image = make_image(200, 150)
    assert np.array_equal(draw(image, make_scene((Label.MASK, box))), image)


@pytest.mark.parametrize("box", [(-40, -30, 60, 70), (150, 100, 1e9, 1e30)])
def test_a_box_partly_outside_is_outlined_along_the_border(
    box: tuple[float, float, float, float],
) -> None:
    image = make_image(200, 150)
    result = draw(image, make_scene((Label.MASK, box)), NO_TEXT)
    green = is_colour(result, colour_bgr(Label.MASK))
    top_left = box[0] < 0
    border = green[:4, :4] if top_left else green[-4:, -4:]
    beside = green[40, :4] if top_left else green[130, -4:]
    assert border.any()
    assert beside.any()


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 2), (37, 501), (501, 37)])
@pytest.mark.parametrize("label", list(Label))
def test_unusual_image_sizes_are_accepted(
    size_wh: tuple[int, int], label: Label
) -> None:
    width, height = size_wh
    result = draw(make_image(width, height), make_scene((label, (0, 0, width, height))))
    assert result.shape == (height, width, 3)


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("label", list(Label))
def test_each_label_has_its_colour_on_outline_and_plate(
    label: Label, palette: Palette
) -> None:
    result = draw(
        make_image(640, 480),
        make_scene((label, (200, 200, 320, 320))),
        Style(palette=palette),
    )
    has_label_colour = is_colour(result, colour_bgr(label, palette))
    assert has_label_colour[150:196].sum() > 500, "plate above the box"
    assert has_label_colour[210:310, 190:210].sum() > 80, "left side of the outline"
    for non_latin in set(Label) - {label}:
        assert not is_colour(result, colour_bgr(non_latin, palette)).any()


def left_side(label: Label) -> np.ndarray:
    result = draw(
        make_image(640, 480), make_scene((label, (200, 200, 360, 360))), NO_TEXT
    )
    return is_colour(result, colour_bgr(label))[190:370, 190:220]


def count_marks(line: np.ndarray) -> int:
    """Return the number of separate marks in a line of pixels."""
    return int((np.diff(np.pad(line.astype(int), 1)) == 1).sum())


def test_line_styles_differ_without_any_colour() -> None:
    across = {
        label: count_marks(left_side(label)[90:110].any(axis=0)) for label in Label
    }
    along = {
        label: count_marks(left_side(label)[:, left_side(label).sum(axis=0).argmax()])
        for label in Label
    }
    assert across[Label.MASK] == 1
    assert across[Label.NO_MASK] == 2
    assert along[Label.MASK] == along[Label.NO_MASK] == 1
    assert 4 <= along[Label.INCORRECT] <= 12
    assert along[Label.UNKNOWN] >= 2 * along[Label.INCORRECT]
    assert {line_style(label) for label in Label} == {
        "solid",
        "double",
        "dashed",
        "dotted",
    }


@pytest.mark.parametrize("background", [0, 128, 255])
def test_the_outline_is_visible_on_any_background(background: int) -> None:
    image = np.full((480, 640, 3), background, np.uint8)
    result = draw(image, make_scene((Label.UNKNOWN, (200, 200, 360, 360))), NO_TEXT)
    levels = np.abs(result.astype(int) - background).max(axis=2)
    assert levels.max() >= 90


def test_line_width_grows_with_the_image_and_is_thin_on_small_faces() -> None:
    def line_px(side: int, face: int) -> int:
        box = (side // 2, side // 2, side // 2 + face, side // 2 + face)
        result = draw(make_image(side, side), make_scene((Label.MASK, box)), NO_TEXT)
        row = is_colour(result, colour_bgr(Label.MASK))[side // 2 + face // 2]
        return int(row[: side // 2 + face // 2].sum())

    widths = [line_px(side, side // 4) for side in (320, 640, 1920, 4000)]
    assert widths == sorted(set(widths))
    assert widths[-1] >= 8
    assert line_px(4000, 20) == 1


@pytest.mark.parametrize("side", [320, 640, 1920, 4000])
def test_text_is_readable_at_every_size(side: int) -> None:
    """Capitals have at least 8 px, and at least 1 % of the image's longer side."""
    face = side // 3
    box = (face, face, 2 * face, 2 * face)
    result = draw(
        make_image(side, side), make_scene((Label.MASK, box)), Style(boxes=False)
    )
    plate = changed_pixels(make_image(side, side), result)
    colour = colour_bgr(Label.MASK)
    ink = is_colour(result, text_colour_bgr(colour)) & plate
    rows = np.flatnonzero(ink.any(axis=1))
    cap_px = rows.max() - rows.min() + 1
    assert cap_px >= max(8, 0.01 * side)
    assert cap_px <= 0.2 * face


def test_style_options_omit_parts() -> None:
    image = make_image(640, 480)
    scene = make_scene((Label.MASK, (200, 200, 320, 320)))
    plain = draw(image, scene, Style(boxes=False, labels=False, percentages=False))
    assert np.array_equal(plain, image)
    assert not changed_pixels(image, draw(image, scene, NO_TEXT))[:190].any()
    assert not changed_pixels(image, draw(image, scene, Style(boxes=False)))[205:].any()
    wide = changed_pixels(image, draw(image, scene))[:196].sum()
    assert (
        changed_pixels(image, draw(image, scene, Style(labels=False)))[:196].sum()
        < wide
    )


def test_scale_makes_text_and_lines_larger() -> None:
    image = make_image(640, 480)
    scene = make_scene((Label.MASK, (200, 200, 420, 420)))
    sizes = [
        int(changed_pixels(image, draw(image, scene, Style(scale=scale))).sum())
        for scale in (0.5, 1, 2)
    ]
    assert sizes == sorted(set(sizes))


def test_drawing_is_deterministic() -> None:
    scene = make_scene(
        (Label.MASK, (20, 20, 60, 60)), (Label.NO_MASK, (40, 30, 90, 90))
    )
    assert np.array_equal(
        draw(make_image(200, 150), scene), draw(make_image(200, 150), scene)
    )


def test_non_latin_class_names_are_drawn_as_the_default() -> None:
    image, scene = make_image(320, 240), make_scene((Label.MASK, (100, 100, 200, 200)))
    default, latin, non_latin = (
        draw(image, scene, Style(class_names=names))
        for names in ({}, {"mask": "Covered"}, {"mask": "口罩"})
    )
    assert np.array_equal(non_latin, default)
    assert not np.array_equal(latin, default)
