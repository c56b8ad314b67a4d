"""Accuracy of distances between people on scenes with known geometry.

`python benchmarks/distance.py` samples cameras and people, renders the boxes of their
faces, adds noise of a pixel and compares the distances with the true ones. A face is a
rotated ellipsoid with an exact outline. `maskdet.distance` uses a simpler model, so no
method benefits from an identical simplification.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from maskdet.distance import (
    FACE_ABOVE_FLOOR_M,
    FACE_HEIGHT_M,
    compute_pairwise_distances,
    get_geometry,
)
from maskdet.settings import Settings

FloatArray = NDArray[np.float64]

_FACE_PROPORTIONS = np.array([0.79, 1.0, 0.95])
"""Width, height and depth of a face in heights: the width is that of frontal boxes, the
depth from the nose to the ears and the top of the forehead is about the height."""

_PAIR_RANGE_M = (1.0, 4.0)
"""Range of evaluated pair distances, around the common limits of 1, 1.8 and 2 m. No
people are closer; pairs further apart are not relevant for the limits."""

_CAMERA_RANGE_M = (1.5, 5.0)
"""Range of the distance of people from the point below the camera."""


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera above the origin of the floor, looking along z.

    Attributes:
        size_wh: width and height of its images in pixels.
        field_of_view_deg: horizontal field of view.
        height_m: height above the floor.
        tilt_deg: downward tilt.
        roll_deg: roll angle.
    """

    size_wh: tuple[int, int] = (1280, 720)
    field_of_view_deg: float = 65.0
    height_m: float = 2.5
    tilt_deg: float = 15.0
    roll_deg: float = 0.0

    @property
    def focal_px(self) -> float:
        """Focal length in pixels."""
        return self.size_wh[0] / 2 / np.tan(np.radians(self.field_of_view_deg) / 2)

    @property
    def projection(self) -> FloatArray:
        """`(3, 4)` projection from floor coordinates x, y (up), z, 1 to the image."""
        tilt, roll = np.radians([self.tilt_deg, self.roll_deg])
        down = np.array([[1, 0, 0], [0, -1, 0], [0, 0, 1]])
        tilted = np.array(
            [
                [1, 0, 0],
                [0, np.cos(tilt), -np.sin(tilt)],
                [0, np.sin(tilt), np.cos(tilt)],
            ]
        )
        rolled = np.array(
            [
                [np.cos(roll), -np.sin(roll), 0],
                [np.sin(roll), np.cos(roll), 0],
                [0, 0, 1],
            ]
        )
        rotation = rolled @ tilted @ down
        translation = -rotation @ [0, self.height_m, 0]
        (width, height), focal = self.size_wh, self.focal_px
        lens = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        return lens @ np.column_stack([rotation, translation])

    def project(self, points: FloatArray) -> FloatArray:
        """Return the `(n, 2)` pixels of `(n, 3)` points on and above the floor."""
        homogeneous = (
            np.column_stack([points, np.ones(len(points))]) @ self.projection.T
        )
        return homogeneous[:, :2] / homogeneous[:, 2:]


@dataclass(frozen=True, eq=False)
class StandingPeople:
    """Positions and sizes of people.

    Attributes:
        feet: `(n, 2)` x and z on the floor in metres.
        face_above_floor_m: `(n,)` height of the centre of the face above the floor.
        face_height_m: `(n,)` height of the face.
        yaw_deg: `(n,)` rotation about the vertical.
    """

    feet: FloatArray
    face_above_floor_m: FloatArray
    face_height_m: FloatArray
    yaw_deg: FloatArray

    @property
    def head_centres(self) -> FloatArray:
        """`(n, 3)` centres of the faces."""
        return np.column_stack(
            [self.feet[:, 0], self.face_above_floor_m, self.feet[:, 1]]
        )


def make_people(feet: list[tuple[float, float]]) -> StandingPeople:
    """Return people of the standard size who look at the camera."""
    n = len(feet)
    return StandingPeople(
        np.array(feet, float).reshape(-1, 2),
        np.full(n, FACE_ABOVE_FLOOR_M),
        np.full(n, FACE_HEIGHT_M),
        np.zeros(n),
    )


