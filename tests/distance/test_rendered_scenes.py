"""Tests of distances in rendered scenes with known geometry; see `benchmarks`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.distance import (
    PinholeCamera,
    Trial,
    make_people,
    project_rectangle,
    relative_errors,
    render_boxes,
)
from maskdet.distance import ContactTracker, compute_pairwise_distances, get_geometry
from maskdet.settings import Settings

STANDARD_PEOPLE = Trial(body_height_std_m=0.0, face_height_std=0.0)

FEET = [(-1.2, 3.0), (0.3, 3.2), (1.4, 4.6), (-0.8, 4.8)]


@pytest.mark.parametrize("tilt_deg", [10.0, 25.0])
@pytest.mark.parametrize("height_m", [2.2, 2.8, 3.5])
@pytest.mark.parametrize(
    ("mode", "tolerance"), [("pinhole", 0.15), ("ground_plane", 0.05)]
)
def test_distances_between_standard_people_are_within_tolerance(
    mode: str, tolerance: float, height_m: float, tilt_deg: float
) -> None:
    """Run two seconds of boxes with 1 px of noise; check the last distances."""
    camera = PinholeCamera(height_m=height_m, tilt_deg=tilt_deg)
    people = make_people(FEET)
    rng = np.random.default_rng(3)
    floor = project_rectangle(camera, (-1.5, 3.0), 3.0, 3.0)
    settings = Settings(distance=mode, ground_points=floor, contact_distance_m=4.0)
    proximity, ids = ContactTracker(), np.arange(len(FEET))
    for step in range(50):
        boxes = render_boxes(camera, people)
        boxes += rng.normal(0, 1, boxes.shape)
        pairs, _ = proximity.update(boxes, ids, step / 25, camera.size_wh, settings)
    true_distances = compute_pairwise_distances(people.head_centres)
    assert len(pairs) == 6
    for pair in pairs:
        assert pair.distance == pytest.approx(
            true_distances[pair.first, pair.second], rel=tolerance
        )


@pytest.mark.parametrize(
    ("mode", "trial", "tolerance"),
    [
        ("ground_plane", STANDARD_PEOPLE, 0.03),
        ("ground_plane", Trial(), 0.05),
        ("pinhole", STANDARD_PEOPLE, 0.08),
        ("pinhole", Trial(), 0.15),
    ],
)
def test_the_mean_error_of_random_scenes_is_within_tolerance(
    mode: str, trial: Trial, tolerance: float
) -> None:
    """Tolerance: 5 % with a ground plane, 15 % with a field of view.

    Boxes and clicks have 1 px of noise, the height of faces above the floor 5 cm and
    their size 6 % (standard deviations).
    """
    assert np.abs(relative_errors(mode, trial, scenes=60)).mean() < tolerance


def test_a_wrong_field_of_view_exceeds_the_tolerance() -> None:
    camera = PinholeCamera(height_m=1.6, tilt_deg=0.0, field_of_view_deg=60.0)
    people = make_people([(0.0, 2.0), (0.0, 4.0)])
    boxes = render_boxes(camera, people)
    distances = [
        compute_pairwise_distances(
            get_geometry(
                Settings(distance="pinhole", field_of_view_deg=field_deg),
                camera.size_wh,
            ).to_world(boxes)
        )[0, 1]
        for field_deg in (60.0, 90.0)
    ]
    assert distances[0] == pytest.approx(2.0, rel=0.03)
    assert distances[1] < 1.3
