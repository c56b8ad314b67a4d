"""False positives on images without faces.

Three kinds of images are counted: face-free crops of labelled scenes, which show
clothes, hands and walls; synthetic walls and round objects; hands and held objects on
such walls. Cartoon faces are reported separately, because it is debatable whether they
are faces. Some crops contain faces that were not labelled, so the rates of the crops
are upper bounds.
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
from maskdet.metrics.intervals import (
    Estimate,
    MetricsReport,
    poisson_rate,
    proportion_of,
)
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

SCENE_PARTS: Final = "face-free crops"
"""Name of the face-free crops of labelled scenes in a report."""

MIN_PART_PX: Final = 96
"""Smallest side of a face-free crop."""

IMAGES_PER_KIND: Final = 20
"""Default number of synthetic images of each kind."""

# Without beards, which do not occur without a face.
_OCCLUDERS: Final[dict[str, Occluder]] = {
    "hands": "hand",
    "cups": "cup",
    "phones": "phone",
    "scarves": "scarf",
}
_EYE_DISTANCES_PX: Final = (18.0, 80.0)
_SKIN_COLOURS: Final = ((180, 200, 235), (120, 150, 205), (80, 105, 160), (45, 60, 95))

# Annotated boxes are tight: a margin of this fraction of their sides may show the face.
_MARGIN: Final = 0.35

_DrawImage = Callable[[np.random.Generator], Image]


@dataclass(frozen=True)
class FalsePositiveReport(MetricsReport):
    """False positives per image.

    Attributes:
        by_kind: by kind of image: `SCENE_PARTS`, walls, round objects, held objects.
        overall: over all of these.
        fraction_with_any: fraction of the images with at least one false positive; a
            single patterned wall may have a hundred.
        cartoons: detections per image on cartoon faces, by kind; not in `overall`.
    """

    by_kind: dict[str, Estimate]
    overall: Estimate
    fraction_with_any: Estimate
    cartoons: dict[str, Estimate]


def evaluate_false_positives(
    analyzer: Analyzer,
    examples: Iterable[Example],
    settings: Settings,
    *,
    n_per_kind: int = IMAGES_PER_KIND,
    seed: int = 0,
) -> FalsePositiveReport:
    """Count the detections of an analyzer on images without faces.

    Args:
        analyzer: the analyzer.
        examples: scenes; images of one face without a box are skipped.
        settings: detection settings.
        n_per_kind: number of synthetic images of each kind.
        seed: random seed of the crops and the synthetic images.
    """

    def count_detections(images: Iterable[Image]) -> list[int]:
        return [len(analyzer.analyze(image, settings)) for image in images]

    def count_drawn(draw: _DrawImage, *seeds: int) -> list[int]:
        rng = np.random.default_rng((seed, *seeds))
        return count_detections(draw(rng) for _ in range(n_per_kind))

    counts = {SCENE_PARTS: count_detections(_scene_parts(examples, seed))}
    counts |= {
        name: count_drawn(draw, index)
        for index, (name, draw) in enumerate(_image_drawers().items(), 1)
    }
    all_counts = [count for kind_counts in counts.values() for count in kind_counts]
    return FalsePositiveReport(
        by_kind={
            name: poisson_rate(kind_counts) for name, kind_counts in counts.items()
        },
        overall=poisson_rate(all_counts),
        fraction_with_any=_fraction_with_any(all_counts),
        cartoons={
            kind: poisson_rate(count_drawn(partial(draw_cartoon, kind), 0, index))
            for index, kind in enumerate(CARTOON_KINDS)
        },
    )


@dataclass(frozen=True)
class NegativeImageReport(MetricsReport):
    """False positives on the user's images without faces.

    Attributes:
        per_image: mean number per image.
        fraction_with_any: fraction of the images with at least one.
        by_kind: the same fraction by kind of image.
        unreadable: unreadable files with the reasons.
    """

    per_image: Estimate
    fraction_with_any: Estimate
    by_kind: dict[str, Estimate]
    unreadable: dict[str, str]


def evaluate_negative_images(
    analyzer: Analyzer, files: Iterable[tuple[Path, str]], settings: Settings
) -> NegativeImageReport:
    """Count the detections of an analyzer on the user's images without faces.

    Args:
        analyzer: the analyzer.
        files: images with their kinds.
        settings: detection settings.
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
    return proportion_of([count > 0 for count in counts])


def face_free_windows(
    size_wh: tuple[int, int],
    boxes: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    limit: int = 2,
) -> list[tuple[int, int, int, int]]:
    """Return large squares of an image, `x1, y1, x2, y2`, that touch no box.

    They do not overlap. The first is the largest possible one, in steps of a fifth, at
    a random place; no square is smaller than `MIN_PART_PX`.

    Args:
        size_wh: of the image, in pixels.
        boxes: `(n, 4)` boxes to avoid, with a margin.
        rng: random generator of the places.
        limit: maximal number of squares.
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
        # Sums over all squares from the integral image.
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


def _image_drawers() -> dict[str, _DrawImage]:
    """Return the drawing functions of images without faces."""
    return {
        **{kind: partial(draw_wall, kind) for kind in WALL_PATTERNS},
        **{kind: partial(draw_round_objects, kind) for kind in ROUND_OBJECT_KINDS},
        **{
            name: partial(_draw_held_object, occluder)
            for name, occluder in _OCCLUDERS.items()
        },
    }


def _draw_held_object(occluder: Occluder, rng: np.random.Generator) -> Image:
    """Return a wall with one object and the hands that hold it."""
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
