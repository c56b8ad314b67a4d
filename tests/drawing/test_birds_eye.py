from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from maskdet.drawing import draw_birds_eye
from maskdet.style import colour_bgr
from maskdet.types import Faces, Image, Label, PersonPair, Scene

LABELS = (Label.MASK, Label.NO_MASK, Label.INCORRECT, Label.UNKNOWN)


def make_scene(
    labels: Sequence[Label],
    pairs: tuple[PersonPair, ...] = (),
    unseen_s: Sequence[float] | None = None,
) -> Scene:
    n = len(labels)
    probs = np.full((n, 3), 1 / 3, np.float32)
    for row, label in enumerate(labels):
        if label is not Label.UNKNOWN:
            probs[row] = 0
            probs[row, label] = 1
    faces = Faces(np.zeros((n, 4)), np.linspace(0.9, 0.5, n))
    unseen = None if unseen_s is None else np.array(unseen_s)
    return Scene(faces, probs, min_confidence=0.6, pairs=pairs, unseen_s=unseen)


def marker_pixels(image: Image, label: Label) -> np.ndarray:
    """Return `(n, 2)` x and y of the largest area in the colour of the label."""
    coloured = (image == colour_bgr(label)).all(axis=2).astype(np.uint8)
    _, components, sizes, _ = cv2.connectedComponentsWithStats(coloured)
    largest = 1 + sizes[1:, cv2.CC_STAT_AREA].argmax()
    rows, columns = np.nonzero(components == largest)
    return np.stack([columns, rows], axis=1)


@pytest.mark.parametrize("label", LABELS)
def test_a_person_is_at_the_given_position(label: Label) -> None:
    # The depth is from 0.4 m behind the camera to 3 m, the width from 0 to 2 m.
    image = draw_birds_eye(
        make_scene([label]), np.array([[1.0, 2.0]]), size_wh=(500, 340)
    )
    middle = marker_pixels(image, label).mean(axis=0)
    assert middle == pytest.approx([250, 340 - 240], abs=2)


def test_each_class_has_its_own_shape() -> None:
    shapes = []
    for label in LABELS:
        image = draw_birds_eye(make_scene([label]), np.array([[0.0, 2.0]]))
        points = marker_pixels(image, label)
        outline = np.zeros((40, 40), bool)
        x, y = (points - points.min(axis=0)).T
        outline[y, x] = True
        shapes.append(outline)
    for index, one in enumerate(shapes):
        for other in shapes[index + 1 :]:
            assert (one != other).mean() > 0.01


def test_the_view_grows_to_show_everybody() -> None:
    positions = np.array([[0.0, 1.0], [0.0, 17.0], [-9.0, 3.0]])
    image = draw_birds_eye(make_scene(LABELS[:3]), positions)
    for label in LABELS[:3]:
        assert len(marker_pixels(image, label)) > 20


def test_people_far_from_the_camera_fill_the_view() -> None:
    positions = np.array([[4.0, 19.5], [6.0, 20.5]])
    image = draw_birds_eye(make_scene(LABELS[:2]), positions, size_wh=(400, 400))
    first, second = (marker_pixels(image, label).mean(axis=0) for label in LABELS[:2])
    # The view is 4 m wide; with the camera in it, it would be 21 m deep.
    assert second - first == pytest.approx([200, -100], abs=3)


def test_somebody_very_far_away_is_at_the_edge_of_the_largest_view() -> None:
    positions = np.array([[3e5, 1e6], [0.0, 2.0]])
    image = draw_birds_eye(make_scene(LABELS[:2]), positions)
    assert len(marker_pixels(image, LABELS[0])) > 20


@pytest.mark.parametrize("label", LABELS)
def test_a_dark_view_keeps_the_colours_of_the_classes(label: Label) -> None:
    scene, positions = make_scene([label]), np.array([[0.0, 2.0]])
    light, dark = (
        draw_birds_eye(scene, positions, dark=is_dark) for is_dark in (False, True)
    )
    assert np.median(light) > 200
    assert np.median(dark) < 60
    assert len(marker_pixels(dark, label)) == len(marker_pixels(light, label))


def test_a_small_step_does_not_change_the_scale() -> None:
    near, far = (
        marker_pixels(
            draw_birds_eye(make_scene(LABELS[:2]), np.array([[1.0, 2.0], [0.0, z]])),
            Label.MASK,
        )
        for z in (2.5, 3.3)
    )
    assert np.array_equal(near, far)


def test_a_person_without_detection_is_hollow() -> None:
    position = np.array([[0.0, 2.0]])
    detected, unseen = (
        len(
            marker_pixels(
                draw_birds_eye(make_scene([Label.MASK], unseen_s=[s]), position),
                Label.MASK,
            )
        )
        for s in (0.0, 1.5)
    )
    assert 0 < unseen < 0.8 * detected


@pytest.mark.parametrize("exceeds_limit", [True, False])
def test_a_line_joins_a_pair_in_contact(exceeds_limit: bool) -> None:
    positions = np.array([[-1.0, 2.0], [1.0, 2.0]])
    labels = [Label.MASK, Label.MASK]
    pair = PersonPair(
        0, 1, 2.0, "m", in_contact=True, contact_s=1.0, exceeds_limit=exceeds_limit
    )
    alone = draw_birds_eye(make_scene(labels), positions)
    joined = draw_birds_eye(make_scene(labels, (pair,)), positions)
    changed = np.nonzero((alone != joined).any(axis=2))
    assert changed[1].max() - changed[1].min() > 150
    red = ((joined == (0, 0, 200)).all(axis=2)).sum()
    assert (red > 200) == exceeds_limit


def test_a_pair_not_in_contact_gets_no_line() -> None:
    positions = np.array([[-1.0, 2.0], [1.0, 2.0]])
    pair = PersonPair(
        0, 1, 2.0, "m", in_contact=False, contact_s=0.0, exceeds_limit=False
    )
    labels = [Label.MASK, Label.MASK]
    assert np.array_equal(
        draw_birds_eye(make_scene(labels), positions),
        draw_birds_eye(make_scene(labels, (pair,)), positions),
    )


def test_the_rectangle_is_shown() -> None:
    corners = np.array([[-1.0, 3.0], [1.0, 3.0], [1.0, 1.5], [-1.0, 1.5]])
    image = draw_birds_eye(
        Scene.empty(), np.zeros((0, 2)), size_wh=(460, 460), corners_m=corners
    )
    rows, columns = np.nonzero((image == (238, 232, 226)).all(axis=2))
    # 4.4 m from behind the camera to the far edge with its margin.
    px_per_m = 460 / 4.4
    width, depth = np.ptp(columns), np.ptp(rows)
    assert (width, depth) == pytest.approx((2 * px_per_m, 1.5 * px_per_m), abs=5)
    assert 460 - rows.max() == pytest.approx(1.9 * px_per_m, abs=5)


def test_the_view_has_the_given_size() -> None:
    image = draw_birds_eye(
        make_scene([Label.MASK]), np.array([[0.0, 2.0]]), size_wh=(300, 200)
    )
    assert image.shape == (200, 300, 3)
    assert image.dtype == np.uint8


def test_every_row_needs_a_position() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2\), got \(0, 2\)"):
        draw_birds_eye(make_scene([Label.MASK]), np.zeros((0, 2)))
