"""Pictures of one face, pasted small and many into scenes: found, and labelled right?

A set of portraits (`index.csv`) has no crowds and no far faces, and its people are none
of those in the scenes that a network was trained on. So its pictures are shrunk and
pasted on drawn walls: the answer to what a scene of strangers would give.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskdet.analyzer import Analyzer
from maskdet.boxes import Boxes
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.metrics.estimate import Estimate, rate, share
from maskdet.metrics.labelling import Json
from maskdet.suites.pen import SIZE_WH
from maskdet.suites.walls import background
from maskdet.types import Image, Label, Scene, Settings

SIDES_PX: Final = (40, 80, 160)
"""Longer sides that the pictures are scaled to; a face takes about half of one."""

_GAP_PX: Final = 12
"""Wall between two pictures, at least: a few pixels for a box that is too large."""


@dataclass(frozen=True)
class PastedReport:
    """What became of pasted pictures, by their longer side in pixels.

    Attributes:
        found: share of the pictures in which a face was found.
        right: rate of found faces with the right class, mask against no mask; incorrect
            counts as masked, and an unsure answer as wrong.
        beside: faces seen on the wall between them, a scene.
    """

    found: dict[int, Estimate]
    right: dict[int, Estimate]
    beside: Estimate

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "found": {str(px): one.rounded() for px, one in self.found.items()},
            "right": {str(px): one.rounded() for px, one in self.right.items()},
            "beside": self.beside.rounded(),
        }


def pasted_faces(
    analyzer: Analyzer,
    examples: Iterable[Example],
    settings: Settings,
    *,
    seed: int = 0,
) -> PastedReport:
    """Paste pictures of one face into drawn scenes and look at each once a size.

    Args:
        analyzer: finds and labels.
        examples: pictures of one face; scenes are passed over.
        settings: which faces are shown.
        seed: fixes walls and places.
    """
    known = [example for example in examples if example.whole]
    pictures = [read_image(example.path) for example in known]
    masked = [example.label_values[0] != Label.NO_MASK for example in known]
    found: dict[int, Estimate] = {}
    right: dict[int, Estimate] = {}
    beside: list[int] = []
    for side_px in SIDES_PX:
        answers: list[bool | None] = []
        for rows, image, places in _scenes(pictures, side_px, (seed, side_px)):
            scene = analyzer.analyze(image, settings)
            said, strangers = _answers(scene, places)
            beside.append(strangers)
            for row, label in zip(rows, said, strict=True):
                answers.append(None if label is None else _is(label, masked[row]))
        seen = [one for one in answers if one is not None]
        found[side_px] = share(len(seen), len(answers))
        right[side_px] = share(sum(seen), len(seen))
    return PastedReport(found, right, rate(beside))


def _is(label: Label, masked: bool) -> bool:
    return label != Label.UNKNOWN and (label != Label.NO_MASK) == masked


def _scenes(
    pictures: Sequence[Image], side_px: int, seed: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], Image, Boxes]]:
    """Yield scenes: which pictures are in it, the image, and where each of them is."""
    rng = np.random.default_rng(seed)
    cell = side_px + _GAP_PX
    across, down = SIZE_WH[0] // cell, SIZE_WH[1] // cell
    order, most = rng.permutation(len(pictures)).tolist(), max(1, across * down // 2)
    for start in range(0, len(order), most):
        rows = tuple(order[start : start + most])
        image = background(rng)
        cells = rng.choice(across * down, len(rows), replace=False)
        places = np.zeros((len(rows), 4), np.float32)
        for number, (row, at) in enumerate(zip(rows, cells, strict=True)):
            small = _shrunk(pictures[row], side_px)
            height, width = small.shape[:2]
            x = at % across * cell + _GAP_PX // 2 + (side_px - width) // 2
            y = at // across * cell + _GAP_PX // 2 + (side_px - height) // 2
            image[y : y + height, x : x + width] = small
            places[number] = x, y, x + width, y + height
        yield rows, image, places


def _shrunk(picture: Image, side_px: int) -> Image:
    height, width = picture.shape[:2]
    factor = side_px / max(height, width)
    size_wh = max(1, round(width * factor)), max(1, round(height * factor))
    rule = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size_wh, interpolation=rule), np.uint8)


def _answers(scene: Scene, places: Boxes) -> tuple[list[Label | None], int]:
    """Return what was said in each place, by the surest face, and how many lie beside.

    A face is in the place that holds its middle.
    """
    middles = (scene.faces.boxes[:, :2] + scene.faces.boxes[:, 2:]) / 2
    x, y = middles[:, 0, None], middles[:, 1, None]
    inside = (x > places[:, 0]) & (x < places[:, 2])
    inside &= (y > places[:, 1]) & (y < places[:, 3])
    said = [
        scene.labels[int(inside[:, place].argmax())] if inside[:, place].any() else None
        for place in range(len(places))
    ]
    return said, len(scene) - int(inside.any(axis=1).sum())
