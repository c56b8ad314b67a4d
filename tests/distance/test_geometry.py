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
    compute_positions_m,
    draw_birds_eye,
    get_geometry,
)
from maskdet.settings import Settings
from maskdet.types import Scene

WH = (640, 480)
PINHOLE = Settings(distance="pinhole", field_of_view_deg=90.0)  # focal length: 320 px
RELATIVE = Settings(distance="relative")


def box(x: float, y: float, height: float, width: float | None = None) -> list[float]:
    """Return a face around a middle; by default as wide as upright faces are."""
    width = height / 1.27 if width is None else width
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def test_a_face_in_the_middle_is_as_far_as_its_height_says() -> None:
    # 17 cm over 1.7 m is a tenth; a tenth of the focal length is 32 px.
    found = compute_positions_m(np.array([box(320, 240, 32)]), WH, PINHOLE)
    assert found == pytest.approx(np.array([[0.0, 1.7]]), abs=0.01)


def test_x_is_right_and_z_is_away() -> None:
    boxes = np.array([box(120, 240, 32), box(520, 240, 16)])
    left, right = compute_positions_m(boxes, WH, PINHOLE)
    assert left == pytest.approx([-1.7 * 200 / 320, 1.7], abs=0.01)
    assert right == pytest.approx([3.4 * 200 / 320, 3.4], abs=0.01)


def test_heads_apart_in_height_are_apart() -> None:
    boxes = np.array([box(320, 100, 32), box(320, 380, 32)])
    apart = compute_pairwise_distances(get_geometry(PINHOLE, WH).to_world(boxes))[0, 1]
    assert apart == pytest.approx(2 * 1.7 * 140 / 320, rel=0.1)


def test_distances_are_symmetric_and_nothing_from_itself() -> None:
    places = np.array([[0, 0, 0], [3, 0, 4], [0, 12, 0.0]])
    found = compute_pairwise_distances(places)
    assert found.tolist() == [[0, 5, 12], [5, 0, 13], [12, 13, 0]]


def test_side_by_side_is_counted_in_heads_whatever_the_lens() -> None:
    boxes = np.array([box(200, 240, 40), box(360, 240, 40)])
    shape = get_geometry(RELATIVE, WH)
    assert shape.unit == "heads"
    # 160 px are four heads of 40 px; both are equally far, so no lens matters.
    assert compute_pairwise_distances(shape.to_world(boxes))[0, 1] == pytest.approx(
        4, rel=0.01
    )


def test_half_the_size_is_twice_as_far() -> None:
    boxes = np.array([box(320, 240, 40), box(320, 240, 20)])
    near, far = get_geometry(RELATIVE, WH).to_world(boxes)
    assert far[2] == pytest.approx(2 * near[2], rel=0.01)
    assert compute_pairwise_distances(np.stack([near, far]))[0, 1] == pytest.approx(
        near[2], rel=0.01
    )


def test_a_metre_has_as_many_heads_as_faces_fit_into_it() -> None:
    assert get_geometry(RELATIVE, WH).units_per_m == pytest.approx(1 / FACE_HEIGHT_M)
    assert get_geometry(PINHOLE, WH).units_per_m == 1


@pytest.mark.parametrize("edge", ["top", "bottom"])
def test_a_face_cut_by_the_edge_is_as_far_as_its_width_says(edge: str) -> None:
    whole = box(320, 30 if edge == "top" else 450, 80)
    cut = [whole[0], max(whole[1], 0), whole[2], min(whole[3], 480)]
    (true,), (found,) = (
        get_geometry(PINHOLE, WH).to_world(np.array([one])) for one in (whole, cut)
    )
    assert cut != whole
    assert found == pytest.approx(true, rel=0.01)


def test_a_narrow_face_in_the_middle_is_turned_and_no_further() -> None:
    front, turned = box(320, 240, 40), box(320, 240, 40, width=20)
    found = compute_positions_m(np.array([front, turned]), WH, PINHOLE)
    assert found[0, 1] == found[1, 1]


def test_nobody_is_nowhere() -> None:
    none = np.zeros((0, 4), np.float32)
    camera = PinholeCamera()
    floor = Settings(
        distance="ground_plane", ground_points=project_rectangle(camera, (-1, 3), 3, 3)
    )
    assert compute_positions_m(none, WH, PINHOLE).shape == (0, 2)
    assert compute_positions_m(none, camera.size_wh, floor).shape == (0, 2)
    assert compute_pairwise_distances(
        get_geometry(RELATIVE, WH).to_world(none)
    ).shape == (0, 0)


def test_an_empty_box_gives_a_place_far_away_not_a_crash() -> None:
    found = compute_positions_m(np.array([[50, 50, 50, 50]], np.float32), WH, PINHOLE)
    assert np.isfinite(found).all()
    assert found[0, 1] > 1000
    assert draw_birds_eye(Scene.empty(), np.zeros((0, 2))).shape == (480, 480, 3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(), "distance is off"),
        (RELATIVE, "no metres"),
        (Settings(distance="ground_plane"), "four points"),
    ],
)
def test_positions_say_what_is_missing(settings: Settings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compute_positions_m(np.zeros((1, 4), np.float32), WH, settings)


def test_the_given_boxes_stay_as_they_are() -> None:
    boxes = np.array([box(320, 240, 40)], np.float32)
    before = boxes.copy()
    get_geometry(PINHOLE, WH).to_world(boxes)
    assert np.array_equal(boxes, before)


def test_the_renderer_agrees_with_a_face_worked_out_by_hand() -> None:
    """A ball of radius r before a level camera: half angle asin(r / distance)."""
    camera = PinholeCamera(WH, 90.0, height_m=1.55, tilt_deg=0.0)
    (found,) = render_boxes(camera, make_people([(0.0, 2.0)]))
    middle, half = (found[1] + found[3]) / 2, (found[3] - found[1]) / 2
    assert middle == pytest.approx(240)
    depth = 0.95 * 0.085
    exact = 320 * 0.085 / math.sqrt(4 - depth**2)
    assert half == pytest.approx(exact, rel=1e-6)
