"""Synthetic videos of heads that walk, cross and turn away, with ground truth.

They are used to evaluate tracking, label smoothing and distances. The detections of a
face detector are simulated: noisy boxes, varying scores, missed faces and false
positives. Videos have `BASE_HZ` frames per second; a lower rate only skips frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, box_areas, clip_boxes, iou_matrix
from maskdet.types import Faces, Image

BASE_HZ = 30
"""Frames per second of a video."""

_TURN_S = 0.4
"""Duration of a turn from the face to the back of the head."""

_MISSED_OCCLUSION, _WEAK_OCCLUSION = 0.55, 0.35
"""Occluded fractions of a head above which the face is missed, or its score is low."""


@dataclass(frozen=True, eq=False)
class GroundTruthFrame:
    """Ground truth of one frame of a video.

    Attributes:
        time_s: time of the frame.
        person_ids: `(n,)` int64 ID of each head in the frame, nearest first.
        head_boxes: `(n, 4)` float32 its box, in pixels.
        turn_fractions: `(n,)` turn of each head: 0 shows a face, 1 the back of the
            head.
        occlusions: `(n,)` fraction of each that nearer heads cover.
        detections: the simulated detections.
    """

    time_s: float
    person_ids: NDArray[np.int64]
    head_boxes: Boxes
    turn_fractions: NDArray[np.float64]
    occlusions: NDArray[np.float64]
    detections: Faces


@dataclass(frozen=True, eq=False)
class _Walk:
    """Motion of one person, in head sizes and seconds."""

    size_px: float
    start_s: float
    end_s: float
    start_px: NDArray[np.float64]
    speed_px: NDArray[np.float64]
    sway_params: NDArray[np.float64]
    turns_s: NDArray[np.float64]
    dropouts_s: NDArray[np.float64]

    def head_box(self, time_s: float) -> NDArray[np.float64]:
        elapsed_s = time_s - self.start_s
        swing = np.sin(
            2 * math.pi * (self.sway_params[2] * elapsed_s + self.sway_params[3:5])
        )
        size = self.size_px * (1 + 0.15 * swing[0])
        centre = self.start_px + self.speed_px * elapsed_s
        centre = centre + self.size_px * self.sway_params[:2] * swing
        half = np.array([0.43, 0.55]) * size
        return np.concatenate([centre - half, centre + half])

    def turn_fraction(self, time_s: float) -> float:
        starts, ends = self.turns_s[:, 0], self.turns_s[:, 1]
        inside = np.minimum(time_s - starts, ends - time_s) / _TURN_S
        return float(np.clip(inside.max(initial=0.0), 0, 1))


def generate_crowd_video(
    seed: int,
    *,
    n_people: int = 6,
    duration_s: float = 20.0,
    frame_step: int = 1,
    size_wh: tuple[int, int] = (640, 480),
) -> Iterator[GroundTruthFrame]:
    """Generate a video.

    Args:
        seed: random seed.
        n_people: number of people.
        duration_s: length in seconds.
        frame_step: keep every n-th frame of `BASE_HZ`.
        size_wh: size of the frames in pixels.
    """
    rng = np.random.default_rng(seed)
    walks = [_sample_walk(rng, duration_s, size_wh) for _ in range(n_people)]
    noise_rng = np.random.default_rng([seed, 1])
    false_positives: list[_FalsePositive] = []
    for frame in range(round(duration_s * BASE_HZ)):
        time_s = frame / BASE_HZ
        false_positives = [
            false_positive
            for false_positive in false_positives
            if false_positive.until_s > time_s
        ]
        false_positives += _spawn_false_positives(noise_rng, time_s, size_wh)
        noise = noise_rng.standard_normal((n_people, 5))
        if frame % frame_step == 0:
            yield _make_frame(walks, time_s, noise, false_positives, size_wh)


def _sample_walk(
    rng: np.random.Generator, duration_s: float, size_wh: tuple[int, int]
) -> _Walk:
    width, height = size_wh
    size = rng.uniform(0.06, 0.15) * width
    start = rng.uniform(0, 0.5) * duration_s * rng.integers(0, 2)
    stay_s = rng.uniform(0.4, 1.0) * duration_s
    speed = rng.uniform(0.5, 3.0) * size * rng.choice([-1, 1])
    if rng.random() < 0.4:  # a person who stands and sways
        speed, start_x = 0.0, rng.uniform(0.15, 0.85) * width
    else:
        start_x = -size / 2 if speed > 0 else width + size / 2
    start_y = rng.uniform(0.25, 0.7) * height
    begins = start + np.cumsum(rng.uniform(3, 8, 6))
    turns = np.stack([begins, begins + rng.uniform(1.0, 2.4, 6)], axis=1)
    turns = turns[rng.random(6) < 0.6]
    dips = start + np.cumsum(rng.uniform(0.8, 3.0, (2, 20)), axis=1)
    return _Walk(
        size_px=size,
        start_s=start,
        end_s=start + stay_s,
        start_px=np.array([start_x, start_y]),
        speed_px=np.array([speed, 0.0]),
        sway_params=np.concatenate(
            [rng.uniform(0.1, 0.8, 2), rng.uniform(0.1, 0.5, 1), rng.random(2)]
        ),
        turns_s=turns,
        dropouts_s=np.stack([dips, dips + rng.uniform(0.03, 0.35, (2, 20))], axis=-1),
    )


def _make_frame(
    walks: list[_Walk],
    time_s: float,
    noise: NDArray[np.float64],
    false_positives: list[_FalsePositive],
    size_wh: tuple[int, int],
) -> GroundTruthFrame:
    order = sorted(range(len(walks)), key=lambda row: -walks[row].size_px)
    present = [row for row in order if walks[row].start_s <= time_s < walks[row].end_s]
    boxes = np.array([walks[row].head_box(time_s) for row in present], np.float32)
    boxes = boxes.reshape(-1, 4)
    inside = (
        box_areas(clip_boxes(boxes, *size_wh)) / np.maximum(box_areas(boxes), 1e-6)
        > 0.6
    )
    boxes = boxes[inside]
    rows = np.array(present, np.int64)[inside]
    turn_fractions = np.array([walks[row].turn_fraction(time_s) for row in rows])
    occlusions = _compute_occlusions(boxes)
    simulated = [
        _simulate_detection(walks[row], time_s, noise[row], box, turn, occlusion)
        for row, box, turn, occlusion in zip(
            rows, boxes, turn_fractions, occlusions, strict=True
        )
    ]
    detected = [face for face in simulated if face is not None]
    detected += [
        (false_positive.box, false_positive.score) for false_positive in false_positives
    ]
    faces = Faces(
        np.array([box for box, _ in detected], np.float32).reshape(-1, 4),
        np.array([score for _, score in detected], np.float32),
    )
    return GroundTruthFrame(time_s, rows + 1, boxes, turn_fractions, occlusions, faces)


def _compute_occlusions(boxes: Boxes) -> NDArray[np.float64]:
    """Return the largest fraction of each head that a nearer head covers."""
    n = len(boxes)
    overlaps = iou_matrix(boxes, boxes).astype(np.float64)
    sums = box_areas(boxes)[:, None] + box_areas(boxes)[None]
    covered_fractions = (
        overlaps * sums / (1 + overlaps) / np.maximum(box_areas(boxes)[:, None], 1e-6)
    )
    nearer = np.arange(n)[None] < np.arange(n)[:, None]
    result: NDArray[np.float64] = np.where(nearer, covered_fractions, 0.0).max(
        axis=1, initial=0
    )
    return result


def _simulate_detection(
    walk: _Walk,
    time_s: float,
    noise: NDArray[np.float64],
    box: NDArray[np.float32],
    turn_fraction: float,
    occlusion: float,
) -> tuple[NDArray[np.float64], float] | None:
    """Return a simulated box and score, or None for a missed face."""
    is_missed, is_weak = (
        bool(((spans[:, 0] <= time_s) & (time_s < spans[:, 1])).any())
        for spans in walk.dropouts_s
    )
    if is_missed or occlusion > _MISSED_OCCLUSION or turn_fraction > 0.75:
        return None
    doubtful = is_weak or occlusion > _WEAK_OCCLUSION or turn_fraction > 0.35
    score = (0.35 if doubtful else 0.85) + 0.04 * noise[4]
    size = float(np.sqrt((box[2:] - box[:2]).prod()))
    centre = (box[:2] + box[2:]) / 2 + 0.04 * size * noise[:2]
    half = (box[2:] - box[:2]) / 2 * np.exp(0.05 * noise[2:4])
    return np.concatenate([centre - half, centre + half]), float(np.clip(score, 0, 1))


@dataclass(frozen=True, eq=False)
class _FalsePositive:
    """An object that is detected as a face for a moment."""

    box: NDArray[np.float64]
    score: float
    until_s: float


def _spawn_false_positives(
    rng: np.random.Generator, time_s: float, size_wh: tuple[int, int]
) -> list[_FalsePositive]:
    """Return new false positives: about 1.5 per second, half with low scores."""
    corner, side = rng.uniform(0, 0.85, 2) * size_wh, rng.uniform(0.05, 0.15)
    lasts_s = rng.exponential(0.05) + 0.5 / BASE_HZ
    score = rng.uniform(0.25, 0.75)
    if rng.random() > 1.5 / BASE_HZ:
        return []
    box = np.concatenate([corner, corner + side * size_wh[0]])
    return [_FalsePositive(box, float(score), time_s + lasts_s)]


def draw_crowd_frame(
    frame: GroundTruthFrame, seed: int, size_wh: tuple[int, int] = (640, 480)
) -> Image:
    """Draw a frame: heads are textures, which differ between face and back.

    Args:
        frame: ground truth of the frame.
        seed: random seed of the textures.
        size_wh: size of the frames of the video.
    """
    image = _make_texture((seed, 0), (40, 30), (60, 160), size_wh).copy()
    for row in range(len(frame.person_ids) - 1, -1, -1):
        person_id = int(frame.person_ids[row])
        # Face and back have the same hair and outline, half of the visible area.
        parts = [
            _make_texture((seed, person_id, side), (7, 8), (20, 235), (56, 64))
            for side in (0, 1)
        ]
        turn = float(frame.turn_fractions[row]) / 2
        patch = cv2.addWeighted(parts[0], 1 - turn, parts[1], turn, 0)
        _paste_oval(image, np.asarray(patch, np.uint8), frame.head_boxes[row])
    return image


@lru_cache(maxsize=128)
def _make_texture(
    seed: tuple[int, ...],
    cells: tuple[int, int],
    levels: tuple[int, int],
    size_wh: tuple[int, int],
) -> Image:
    rng = np.random.default_rng([*seed, 7])
    coarse = rng.integers(*levels, (cells[1], cells[0], 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.uint8)


def _paste_oval(image: Image, patch: Image, box: NDArray[np.float32]) -> None:
    """Paste an oval patch over the box in place, with subpixel accuracy."""
    height, width = patch.shape[:2]
    low = np.maximum(np.floor(box[:2]), 0).astype(int)
    high = np.minimum(np.ceil(box[2:]), image.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    x, y = (box[2:] - box[:2]) / (width, height)
    move = np.array([[x, 0, box[0] - low[0]], [0, y, box[1] - low[1]]], np.float32)
    size_wh = int(high[0] - low[0]), int(high[1] - low[1])
    half = width // 2, height // 2
    oval = cv2.ellipse(
        np.zeros((height, width), np.uint8), half, half, 0, 0, 360, 255, -1
    )
    warped = cv2.warpAffine(patch, move, size_wh, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(oval, move, size_wh) > 127
    image[low[1] : high[1], low[0] : high[0]][inside] = warped[inside]
