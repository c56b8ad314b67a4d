"""Pictures without a face: how often does an analyzer see one all the same?

Three kinds of pictures count: parts of labelled scenes that touch no true box, which
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

from maskdet.analyzer import Analyzer
from maskdet.datasets import Example
from maskdet.media import read_image
from maskdet.metrics.estimate import Estimate, rate, share
from maskdet.metrics.labelling import Json
from maskdet.suites.cartoons import CARTOONS, cartoon
from maskdet.suites.pen import SIZE_WH, as_photographed
from maskdet.suites.round_things import ROUND_THINGS, round_things
from maskdet.suites.walls import WALLS, background, wall
from maskdet.synthetic import Thing, cover_mouth
from maskdet.synthetic.head import MEAN_FACE
from maskdet.types import Image, Settings

PARTS: Final = "parts of scenes"
"""What the face-free parts of labelled scenes are called in a report."""

PART_PX: Final = 96
"""Side of the smallest part of a scene that is looked at."""

EACH: Final = 20
"""Pictures that are drawn of each kind."""

# A beard alone is nothing that one meets.
_THINGS: Final[dict[str, Thing]] = {
    "hands": "hand",
    "cups": "cup",
    "phones": "phone",
    "scarves": "scarf",
}
_EYES_PX: Final = (18.0, 80.0)
_SKINS: Final = ((180, 200, 235), (120, 150, 205), (80, 105, 160), (45, 60, 95))

# People draw boxes tightly: round each, this share of its sides may still be a face.
_MARGIN: Final = 0.35

_Draw = Callable[[np.random.Generator], Image]


@dataclass(frozen=True)
class EmptyReport:
    """False alarms a picture at the settings that a user starts with.

    Attributes:
        kinds: by kind of picture: `PARTS`, walls, round things and things on walls.
        together: over all of these.
        alarmed: share of all these pictures that have a false alarm at all: a single
            patterned wall may give a hundred.
        cartoons: boxes a picture on drawn faces, by kind; no part of `together`.
    """

    kinds: dict[str, Estimate]
    together: Estimate
    alarmed: Estimate
    cartoons: dict[str, Estimate]

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "kinds": {name: one.rounded() for name, one in self.kinds.items()},
            "together": self.together.rounded(),
            "pictures_with_one": self.alarmed.rounded(),
            "cartoons": {name: one.rounded() for name, one in self.cartoons.items()},
        }


def false_alarms(
    analyzer: Analyzer,
    examples: Iterable[Example],
    settings: Settings,
    *,
    each: int = EACH,
    seed: int = 0,
) -> EmptyReport:
    """Count the faces that an analyzer sees where there are none.

    Args:
        analyzer: finds the faces.
        examples: scenes; pictures of one face without a box are passed over.
        settings: which faces are shown.
        each: how many pictures of each kind are drawn.
        seed: fixes which parts are taken and what is drawn.
    """

    def counted(pictures: Iterable[Image]) -> list[int]:
        return [len(analyzer.analyze(image, settings)) for image in pictures]

    drawn, cartoons = _drawings()
    counts = {PARTS: counted(_parts_of_all(examples, seed))}
    counts |= {
        name: counted(_drawn(draw, each, (seed, place)))
        for place, (name, draw) in enumerate(drawn.items(), 1)
    }
    every = [one for some in counts.values() for one in some]
    return EmptyReport(
        kinds={name: rate(some) for name, some in counts.items()},
        together=rate(every),
        alarmed=_alarmed(every),
        cartoons={
            name: rate(counted(_drawn(draw, each, (seed, 0, place))))
            for place, (name, draw) in enumerate(cartoons.items())
        },
    )


@dataclass(frozen=True)
class AlarmReport:
    """False alarms on pictures that are known to show no face.

    Attributes:
        boxes: a picture.
        alarmed: share of the pictures with one.
        kinds: the same fraction of each kind of image.
        unreadable: files that are no picture after all, and why.
    """

    boxes: Estimate
    alarmed: Estimate
    kinds: dict[str, Estimate]
    unreadable: dict[str, str]

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "boxes_a_picture": self.boxes.rounded(),
            "pictures_with_one": self.alarmed.rounded(),
            "kinds": {kind: rate.rounded() for kind, rate in self.kinds.items()},
            "unreadable": dict(self.unreadable),
        }


def alarms_in(
    analyzer: Analyzer, files: Iterable[tuple[Path, str]], settings: Settings
) -> AlarmReport:
    """Count what an analyzer sees in pictures that show no face.

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
    every = [count for of_kind in counts.values() for count in of_kind]
    kinds = {kind: _alarmed(of_kind) for kind, of_kind in sorted(counts.items())}
    return AlarmReport(rate(every), _alarmed(every), kinds, unreadable)


