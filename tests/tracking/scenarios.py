"""Short synthetic videos for the tracking tests: faces over time, and frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np

from maskdet.tracking import Tracker, Tracks
from maskdet.types import Faces, Image

HeadSpot = tuple[float, float, float, float]
"""Centre x and y, side, score."""

Heads = dict[str, HeadSpot]
Update = tuple[dict[str, int], Tracks]


def update_tracker(
    tracker: Tracker, heads: Heads, time_s: float, image: Image | None = None
) -> Update:
    """Update the tracker with one frame; return the track ID of each name."""
    # `Faces` sorts by score, so sort the names as well.
    names = sorted(heads, key=lambda name: -heads[name][3])
    rows = [heads[name] for name in names]
    boxes = [[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y, s, _ in rows]
    faces = Faces(
        np.array(boxes, np.float32).reshape(-1, 4), np.array([row[3] for row in rows])
    )
    tracks = tracker.update(faces, time_s, image)
    return dict(zip(names, tracks.ids.tolist(), strict=True)), tracks


def play_story(
    tracker: Tracker,
    story: Callable[[float], Heads],
    times_s: Iterable[float],
    draw_image: Callable[[float], Image] | None = None,
) -> list[Update]:
    """Update the tracker with all frames of a video."""
    return [
        update_tracker(
            tracker, story(t), t, None if draw_image is None else draw_image(t)
        )
        for t in times_s
    ]


def frame_times(start_s: float, end_s: float, rate_hz: float) -> list[float]:
    count = round((end_s - start_s) * rate_hz)
    return [start_s + frame / rate_hz for frame in range(count)]


def make_texture(seed: int, size_wh: tuple[int, int], cell_px: int = 12) -> Image:
    rng = np.random.default_rng(seed)
    cells = size_wh[1] // cell_px, size_wh[0] // cell_px
    coarse = rng.integers(20, 235, (*cells, 3)).astype(np.uint8)
    smooth: Image = cv2.resize(coarse, size_wh, interpolation=cv2.INTER_CUBIC)
    return smooth


def draw_heads(
    scene: int, heads: Iterable[tuple[int, float, float, float]] = ()
) -> Image:
    """Return a 320x240 frame: a background, and heads of seed, centre and side."""
    image = make_texture(scene, (320, 240), 20)
    for seed, x, y, side in heads:
        patch = make_texture(seed, (48, 48), 6)
        scale = side / 48
        move = np.array([[scale, 0, x - side / 2], [0, scale, y - side / 2]])
        warped = cv2.warpAffine(
            patch, move, (320, 240), borderMode=cv2.BORDER_REPLICATE
        )
        opaque = np.full((48, 48), 255, np.uint8)
        covered = cv2.warpAffine(opaque, move, (320, 240)) > 127
        image[covered] = warped[covered]
    return image
