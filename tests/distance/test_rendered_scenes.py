"""Distances in rendered scenes whose geometry is known; see `benchmarks.distance`."""

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

ALIKE = Trial(body_height_std_m=0.0, face_height_std=0.0)

FEET = [(-1.2, 3.0), (0.3, 3.2), (1.4, 4.6), (-0.8, 4.8)]


@pytest.mark.parametrize("tilt_deg", [10.0, 25.0])
@pytest.mark.parametrize("height_m", [2.2, 2.8, 3.5])
@pytest.mark.parametrize(
    ("mode", "within"), [("pinhole", 0.15), ("ground_plane", 0.05)]
)
def test_every_distance_holds_its_promise_for_people_of_the_usual_size(
    mode: str, within: float, height_m: float, tilt_deg: float
) -> None:
    """Two seconds of boxes that shake by a pixel; the last distances are judged."""
    camera = PinholeCamera(height_m=height_m, tilt_deg=tilt_deg)
    people = make_people(FEET)
    rng = np.random.default_rng(3)
    floor = project_rectangle(camera, (-1.5, 3.0), 3.0, 3.0)
    settings = Settings(distance=mode, ground_points=floor, contact_distance_m=4.0)
    proximity, ids = ContactTracker(), np.arange(len(FEET))
    for step in range(50):
        boxes = render_boxes(camera, people)
        boxes += rng.normal(0, 1, boxes.shape)
        near = proximity.update(boxes, ids, step / 25, camera.size_wh, settings)
    true = compute_pairwise_distances(people.head_centres)
    assert len(near) == 6
    for pair in near:
        assert pair.distance == pytest.approx(true[pair.first, pair.second], rel=within)


@pytest.mark.parametrize(
    ("mode", "trial", "within"),
    [
        ("ground_plane", ALIKE, 0.03),
        ("ground_plane", Trial(), 0.05),
        ("pinhole", ALIKE, 0.08),
        ("pinhole", Trial(), 0.15),
    ],
)
def test_the_mean_error_of_random_scenes_holds_the_promise(
    mode: str, trial: Trial, within: float
) -> None:
    """Promise: 5 % on a floor, 15 % from a field of view; with a pixel of noise in
    boxes and clicks, faces within 5 cm of the usual height above the floor and within
    6 % of the usual size (standard deviations)."""
    assert np.abs(relative_errors(mode, trial, scenes=60)).mean() < within


def test_the_promise_would_notice_a_wrong_field_of_view() -> None:
    camera = PinholeCamera(height_m=1.6, tilt_deg=0.0, field_of_view_deg=60.0)
    people = make_people([(0.0, 2.0), (0.0, 4.0)])
    boxes = render_boxes(camera, people)
    found = [
        compute_pairwise_distances(
            get_geometry(
                Settings(distance="pinhole", field_of_view_deg=field_deg),
                camera.size_wh,
            ).to_world(boxes)
        )[0, 1]
        for field_deg in (60.0, 90.0)
    ]
    assert found[0] == pytest.approx(2.0, rel=0.03)
    assert found[1] < 1.3