def _alarmed(counts: Sequence[int]) -> Estimate:
    return share(sum(count > 0 for count in counts), len(counts))


def free_windows(
    size_wh: tuple[int, int],
    boxes: NDArray[np.floating],
    rng: np.random.Generator,
    *,
    most: int = 2,
) -> list[tuple[int, int, int, int]]:
    """Return large squares of a picture, `x1, y1, x2, y2`, that touch no box.

    They do not touch each other either. The first is the largest there is, up to
    steps of a fifth, at a place that chance decides; a square may be as small as
    `PART_PX`.

    Args:
        size_wh: of the picture, in pixels.
        boxes: `(n, 4)` what they keep away from, and some pixels more.
        rng: decides among places.
        most: how many are wanted.
    """
    width, height = size_wh
    taken = np.zeros((height, width), np.int64)
    for x1, y1, x2, y2 in boxes:
        across, down = _MARGIN * (x2 - x1), _MARGIN * (y2 - y1)
        left, top = max(int(x1 - across), 0), max(int(y1 - down), 0)
        taken[top : int(np.ceil(y2 + down)), left : int(np.ceil(x2 + across))] = 1
    found: list[tuple[int, int, int, int]] = []
    side = min(width, height)
    while side >= PART_PX and len(found) < most:
        # The sum over every square at once, from the sums up to each corner.
        sums = np.pad(taken, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        inside = sums[side:, side:] - sums[side:, :-side] - sums[:-side, side:]
        places = np.argwhere(inside + sums[:-side, :-side] == 0)
        if not len(places):
            side = int(side * 0.8)
            continue
        y, x = (int(value) for value in places[rng.integers(len(places))])
        found.append((x, y, x + side, y + side))
        taken[y : y + side, x : x + side] = 1
    return found


def _parts_of_all(examples: Iterable[Example], seed: int) -> Iterator[Image]:
    for number, example in enumerate(examples):
        if example.whole:
            continue
        image = read_image(example.path)
        faces = np.concatenate([example.boxes, example.ignored])
        size_wh = (image.shape[1], image.shape[0])
        rng = np.random.default_rng((seed, number))
        for x1, y1, x2, y2 in free_windows(size_wh, faces, rng):
            yield np.ascontiguousarray(image[y1:y2, x1:x2])


def _drawn(draw: _Draw, n: int, seed: tuple[int, ...]) -> Iterator[Image]:
    rng = np.random.default_rng(seed)
    return (draw(rng) for _ in range(n))


def _drawings() -> tuple[dict[str, _Draw], dict[str, _Draw]]:
    """Return who draws each kind of empty picture, and of drawn faces."""
    empty: dict[str, _Draw] = {
        **{kind: partial(wall, kind) for kind in WALLS},
        **{kind: partial(round_things, kind) for kind in ROUND_THINGS},
        **{name: partial(_held, thing) for name, thing in _THINGS.items()},
    }
    faces: dict[str, _Draw] = {kind: partial(cartoon, kind) for kind in CARTOONS}
    return empty, faces


def _held(thing: Thing, rng: np.random.Generator) -> Image:
    """Return a wall with one thing, and the hands that hold it, upon it."""
    image = background(rng)
    eyes_px = float(np.exp(rng.uniform(*np.log(_EYES_PX))))
    middle = rng.uniform(2 * eyes_px, np.array(SIZE_WH) - 2 * eyes_px)
    points = middle + eyes_px * (MEAN_FACE[:, :2] - MEAN_FACE[:, :2].mean(axis=0))
    skin = _SKINS[rng.integers(len(_SKINS))]
    return as_photographed(cover_mouth(image, points, thing, skin=skin, rng=rng), rng)