def render_boxes(camera: PinholeCamera, people: StandingPeople) -> FloatArray:
    """Return the `(n, 4)` boxes around the outlines of the faces.

    The outline of a quadric with the dual matrix Q is the conic with the dual matrix
    P Q P' (Hartley and Zisserman, "Multiple View Geometry", 2nd edition, 8.3).
    """
    boxes = []
    for head, face, yaw in zip(
        people.head_centres,
        people.face_height_m,
        np.radians(people.yaw_deg),
        strict=True,
    ):
        pose = np.eye(4)
        pose[:3, :3] = [
            [np.cos(yaw), 0, np.sin(yaw)],
            [0, 1, 0],
            [-np.sin(yaw), 0, np.cos(yaw)],
        ]
        pose[:3, 3] = head
        quadric = pose @ np.diag([*(_FACE_PROPORTIONS * face / 2) ** 2, -1]) @ pose.T
        conic = camera.projection @ quadric @ camera.projection.T
        middle = conic[:2, 2] / conic[2, 2]
        half = np.sqrt(middle**2 - np.diag(conic)[:2] / conic[2, 2])
        boxes.append([*(middle - half), *(middle + half)])
    return np.array(boxes).reshape(-1, 4)


def project_rectangle(
    camera: PinholeCamera, front_left: tuple[float, float], wide_m: float, deep_m: float
) -> tuple[float, ...]:
    """Return the four clicked points of a rectangle on the floor, as in `Settings`."""
    x, z = front_left
    corners = [(x, z + deep_m), (x + wide_m, z + deep_m), (x + wide_m, z), (x, z)]
    pixels = camera.project(
        np.array([(floor_x, 0.0, floor_z) for floor_x, floor_z in corners])
    )
    return tuple((pixels / camera.size_wh).ravel().tolist())


@dataclass(frozen=True)
class Trial:
    """Parameters of random scenes.

    Attributes:
        heights_m: lowest and highest camera.
        noise_px: standard deviation of box edges and of clicked points.
        body_height_std_m: standard deviation of body heights.
        face_height_std: relative standard deviation of face heights.
        box_size_bias: relative error of the size of the boxes.
    """

    heights_m: tuple[float, float] = (2.2, 4.0)
    noise_px: float = 1.0
    body_height_std_m: float = 0.05
    face_height_std: float = 0.06
    box_size_bias: float = 0.0


def relative_errors(
    mode: str, trial: Trial, *, scenes: int, seed: int = 5
) -> FloatArray:
    """Return the relative errors of all pairs' distances in random scenes."""
    rng = np.random.default_rng(seed)
    scene_errors = [_measure_scene(mode, trial, rng) for _ in range(scenes)]
    return np.concatenate(scene_errors)


def _measure_scene(mode: str, trial: Trial, rng: np.random.Generator) -> FloatArray:
    people = None
    while people is None:
        camera, points, size_m = _sample_camera(trial, rng)
        people = _sample_people(camera, trial, rng)
    boxes = render_boxes(camera, people)
    clicks = np.array(points).reshape(-1, 2)
    clicks = clicks + rng.normal(0, trial.noise_px, clicks.shape) / camera.size_wh
    settings = Settings(
        distance=mode,
        field_of_view_deg=camera.field_of_view_deg,
        ground_points=tuple(clicks.ravel().tolist()),
        ground_width_m=size_m[0],
        ground_depth_m=size_m[1],
    )
    if mode == "ground_plane":  # not needed in this mode
        settings = replace(settings, field_of_view_deg=65.0)
    noisy_boxes = boxes + rng.normal(0, trial.noise_px, boxes.shape)
    measured = compute_pairwise_distances(
        get_geometry(settings, camera.size_wh).to_world(noisy_boxes)
    )
    positions = people.head_centres if mode == "pinhole" else people.feet
    expected = compute_pairwise_distances(positions)
    rows, columns = np.nonzero(np.triu(expected < _PAIR_RANGE_M[1], 1))
    error: FloatArray = measured[rows, columns] / expected[rows, columns] - 1
    return error


