"""Drawn films of heads that walk, cross and turn away, with everything known.

Truth and pictures for whatever works over time: tracking, votes, distances. What a
face finder would report is made as well: boxes that tremble, scores that dip, faces
that are missed for a moment, and false alarms. All of it is drawn for `BASE_HZ` images
a second; a lower rate leaves images out and changes nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import Boxes, areas, clip, iou_matrix
from maskdet.types import Faces, Image

BASE_HZ = 30
"""Images a second that a film is made of."""

_TURN_S = 0.4
"""Seconds from a face to the back of the head."""

_HIDDEN, _HALF_HIDDEN = 0.55, 0.35
"""Shares of a head behind others from which its face is missed, or doubtful."""


@dataclass(frozen=True, eq=False)
class Moment:
    """One image of a film, and what is true in it.

    Attributes:
        time_s: when it was taken.
        people: `(n,)` int64 number of each head in the picture, nearest first.
        heads: `(n, 4)` float32 its box, in pixels.
        turned: `(n,)` how far each is turned: 0 shows a face, 1 the back of the head.
        hidden: `(n,)` share of each that nearer heads cover.
        faces: what a face finder reports.
    """

    time_s: float
    people: NDArray[np.int64]
    heads: Boxes
    turned: NDArray[np.float64]
    hidden: NDArray[np.float64]
    faces: Faces


@dataclass(frozen=True, eq=False)
class _Walk:
    """How one person moves: numbers are in head sizes and seconds."""

    size_px: float
    start_s: float
    end_s: float
    from_px: NDArray[np.float64]
    speed_px: NDArray[np.float64]
    sway: NDArray[np.float64]
    turns_s: NDArray[np.float64]
    weather: NDArray[np.float64]

    def box(self, time_s: float) -> NDArray[np.float64]:
        since = time_s - self.start_s
        swing = np.sin(2 * math.pi * (self.sway[2] * since + self.sway[3:5]))
        size = self.size_px * (1 + 0.15 * swing[0])
        centre = self.from_px + self.speed_px * since
        centre = centre + self.size_px * self.sway[:2] * swing
        half = np.array([0.43, 0.55]) * size
        return np.concatenate([centre - half, centre + half])

    def turned(self, time_s: float) -> float:
        starts, ends = self.turns_s[:, 0], self.turns_s[:, 1]
        inside = np.minimum(time_s - starts, ends - time_s) / _TURN_S
        return float(np.clip(inside.max(initial=0.0), 0, 1))


def crowd_film(
    seed: int,
    *,
    people: int = 6,
    duration_s: float = 20.0,
    every: int = 1,
    size_wh: tuple[int, int] = (640, 480),
) -> Iterator[Moment]:
    """Make a film.

    Args:
        seed: the same gives the same film.
        people: how many walk through it.
        duration_s: its length.
        every: only each so-many-th image of `BASE_HZ` a second.
        size_wh: the picture's size in pixels.
    """
    rng = np.random.default_rng(seed)
    walks = [_walk(rng, duration_s, size_wh) for _ in range(people)]
    chances = np.random.default_rng([seed, 1])
    alarms: list[_Alarm] = []
    for frame in range(round(duration_s * BASE_HZ)):
        time_s = frame / BASE_HZ
        alarms = [alarm for alarm in alarms if alarm.until_s > time_s]
        alarms += _new_alarms(chances, time_s, size_wh)
        noise = chances.standard_normal((people, 5))
        if frame % every == 0:
            yield _moment(walks, time_s, noise, alarms, size_wh)


def _walk(
    rng: np.random.Generator, duration_s: float, size_wh: tuple[int, int]
) -> _Walk:
    width, height = size_wh
    size = rng.uniform(0.06, 0.15) * width
    start = rng.uniform(0, 0.5) * duration_s * rng.integers(0, 2)
    stay = rng.uniform(0.4, 1.0) * duration_s
    speed = rng.uniform(0.5, 3.0) * size * rng.choice([-1, 1])
    if rng.random() < 0.4:  # somebody who stands and sways
        speed, place = 0.0, rng.uniform(0.15, 0.85) * width
    else:
        place = -size / 2 if speed > 0 else width + size / 2
    down = rng.uniform(0.25, 0.7) * height
    begins = start + np.cumsum(rng.uniform(3, 8, 6))
    turns = np.stack([begins, begins + rng.uniform(1.0, 2.4, 6)], axis=1)
    turns = turns[rng.random(6) < 0.6]
    dips = start + np.cumsum(rng.uniform(0.8, 3.0, (2, 20)), axis=1)
    return _Walk(
        size_px=size,
        start_s=start,
        end_s=start + stay,
        from_px=np.array([place, down]),
        speed_px=np.array([speed, 0.0]),
        sway=np.concatenate(
            [rng.uniform(0.1, 0.8, 2), rng.uniform(0.1, 0.5, 1), rng.random(2)]
        ),
        turns_s=turns,
        weather=np.stack([dips, dips + rng.uniform(0.03, 0.35, (2, 20))], axis=-1),
    )


def _moment(
    walks: list[_Walk],
    time_s: float,
    noise: NDArray[np.float64],
    alarms: list[_Alarm],
    size_wh: tuple[int, int],
) -> Moment:
    order = sorted(range(len(walks)), key=lambda row: -walks[row].size_px)
    here = [row for row in order if walks[row].start_s <= time_s < walks[row].end_s]
    boxes = np.array([walks[row].box(time_s) for row in here], np.float32)
    boxes = boxes.reshape(-1, 4)
    inside = areas(clip(boxes, *size_wh)) / np.maximum(areas(boxes), 1e-6) > 0.6
    boxes = boxes[inside]
    rows = np.array(here, np.int64)[inside]
    turned = np.array([walks[row].turned(time_s) for row in rows])
    hidden = _hidden(boxes)
    seen = [
        _face(walks[row], time_s, noise[row], box, turn, cover)
        for row, box, turn, cover in zip(rows, boxes, turned, hidden, strict=True)
    ]
    found = [face for face in seen if face is not None]
    found += [(alarm.box, alarm.score) for alarm in alarms]
    faces = Faces(
        np.array([box for box, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score in found], np.float32),
    )
    return Moment(time_s, rows + 1, boxes, turned, hidden, faces)


def _hidden(boxes: Boxes) -> NDArray[np.float64]:
    """Return the largest share of each head that one before it in the list covers."""
    n = len(boxes)
    overlaps = iou_matrix(boxes, boxes).astype(np.float64)
    sums = areas(boxes)[:, None] + areas(boxes)[None]
    shared = overlaps * sums / (1 + overlaps) / np.maximum(areas(boxes)[:, None], 1e-6)
    nearer = np.arange(n)[None] < np.arange(n)[:, None]
    result: NDArray[np.float64] = np.where(nearer, shared, 0.0).max(axis=1, initial=0)
    return result


def _face(
    walk: _Walk,
    time_s: float,
    noise: NDArray[np.float64],
    box: NDArray[np.float32],
    turned: float,
    hidden: float,
) -> tuple[NDArray[np.float64], float] | None:
    """Return the box and score that a finder reports, or None."""
    missed, dipped = (
        bool(((spans[:, 0] <= time_s) & (time_s < spans[:, 1])).any())
        for spans in walk.weather
    )
    if missed or hidden > _HIDDEN or turned > 0.75:
        return None
    doubtful = dipped or hidden > _HALF_HIDDEN or turned > 0.35
    score = (0.35 if doubtful else 0.85) + 0.04 * noise[4]
    size = float(np.sqrt((box[2:] - box[:2]).prod()))
    centre = (box[:2] + box[2:]) / 2 + 0.04 * size * noise[:2]
    half = (box[2:] - box[:2]) / 2 * np.exp(0.05 * noise[2:4])
    return np.concatenate([centre - half, centre + half]), float(np.clip(score, 0, 1))


@dataclass(frozen=True, eq=False)
class _Alarm:
    """A thing that a finder takes for a face for a moment."""

    box: NDArray[np.float64]
    score: float
    until_s: float


def _new_alarms(
    rng: np.random.Generator, time_s: float, size_wh: tuple[int, int]
) -> list[_Alarm]:
    """Return what begins to look like a face now: about 1.5 a second, half doubtful."""
    corner, side = rng.uniform(0, 0.85, 2) * size_wh, rng.uniform(0.05, 0.15)
    lasts_s = rng.exponential(0.05) + 0.5 / BASE_HZ
    score = rng.uniform(0.25, 0.75)
    if rng.random() > 1.5 / BASE_HZ:
        return []
    box = np.concatenate([corner, corner + side * size_wh[0]])
    return [_Alarm(box, float(score), time_s + lasts_s)]


def draw_moment(
    moment: Moment, seed: int, size_wh: tuple[int, int] = (640, 480)
) -> Image:
    """Draw the picture of a moment: heads are textures, faces and backs differ.

    Args:
        moment: what is to be seen.
        seed: the same gives everybody the same looks.
        size_wh: the size for which the film was made.
    """
    picture = _texture((seed, 0), (40, 30), (60, 160), size_wh).copy()
    for row in range(len(moment.people) - 1, -1, -1):
        number = int(moment.people[row])
        # A face and its back share the hair and the outline, a half of what is seen.
        parts = [
            _texture((seed, number, side), (7, 8), (20, 235), (56, 64))
            for side in (0, 1)
        ]
        turn = float(moment.turned[row]) / 2
        patch = cv2.addWeighted(parts[0], 1 - turn, parts[1], turn, 0)
        _paste(picture, np.asarray(patch, np.uint8), moment.heads[row])
    return picture


@lru_cache(maxsize=128)
def _texture(
    seed: tuple[int, ...],
    cells: tuple[int, int],
    levels: tuple[int, int],
    size_wh: tuple[int, int],
) -> Image:
    rng = np.random.default_rng([*seed, 7])
    coarse = rng.integers(*levels, (cells[1], cells[0], 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.uint8)


def _paste(picture: Image, patch: Image, box: NDArray[np.float32]) -> None:
    """Lay an oval patch over the box, with parts of pixels, in place."""
    height, width = patch.shape[:2]
    low = np.maximum(np.floor(box[:2]), 0).astype(int)
    high = np.minimum(np.ceil(box[2:]), picture.shape[1::-1]).astype(int)
    if (high <= low).any():
        return
    x, y = (box[2:] - box[:2]) / (width, height)
    move = np.array([[x, 0, box[0] - low[0]], [0, y, box[1] - low[1]]], np.float32)
    size_wh = int(high[0] - low[0]), int(high[1] - low[1])
    half = width // 2, height // 2
    oval = cv2.ellipse(
        np.zeros((height, width), np.uint8), half, half, 0, 0, 360, 255, -1
    )
    laid = cv2.warpAffine(patch, move, size_wh, borderMode=cv2.BORDER_REPLICATE)
    where = cv2.warpAffine(oval, move, size_wh) > 127
    picture[low[1] : high[1], low[0] : high[0]][where] = laid[where]
