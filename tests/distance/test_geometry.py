from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.distance import (
    PinholeCamera,
    make_people,
    project_rectangle,
    render_boxes,
)
from maskdet.distance import (
    FACE_HEIGHT_M,
    compute_pairwise_distances,
    get_geometry,
)
from maskdet.drawing import draw_birds_eye
from maskdet.settings import Settings
from maskdet.types import Scene
from tests.distance.positions import compute_positions_m

WH = (640, 480)
PINHOLE = Settings(distance="pinhole", field_of_view_deg=90.0)  # focal length: 320 px
RELATIVE = Settings(distance="relative")


def box(x: float, y: float, height: float, width: float | None = None) -> list[float]:
    """Return a face box around a centre, by default with the usual aspect ratio."""
    width = height / 1.27 if width is None else width
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def test_distance_follows_from_face_height() -> None:
    # 17 cm over 1.7 m is a tenth; a tenth of the focal length is 32 px.
    positions = compute_positions_m(np.array([box(320, 240, 32)]), WH, PINHOLE)
    assert positions == pytest.approx(np.array([[0.0, 1.7]]), abs=0.01)


def test_x_is_right_and_z_is_away() -> None:
    boxes = np.array([box(120, 240, 32), box(520, 240, 16)])
    left, right = compute_positions_m(boxes, WH, PINHOLE)
    assert left == pytest.approx([-1.7 * 200 / 320, 1.7], abs=0.01)
    assert right == pytest.approx([3.4 * 200 / 320, 3.4], abs=0.01)


def test_vertical_distance_counts() -> None:
    boxes = np.array([box(320, 100, 32), box(320, 380, 32)])
    apart = compute_pairwise_distances(get_geometry(PINHOLE, WH).to_world(boxes))[0, 1]
    assert apart == pytest.approx(2 * 1.7 * 140 / 320, rel=0.1)


def test_distances_are_symmetric_and_zero_on_the_diagonal() -> None:
    points = np.array([[0, 0, 0], [3, 0, 4], [0, 12, 0.0]])
    positions = compute_pairwise_distances(points)
    assert positions.tolist() == [[0, 5, 12], [5, 0, 13], [12, 13, 0]]


def test_relative_distances_across_the_image_are_in_face_heights() -> None:
    boxes = np.array([box(200, 240, 40), box(360, 240, 40)])
    geometry = get_geometry(RELATIVE, WH)
    assert geometry.unit == "heads"
    # 160 px are four heads of 40 px; at equal depth the lens does not matter.
    assert compute_pairwise_distances(geometry.to_world(boxes))[0, 1] == pytest.approx(
        4, rel=0.01
    )


def test_half_the_height_is_twice_as_far() -> None:
    boxes = np.array([box(320, 240, 40), box(320, 240, 20)])
    closer, farther = get_geometry(RELATIVE, WH).to_world(boxes)
    assert farther[2] == pytest.approx(2 * closer[2], rel=0.01)
    assert compute_pairwise_distances(np.stack([closer, farther]))[
        0, 1
    ] == pytest.approx(closer[2], rel=0.01)


def test_units_per_metre() -> None:
    assert get_geometry(RELATIVE, WH).units_per_m == pytest.approx(1 / FACE_HEIGHT_M)
    assert get_geometry(PINHOLE, WH).units_per_m == 1


@pytest.mark.parametrize("edge", ["top", "bottom"])
def test_the_distance_of_a_cut_face_follows_from_its_width(edge: str) -> None:
    whole = box(320, 30 if edge == "top" else 450, 80)
    cut = [whole[0], max(whole[1], 0), whole[2], min(whole[3], 480)]
    (whole_position,), (positions,) = (
        get_geometry(PINHOLE, WH).to_world(np.array([face_box]))
        for face_box in (whole, cut)
    )
    assert cut != whole
    assert positions == pytest.approx(whole_position, rel=0.01)


def test_a_narrow_face_is_not_farther() -> None:
    front, turned = box(320, 240, 40), box(320, 240, 40, width=20)
    positions = compute_positions_m(np.array([front, turned]), WH, PINHOLE)
    assert positions[0, 1] == positions[1, 1]


def test_no_boxes_give_no_positions() -> None:
    no_boxes = np.zeros((0, 4), np.float32)
    camera = PinholeCamera()
    floor = Settings(
        distance="ground_plane", ground_points=project_rectangle(camera, (-1, 3), 3, 3)
    )
    assert compute_positions_m(no_boxes, WH, PINHOLE).shape == (0, 2)
    assert compute_positions_m(no_boxes, camera.size_wh, floor).shape == (0, 2)
    assert compute_pairwise_distances(
        get_geometry(RELATIVE, WH).to_world(no_boxes)
    ).shape == (0, 0)


def test_an_empty_box_gives_a_far_position() -> None:
    positions = compute_positions_m(
        np.array([[50, 50, 50, 50]], np.float32), WH, PINHOLE
    )
    assert np.isfinite(positions).all()
    assert positions[0, 1] > 1000
    assert draw_birds_eye(Scene.empty(), np.zeros((0, 2))).shape == (360, 480, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(), "distance is off"),
        (Settings(distance="ground_plane"), "four points"),
    ],
)
def test_missing_settings_give_an_error(settings: Settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compute_positions_m(np.zeros((1, 4), np.float32), WH, settings)


def test_the_boxes_are_not_changed() -> None:
    boxes = np.array([box(320, 240, 40)], np.float32)
    before = boxes.copy()
    get_geometry(PINHOLE, WH).to_world(boxes)
    assert np.array_equal(boxes, before)


def test_the_renderer_agrees_with_an_exact_result() -> None:
    """A sphere of radius r before a level camera has half angle asin(r / distance)."""
    camera = PinholeCamera(WH, 90.0, height_m=1.55, tilt_deg=0.0)
    (positions,) = render_boxes(camera, make_people([(0.0, 2.0)]))
    middle, half = (positions[1] + positions[3]) / 2, (positions[3] - positions[1]) / 2
    assert middle == pytest.approx(240)
    depth = 0.95 * 0.085
    exact = 320 * 0.085 / math.sqrt(4 - depth**2)
    assert half == pytest.approx(exact, rel=1e-6)