def _sample_camera(
    trial: Trial, rng: np.random.Generator
) -> tuple[PinholeCamera, tuple[float, ...], tuple[float, float]]:
    """Return a camera with a rectangle on the floor fully in view."""
    while True:
        height = float(rng.uniform(*trial.heights_m))
        camera = PinholeCamera(
            field_of_view_deg=float(rng.uniform(55, 85)),
            height_m=height,
            # At the height of a belt, 4 to 7 m away.
            tilt_deg=float(np.degrees(np.arctan((height - 1) / rng.uniform(4, 7)))),
            roll_deg=float(rng.uniform(-3, 3)),
        )
        wide, deep = (float(side) for side in rng.uniform(1.5, 4, 2))
        corner = (float(rng.uniform(-3, 1)), float(rng.uniform(2, 4)))
        points = project_rectangle(camera, corner, wide, deep)
        if min(points) >= 0 and max(points) <= 1:
            return camera, points, (wide, deep)


def _sample_people(
    camera: PinholeCamera, trial: Trial, rng: np.random.Generator
) -> StandingPeople | None:
    """Return five people in view, or none if they do not fit."""
    feet: list[tuple[float, float]] = []
    for _ in range(300):
        position = (float(rng.uniform(-4, 4)), float(rng.uniform(*_CAMERA_RANGE_M)))
        box = render_boxes(camera, make_people([position]))[0]
        inside = box[:2].min() > 10 and (box[2:] < np.array(camera.size_wh) - 10).all()
        gaps = [np.hypot(position[0] - x, position[1] - z) for x, z in feet]
        if inside and min(gaps, default=9) >= _PAIR_RANGE_M[0]:
            feet.append(position)
        if len(feet) == 5:
            return _vary_people(make_people(feet), trial, rng)
    return None


def _vary_people(
    people: StandingPeople, trial: Trial, rng: np.random.Generator
) -> StandingPeople:
    """Return people with varied sizes and rotations."""
    n = len(people.feet)
    return replace(
        people,
        face_above_floor_m=people.face_above_floor_m
        + rng.normal(0, trial.body_height_std_m, n),
        face_height_m=people.face_height_m
        * rng.normal(1 + trial.box_size_bias, trial.face_height_std, n),
        yaw_deg=rng.uniform(-40, 40, n),
    )


TRIALS = {
    "alike": Trial(body_height_std_m=0.0, face_height_std=0.0),
    "face height within 5 cm": Trial(),
    "adults of all kinds (9 cm)": Trial(body_height_std_m=0.09),
    "the same, boxes 5 % larger": Trial(body_height_std_m=0.09, box_size_bias=0.05),
    "the same, camera at 1.5 m": Trial(heights_m=(1.45, 1.55), body_height_std_m=0.09),
    "the same, camera at 4 m": Trial(heights_m=(4, 4), body_height_std_m=0.09),
}
"""The rows of the output."""


def _format_results(scenes: int) -> Iterator[str]:
    min_m, max_m = _PAIR_RANGE_M
    yield f"{scenes} scenes of 5 people per row; pairs {min_m:g} to {max_m:g} m apart"
    headings = ("mean", "median", "95 %", "worst", "bias")
    yield f"{'':28}{'mode':>8} " + " ".join(f"{head:>6}" for head in headings)
    for name, trial in TRIALS.items():
        for mode in ("pinhole", "ground_plane"):
            scene_errors = relative_errors(mode, trial, scenes=scenes)
            absolute = np.abs(scene_errors)
            values = [absolute.mean(), np.median(absolute), np.percentile(absolute, 95)]
            values += [absolute.max(), scene_errors.mean()]
            yield f"{name:28}{mode:>8} " + " ".join(f"{100 * v:5.1f}%" for v in values)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=200, help="scenes per row")
    for line in _format_results(parser.parse_args().scenes):
        print(line, flush=True)
