from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.distance import (
    PinholeCamera,
    make_people,
    project_rectangle,
    render_boxes,
)
from maskdet.distance import (
    compute_pairwise_distances,
    get_geometry,
)
from maskdet.settings import Settings
from tests.distance.positions import compute_positions_m

FEET = [(-1.0, 4.0), (1.0, 4.0), (0.5, 6.0)]


def make_settings(
    camera: PinholeCamera, *, wide: float = 3.0, deep: float = 2.0, away: float = 3.0
) -> Settings:
    return Settings(
        distance="ground_plane",
        ground_points=project_rectangle(camera, (-1.5, away), wide, deep),
        ground_width_m=wide,
        ground_depth_m=deep,
    )


@pytest.mark.parametrize("field_deg", [50.0, 65.0, 85.0])
@pytest.mark.parametrize(
    ("height_m", "tilt_deg", "roll_deg"),
    [(2.2, 15.0, 0.0), (3.0, 30.0, 3.0), (4.0, 40.0, -3.0)],
)
def test_the_camera_is_calibrated_from_four_points(
    field_deg: float, height_m: float, tilt_deg: float, roll_deg: float
) -> None:
    camera = PinholeCamera((1280, 720), field_deg, height_m, tilt_deg, roll_deg)
    positions = get_geometry(make_settings(camera), camera.size_wh)
    assert positions.focal_px == pytest.approx(camera.focal_px, rel=0.01)
    assert positions.ground_camera is not None
    assert positions.ground_camera.height_m == pytest.approx(height_m, abs=0.02)
    corners = [[-1.5, 5.0], [1.5, 5.0], [1.5, 3.0], [-1.5, 3.0]]
    assert positions.ground_camera.corners_m == pytest.approx(
        np.array(corners), abs=0.12
    )


def test_positions_are_where_people_stand() -> None:
    camera = PinholeCamera(height_m=3.0, tilt_deg=25.0)
    boxes = render_boxes(camera, make_people(FEET))
    positions = compute_positions_m(boxes, camera.size_wh, make_settings(camera))
    assert positions == pytest.approx(np.array(FEET), abs=0.1)


def test_the_rectangle_may_be_rotated_and_partly_outside_the_image() -> None:
    camera = PinholeCamera(height_m=3.0, tilt_deg=25.0)
    corners = np.array([[-2.0, 0, 5.0], [0.0, 0, 6.5], [1.5, 0, 4.5], [-0.5, 0, 3.0]])
    away = (
        np.linalg.norm(corners[1] - corners[0]),
        np.linalg.norm(corners[2] - corners[1]),
    )
    settings = Settings(
        distance="ground_plane",
        ground_points=tuple(
            (camera.project(corners) / camera.size_wh).ravel().tolist()
        ),
        ground_width_m=float(away[0]),
        ground_depth_m=float(away[1]),
    )
    geometry = get_geometry(settings, camera.size_wh)
    assert geometry.ground_camera is not None
    # The view follows the camera direction, not the rectangle.
    assert geometry.ground_camera.corners_m == pytest.approx(
        corners[:, [0, 2]], abs=0.05
    )
    positions = compute_positions_m(
        render_boxes(camera, make_people(FEET)), camera.size_wh, settings
    )
    assert positions == pytest.approx(np.array(FEET), abs=0.1)


def test_from_straight_above_the_field_of_view_of_the_settings_is_used() -> None:
    """A rectangle seen from straight above is a rectangle for any focal length."""
    camera = PinholeCamera((1280, 720), 80.0, 4.0, tilt_deg=90.0)
    points = project_rectangle(camera, (-1.0, -1.0), 2.0, 2.0)
    settings = Settings(
        distance="ground_plane",
        ground_points=points,
        ground_width_m=2.0,
        ground_depth_m=2.0,
    )
    for field_deg in (60.0, 80.0):
        changed_settings = dataclasses.replace(settings, field_of_view_deg=field_deg)
        geometry = get_geometry(changed_settings, camera.size_wh)
        likely = PinholeCamera((1280, 720), field_deg).focal_px
        assert geometry.focal_px == pytest.approx(likely, rel=0.05)
    feet = [(-0.8, 0.5), (0.9, 0.4)]
    boxes = render_boxes(camera, make_people(feet))
    positions = compute_pairwise_distances(geometry.to_world(boxes))[0, 1]
    assert positions == pytest.approx(np.hypot(1.7, 0.1), rel=0.06)
    assert geometry.to_world(boxes)[:, [0, 2]] == pytest.approx(np.array(feet), abs=0.1)


