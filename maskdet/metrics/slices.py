"""Parts of a labelled set: small faces, dark ones, blurred ones, each source."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.metrics.answers import Answers
from maskdet.metrics.estimate import Estimate, share
from maskdet.metrics.labelling import Json, Labelling
from maskdet.types import Image

MEASURED_PX = 64
"""Side that a face is scaled to before its light and sharpness are measured."""

LEAST_COMPARED = 10
"""Faces in a part and in its rest from which one is called worse than the other: with
fewer, Newcombe's interval would accuse a single mistake."""

_SIZE_EDGES = (0.0, 32.0, 64.0, 128.0, math.inf)
_LIGHT_EDGES = (0.0, 40.0, 80.0, 160.0, math.inf)


@dataclass(frozen=True, eq=False)
class Slice:
    """One part of a set, and whether it does worse than the rest of the set.

    Attributes:
        name: what the set was cut by: `face size`, `light`, `sharpness`, `source`.
        part: which part of it, in words.
        labels: the answers for the faces in this part.
        difference: accuracy of mask against no mask here minus that of all other
            faces, with its interval; NaN where there is nothing to compare with.
        others: how many faces the rest of the set has.
    """

    name: str
    part: str
    labels: Labelling
    difference: Estimate
    others: int

    @property
    def accuracy(self) -> Estimate:
        """Mask against no mask."""
        return self.labels.wearing.accuracy

    @property
    def worse(self) -> bool:
        """Whether it does worse than the rest by more than the interval allows.

        One in forty parts that are no worse is called so by chance.
        """
        enough = min(self.difference.n, self.others) >= LEAST_COMPARED
        return enough and self.difference.high < 0

    def to_json(self) -> Json:
        """Return every number with its interval."""
        wearing = self.labels.wearing
        return {
            "name": self.name,
            "part": self.part,
            "n": wearing.n,
            "mask_against_no_mask": wearing.accuracy.rounded(),
            "masked_right": wearing.recalls[0].rounded(),
            "bare_right": wearing.recalls[1].rounded(),
            "three_states": self.labels.states.accuracy.rounded(),
            "difference_to_the_rest": self.difference.rounded(),
            "worse": self.worse,
        }


def slices(answers: Answers) -> list[Slice]:
    """Cut a set by face size, light, sharpness and source; parts without faces go.

    Sizes are the shorter side in pixels, lights mean luminances of 0 to 255; for
    sharpness the set itself is cut in three equal parts.
    """
    labelling = answers.labelling
    right = (labelling.probs[:, 1] > 0.5) == (labelling.truths == 1)
    result = []
    for name, part, chosen in _parts(answers):
        n, others = int(chosen.sum()), int((~chosen).sum())
        if not n:
            continue
        hits, other_hits = int(right[chosen].sum()), int(right[~chosen].sum())
        gap = difference(share(hits, n), share(other_hits, others))
        result.append(Slice(name, part, answers.keep(chosen).labelling, gap, others))
    return result


def difference(one: Estimate, other: Estimate) -> Estimate:
    """Return the difference of two independent shares with its 95 % interval.

    Source: R. G. Newcombe, "Interval estimation for the difference between
    independent proportions", Statistics in Medicine 17 (1998), method 10.

    Args:
        one: a share with Wilson's interval, as `share` gives it.
        other: what is taken away from it.

    Returns:
        NaN where one of the two has nothing to measure; `n` is that of `one`.
    """
    if not one.n or not other.n:
        return Estimate(math.nan, math.nan, math.nan, one.n)
    value = one.value - other.value
    down = math.hypot(one.value - one.low, other.high - other.value)
    up = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value, value - down, value + up, one.n)


def crop_light(crop: Image) -> float:
    """Return the mean luminance of a crop, 0 (black) to 255 (ITU-R BT.601 weights)."""
    return float(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).mean())


def crop_sharpness(crop: Image) -> float:
    """Return the variance of the Laplacian of a crop's luminance; larger is sharper.

    The crop is first scaled to `MEASURED_PX`, so that a small face counts as
    blurred: it shows as little. Source: J. L. Pech-Pacheco et al., "Diatom
    autofocusing in brightfield microscopy", ICPR 2000.
    """
    luma = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    if luma.shape != (MEASURED_PX, MEASURED_PX):
        shrinks = max(luma.shape) > MEASURED_PX
        rule = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        luma = cv2.resize(luma, (MEASURED_PX, MEASURED_PX), interpolation=rule)
    return float(cv2.Laplacian(luma, cv2.CV_64F).var())


FacePart = tuple[str, str, NDArray[np.bool_]]
"""What a set was cut by, which part, and the `(n,)` faces that are in it."""


def thirds(sharpness: NDArray[np.float32]) -> tuple[float, float]:
    """Return the two values that cut faces in three equal parts; NaN for no face."""
    if not len(sharpness):
        return math.nan, math.nan
    low, high = np.percentile(sharpness, [100 / 3, 200 / 3])
    return float(low), float(high)


def face_parts(
    sizes_px: NDArray[np.float32],
    lights: NDArray[np.float32],
    sharpness: NDArray[np.float32],
    cuts: tuple[float, float],
) -> Iterator[FacePart]:
    """Cut faces by size, light and sharpness; a part may be empty.

    Args:
        sizes_px: `(n,)` shorter sides in pixels.
        lights: `(n,)` mean luminances, 0 to 255.
        sharpness: `(n,)`, see `crop_sharpness`.
        cuts: where sharpness is cut, as `thirds` gives it.
    """
    yield from _cut("face size", sizes_px, _SIZE_EDGES, " px")
    yield from _cut("light", lights, _LIGHT_EDGES, "")
    ranks = (sharpness > cuts[0]).astype(int) + (sharpness > cuts[1])
    for rank, part in enumerate(("blurred third", "middle third", "sharp third")):
        yield "sharpness", part, ranks == rank


def _parts(answers: Answers) -> Iterator[FacePart]:
    looks = (answers.sizes_px, answers.lights, answers.sharpness)
    yield from face_parts(*looks, thirds(answers.sharpness))
    for source in sorted({str(source) for source in answers.sources}):
        yield "source", source or "(none)", answers.sources == source


def _cut(
    name: str, values: NDArray[np.float32], edges: tuple[float, ...], unit: str
) -> Iterator[FacePart]:
    for low, high in pairwise(edges):
        if low == 0:
            part = f"under {high:g}{unit}"
        elif high == math.inf:
            part = f"{low:g}{unit} and more"
        else:
            part = f"{low:g} to {high:g}{unit}"
        yield name, part, (values >= low) & (values < high)
