"""Make the video samples/video.mp4 with `python scripts/make_sample_video.py`.

Three people move in a synthetic hall: one with a mask walks through, one without a mask
turns away for a while, and one approaches with the mask below the nose. All of them are
the portrait of `make_samples.py`, with masks rendered by `maskdet.synthetic`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from make_samples import (
    SURGICAL,
    UNDER_NOSE,
    Person,
    draw_hall,
    dress_person,
    load_portrait,
    segment_bust,
)

from maskdet.media import VideoWriter
from maskdet.types import Image

SIZE_WH = (640, 360)
FPS = 25
LENGTH_S = 12.0
TURN_AWAY_S, TURN_BACK_S, FADE_S = 5.0, 7.2, 0.3
MAX_BYTES = 1_000_000
HEAD_XY = (224, 100)
"""Centre of the portrait's head."""


@dataclass(frozen=True)
class Walker:
    """One person of the video.

    Attributes:
        appearance: suit and mask.
        path: maps seconds to centre x, head y and scale in pixels of the video.
        turns_away: whether the person turns away for a while.
    """

    appearance: Person
    path: Callable[[float], tuple[float, float, float]]
    turns_away: bool = False


def smoothstep(time_s: float, begin_s: float, end_s: float) -> float:
    """Return 0 before, 1 after, and a smooth transition between."""
    fraction = min(1.0, max(0.0, (time_s - begin_s) / (end_s - begin_s)))
    return fraction * fraction * (3 - 2 * fraction)


def walk_through(time_s: float) -> tuple[float, float, float]:
    """Return the path of walking from the left edge to the right of the middle."""
    x = -60 + 450 * smoothstep(time_s, -2.0, 14.0)
    return x, 124 + 3 * np.sin(7 * time_s), 0.64


def stand(time_s: float) -> tuple[float, float, float]:
    """Return the path of standing on the right and swaying."""
    return 530 + 5 * np.sin(1.1 * time_s), 120 + 2 * np.sin(0.7 * time_s), 0.66


def approach(time_s: float) -> tuple[float, float, float]:
    """Return the path of approaching in the middle."""
    progress = smoothstep(time_s, 1.0, 11.0)
    x = 345 - 215 * progress + 4 * np.sin(5 * time_s)
    return x, 132 + 2 * np.sin(6 * time_s), 0.57 + 0.25 * progress


# From the back to the front.
WALKERS = (
    Walker(Person(0, 0, 1, UNDER_NOSE, hue=15, gamma=1.1), approach),
    Walker(Person(0, 0, 1, None, hue=75, gamma=1.05), stand, turns_away=True),
    Walker(Person(0, 0, 1, SURGICAL, flipped=True, hue=105, gamma=0.95), walk_through),
)


def remove_buckle(image: Image) -> Image:
    """Return the portrait without a buckle that some detectors detect as a face."""
    cover = np.zeros(image.shape[:2], np.uint8)
    cv2.ellipse(cover, (246, 322), (18, 31), 0, 0, 360, 255, -1)
    return np.asarray(cv2.inpaint(image, cover, 4, cv2.INPAINT_TELEA), np.uint8)


def draw_back_of_head(image: Image) -> Image:
    """Return the portrait with a neck and plain hair in place of the face."""
    strands = cv2.GaussianBlur(
        np.random.default_rng(2).normal(0, 1, image.shape[:2]), (0, 0), 1.4, sigmaY=11
    )
    result = image.astype(np.float64)
    for colour_patch, middle_xy, half_px, grain in (
        (image[128:140, 182:196], (224, 146), (40, 44), 0.01),  # a cheek's skin
        (image[36:58, 200:250], HEAD_XY, (62, 66), 0.09),  # the hair above it
    ):
        rows, columns = np.indices(image.shape[:2], np.float64)
        x = (columns - middle_xy[0]) / half_px[0]
        y = (rows - middle_xy[1]) / half_px[1]
        radius = np.sqrt(x**2 + y**2)
        light = (
            0.95 - 0.3 * np.clip(radius, 0, 1.2) ** 2 + grain * strands / strands.std()
        )
        cover = cv2.GaussianBlur((radius < 1).astype(np.float64), (0, 0), 3)[..., None]
        colour = np.median(colour_patch.reshape(-1, 3), axis=0)
        result += cover * (np.clip(colour * light[..., None], 0, 255) - result)
    return np.rint(result).astype(np.uint8)


def render_layers(walker: Walker) -> list[NDArray[np.float32]]:
    """Return the layers `(512, 512, 4)` BGR and opacity: front, and back if needed."""
    image = remove_buckle(load_portrait())
    outline = segment_bust(load_portrait())
    front = dress_person(image, walker.appearance)
    views = [front]
    if walker.turns_away:
        views.append(draw_back_of_head(front))
    result = [
        np.dstack([view.astype(np.float32), 255 * outline]).astype(np.float32)
        for view in views
    ]
    if walker.appearance.flipped:
        result = [np.ascontiguousarray(view[:, ::-1]) for view in result]
    return result


def turned_fraction(time_s: float) -> float:
    """Return the turn of the person who turns away, 0 to 1."""
    fraction = smoothstep(time_s, TURN_AWAY_S, TURN_AWAY_S + FADE_S)
    return fraction - smoothstep(time_s, TURN_BACK_S, TURN_BACK_S + FADE_S)


def place_layer(
    view: NDArray[np.float32], walker: Walker, time_s: float
) -> NDArray[np.float32]:
    """Return the layer of a person in the frame."""
    x, y, scale = walker.path(time_s)
    middle = 511 - HEAD_XY[0] if walker.appearance.flipped else HEAD_XY[0]
    move = np.array(
        [[scale, 0, x - scale * middle], [0, scale, y - scale * HEAD_XY[1]]]
    )
    # Scaled down in two steps, otherwise single pixels flicker.
    soft = cv2.GaussianBlur(view, (0, 0), 0.45 / scale)
    return np.asarray(cv2.warpAffine(soft, move, SIZE_WH), np.float32)


def render_frame(
    scene: Image, people: list[list[NDArray[np.float32]]], time_s: float
) -> Image:
    """Return one frame of the video."""
    result = scene.astype(np.float32)
    for walker, views in zip(WALKERS, people, strict=True):
        view = views[0]
        if walker.turns_away:
            view = view + turned_fraction(time_s) * (views[1] - view)
        layer = place_layer(view, walker, time_s)
        cover = np.clip(layer[..., 3:] / 255, 0, 1)
        result += cover * (layer[..., :3] - result)
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)


def main() -> None:
    """Write the video."""
    parser = argparse.ArgumentParser(description="Make the video samples/video.mp4.")
    parser.add_argument("--out", type=Path, default=ROOT / "samples" / "video.mp4")
    out: Path = parser.parse_args().out
    scene = draw_hall(*SIZE_WH)
    people = [render_layers(walker) for walker in WALKERS]
    with VideoWriter(out, SIZE_WH, frame_rate=Fraction(FPS)) as video:
        for number in range(round(LENGTH_S * FPS)):
            video.write(render_frame(scene, people, number / FPS), number / FPS)
        video.finish(LENGTH_S)
    size = out.stat().st_size
    if size > MAX_BYTES:
        sys.exit(f"{out} has {size} bytes, more than {MAX_BYTES}")
    print(f"{out}  {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