def test_a_camera_at_eye_level_uses_the_size_of_faces() -> None:
    """All standing faces are on the horizon there, so their height has no effect."""
    camera = PinholeCamera(height_m=1.55, tilt_deg=5.0)
    positions = compute_positions_m(
        render_boxes(camera, make_people(FEET)), camera.size_wh, make_settings(camera)
    )
    assert positions == pytest.approx(np.array(FEET), rel=0.06, abs=0.1)


@pytest.mark.parametrize("height_m", [2.0, 2.5])
def test_a_sitting_person_is_not_placed_too_far(height_m: float) -> None:
    camera = PinholeCamera(height_m=height_m, tilt_deg=25.0)
    people = dataclasses.replace(
        make_people([(0.0, 4.0)]), face_above_floor_m=np.array([0.9])
    )
    ((_, positions),) = compute_positions_m(
        render_boxes(camera, people), camera.size_wh, make_settings(camera)
    )
    # From the height alone: the ray is at 0.9 m at 4 m, and at 1.55 m much closer.
    by_height = 4.0 * (height_m - 1.55) / (height_m - 0.9)
    assert abs(positions - 4.0) < 0.25 * abs(by_height - 4.0)


def reorder_points(
    order: list[int], *, camera: PinholeCamera | None = None
) -> tuple[float, ...]:
    points = np.array(make_settings(camera or PinholeCamera()).ground_points).reshape(
        4, 2
    )
    return tuple(points[order].ravel().tolist())


IMPOSSIBLE = {
    "against the clock": reorder_points([1, 0, 3, 2]),
    "crossed": reorder_points([0, 2, 1, 3]),
    "one point": (0.5, 0.5) * 4,
    "two alike": reorder_points([0, 0, 2, 3]),
    "in a line": (0.1, 0.5, 0.3, 0.5, 0.6, 0.5, 0.9, 0.5),
    "three in a line": (0.2, 0.2, 0.5, 0.5, 0.8, 0.8, 0.2, 0.8),
    "bent inwards": (0.2, 0.2, 0.8, 0.2, 0.4, 0.3, 0.2, 0.8),
}


@pytest.mark.parametrize("points", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_impossible_points_are_rejected_with_one_line(
    points: tuple[float, ...],
) -> None:
    settings = Settings(distance="ground_plane", ground_points=points)
    with pytest.raises(ValueError, match="clockwise from the far left one") as caught:
        get_geometry(settings, (1280, 720))
    assert "\n" not in str(caught.value)


def test_an_impossible_length_is_rejected() -> None:
    """A square seen from straight above cannot be a strip of 10 m."""
    camera = PinholeCamera((1280, 720), 65.0, 3.0, tilt_deg=90.0)
    points = project_rectangle(camera, (-0.6, -0.6), 1.2, 1.2)
    settings = Settings(
        distance="ground_plane",
        ground_points=points,
        ground_width_m=10.0,
        ground_depth_m=1.0,
    )
    with pytest.raises(ValueError, match="10 x 1 m"):
        get_geometry(settings, camera.size_wh)


def test_the_field_of_view_of_the_settings_hardly_matters() -> None:
    camera = PinholeCamera(height_m=3.0, tilt_deg=30.0)
    focals = [
        get_geometry(
            dataclasses.replace(make_settings(camera), field_of_view_deg=field_deg),
            camera.size_wh,
        ).focal_px
        for field_deg in (40.0, 100.0)
    ]
    assert focals[0] == pytest.approx(focals[1], rel=0.03)
