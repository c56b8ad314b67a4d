"""Images without a face: how often does an analyzer see one all the same?

Three kinds of images count: parts of labelled scenes that touch no true box, which
show clothes, hands and walls; walls and round things that our own code draws; and
hands and things on such walls. Drawn faces are told apart from them, as whether those
are faces is a matter of taste.

People overlook faces in crowds, so a few of the parts do show one: the numbers of the
parts are upper bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzers.pipelines import Analyzer
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.metrics.classification import Json
from maskdet.metrics.intervals import Estimate, poisson_rate, proportion
from maskdet.settings import Settings
from maskdet.synthetic import Occluder, render_occluder
from maskdet.synthetic.backgrounds import (
    CARTOON_KINDS,
    ROUND_OBJECT_KINDS,
    SIZE_WH,
    WALL_PATTERNS,
    draw_background,
    draw_cartoon,
    draw_round_objects,
    draw_wall,
    simulate_camera,
)
from maskdet.synthetic.head import MEAN_FACE
from maskdet.types import Image

SCENE_PARTS: Final = "parts of scenes"
"""What the face-free parts of labelled scenes are called in a report."""

MIN_PART_PX: Final = 96
"""Side of the smallest part of a scene that is looked at."""

IMAGES_PER_KIND: Final = 20
"""Images that are drawn of each kind."""

# A beard alone is nothing that one meets.
_OCCLUDERS: Final[dict[str, Occluder]] = {
    "hands": "hand",
    "cups": "cup",
    "phones": "phone",
    "scarves": "scarf",
}
_EYE_DISTANCES_PX: Final = (18.0, 80.0)
_SKIN_COLOURS: Final = ((180, 200, 235), (120, 150, 205), (80, 105, 160), (45, 60, 95))

# People draw boxes tightly: round each, this share of its sides may still be a face.
_MARGIN: Final = 0.35

_DrawImage = Callable[[np.random.Generator], Image]


@dataclass(frozen=True)
class FalsePositiveReport:
    """False positives an image at the settings that a user starts with.

    Attributes:
        by_kind: by kind of image: `SCENE_PARTS`, walls, round things and things on
            walls.
        overall: over all of these.
        fraction_with_any: share of all these images that have a false positive at all:
            a single patterned wall may give a hundred.
        cartoons: boxes an image on drawn faces, by kind; no part of `overall`.
    """

    by_kind: dict[str, Estimate]
    overall: Estimate
    fraction_with_any: Estimate
    cartoons: dict[str, Estimate]

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "kinds": {
                name: estimate.to_json() for name, estimate in self.by_kind.items()
            },
            "together": self.overall.to_json(),
            "images_with_one": self.fraction_with_any.to_json(),
            "cartoons": {
                name: estimate.to_json() for name, estimate in self.cartoons.items()
            },
        }


def evaluate_false_positives(
    analyzer: Analyzer,
    examples: Iterable[Example],
    settings: Settings,
    *,
    n_per_kind: int = IMAGES_PER_KIND,
    seed: int = 0,
) -> FalsePositiveReport:
    """Count the faces that an analyzer sees where there are none.

    Args:
        analyzer: finds the faces.
        examples: scenes; images of one face without a box are passed over.
        settings: which faces are shown.
        n_per_kind: how many images of each kind are drawn.
        seed: fixes which parts are taken and what is drawn.
    """

    def count_detections(images: Iterable[Image]) -> list[int]:
        return [len(analyzer.analyze(image, settings)) for image in images]

    empty_drawers, cartoon_drawers = _image_drawers()
    counts = {SCENE_PARTS: count_detections(_scene_parts(examples, seed))}
    counts |= {
        name: count_detections(_draw_images(draw, n_per_kind, (seed, index)))
        for index, (name, draw) in enumerate(empty_drawers.items(), 1)
    }
    all_counts = [count for kind_counts in counts.values() for count in kind_counts]
    return FalsePositiveReport(
        by_kind={
            name: poisson_rate(kind_counts) for name, kind_counts in counts.items()
        },
        overall=poisson_rate(all_counts),
        fraction_with_any=_fraction_with_any(all_counts),
        cartoons={
            name: poisson_rate(
                count_detections(_draw_images(draw, n_per_kind, (seed, 0, index)))
            )
            for index, (name, draw) in enumerate(cartoon_drawers.items())
        },
    )


@dataclass(frozen=True)
class NegativeImageReport:
    """False positives on images that are known to show no face.

    Attributes:
        per_image: an image.
        fraction_with_any: share of the images with one.
        by_kind: the same fraction of each kind of image.
        unreadable: files that are no image after all, and why.
    """

    per_image: Estimate
    fraction_with_any: Estimate
    by_kind: dict[str, Estimate]
    unreadable: dict[str, str]

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "boxes_per_image": self.per_image.to_json(),
            "images_with_one": self.fraction_with_any.to_json(),
            "kinds": {
                kind: estimate.to_json() for kind, estimate in self.by_kind.items()
            },
            "unreadable": dict(self.unreadable),
        }


def evaluate_negative_images(
    analyzer: Analyzer, files: Iterable[tuple[Path, str]], settings: Settings
) -> NegativeImageReport:
    """Count what an analyzer sees in images that show no face.

    Args:
        analyzer: finds the faces.
        files: images, and the kind of each.
        settings: which faces are shown.
    """
    counts: dict[str, list[int]] = {}
    unreadable: dict[str, str] = {}
    for file, kind in files:
        try:
            count = len(analyzer.analyze(read_image(file), settings))
        except (ValueError, OSError) as error:
            unreadable[str(file)] = str(error)
        else:
            counts.setdefault(kind, []).append(count)
    all_counts = [count for kind_counts in counts.values() for count in kind_counts]
    fraction_by_kind = {
        kind: _fraction_with_any(kind_counts)
        for kind, kind_counts in sorted(counts.items())
    }
    return NegativeImageReport(
        poisson_rate(all_counts),
        _fraction_with_any(all_counts),
        fraction_by_kind,
        unreadable,
    )


def _fraction_with_any(counts: Sequence[int]) -> Estimate:
    return proportion(sum(count > 0 for count in counts), len(counts))


def face_free_windows(
    size_wh: tuple[int, int],
    boxes: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    limit: int = 2,
) -> list[tuple[int, int, int, int]]:
    """Return large squares of an image, `x1, y1, x2, y2`, that touch no box.

    They do not touch each other either. The first is the largest there is, up to
    steps of a fifth, at a place that chance decides; a square may be as small as
    `MIN_PART_PX`.

    Args:
        size_wh: of the image, in pixels.
        boxes: `(n, 4)` what they keep away from, and some pixels more.
        rng: decides among places.
        limit: how many are wanted.
    """
    width, height = size_wh
    occupied = np.zeros((height, width), np.int64)
    for x1, y1, x2, y2 in boxes:
        margin_x, margin_y = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
        left, top = max(int(x1 - margin_x), 0), max(int(y1 - margin_y), 0)
        occupied[
            top : int(np.ceil(y2 + margin_y)), left : int(np.ceil(x2 + margin_x))
        ] = 1
    windows: list[tuple[int, int, int, int]] = []
    side = min(width, height)
    while side >= MIN_PART_PX and len(windows) < limit:
        # The sum over every square at once, from the sums up to each corner.
        sums = np.pad(occupied, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        inside = sums[side:, side:] - sums[side:, :-side] - sums[:-side, side:]
        corners = np.argwhere(inside + sums[:-side, :-side] == 0)
        if not len(corners):
            side = int(side * 0.8)
            continue
        y, x = (int(value) for value in corners[rng.integers(len(corners))])
        windows.append((x, y, x + side, y + side))
        occupied[y : y + side, x : x + side] = 1
    return windows


def _scene_parts(examples: Iterable[Example], seed: int) -> Iterator[Image]:
    for index, example in enumerate(examples):
        if example.is_crop:
            continue
        image = read_image(example.path)
        faces = np.concatenate([example.boxes, example.ignore_boxes])
        size_wh = (image.shape[1], image.shape[0])
        rng = np.random.default_rng((seed, index))
        for x1, y1, x2, y2 in face_free_windows(size_wh, faces, rng):
            yield np.ascontiguousarray(image[y1:y2, x1:x2])


def _draw_images(draw: _DrawImage, n: int, seed: tuple[int, ...]) -> Iterator[Image]:
    rng = np.random.default_rng(seed)
    return (draw(rng) for _ in range(n))


def _image_drawers() -> tuple[dict[str, _DrawImage], dict[str, _DrawImage]]:
    """Return who draws each kind of empty image, and of drawn faces."""
    empty: dict[str, _DrawImage] = {
        **{kind: partial(draw_wall, kind) for kind in WALL_PATTERNS},
        **{kind: partial(draw_round_objects, kind) for kind in ROUND_OBJECT_KINDS},
        **{
            name: partial(_draw_held_object, occluder)
            for name, occluder in _OCCLUDERS.items()
        },
    }
    faces: dict[str, _DrawImage] = {
        kind: partial(draw_cartoon, kind) for kind in CARTOON_KINDS
    }
    return empty, faces


def _draw_held_object(occluder: Occluder, rng: np.random.Generator) -> Image:
    """Return a wall with one thing, and the hands that hold it, upon it."""
    image = draw_background(rng)
    eye_distance_px = float(np.exp(rng.uniform(*np.log(_EYE_DISTANCES_PX))))
    centre = rng.uniform(2 * eye_distance_px, np.array(SIZE_WH) - 2 * eye_distance_px)
    landmarks = centre + eye_distance_px * (
        MEAN_FACE[:, :2] - MEAN_FACE[:, :2].mean(axis=0)
    )
    skin = _SKIN_COLOURS[rng.integers(len(_SKIN_COLOURS))]
    return simulate_camera(
        render_occluder(image, landmarks, occluder, skin=skin, rng=rng), rng
    )
