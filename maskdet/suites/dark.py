"""Low light: what does it cost that a camera hardly sees the face?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from maskdet.boxes import sizes_px
from maskdet.classifier import Classifier
from maskdet.datasets import Example
from maskdet.detectors import Detector
from maskdet.evaluation import LARGE_PX
from maskdet.media import read_image
from maskdet.metrics.estimate import RESAMPLES, Estimate, percentile_estimate, share
from maskdet.metrics.labelling import Json
from maskdet.suites.hard import called_masked
from maskdet.types import Image, Label

DARK_LUMINANCE: Final = 40.0
"""A face whose mean luminance (0 to 255) is below this counts as in low light."""

_DARKEST: Final = 12.0


@dataclass(frozen=True)
class DarkReport:
    """What low light costs: mask against no mask on the same faces.

    Attributes:
        lit: share right as the faces are.
        dark: share right once they are darkened.
        lost: the difference, with a paired bootstrap interval over the faces.
    """

    lit: Estimate
    dark: Estimate
    lost: Estimate

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "lit": self.lit.rounded(),
            "dark": self.dark.rounded(),
            "lost": self.lost.rounded(),
        }


def low_light(
    classifier: Classifier,
    finder: Detector,
    examples: Iterable[Example],
    *,
    seed: int = 0,
) -> DarkReport:
    """Darken every face to a mean luminance below 40, with noise, and compare.

    Args:
        classifier: gives the labels.
        finder: finds the face in pictures of one face.
        examples: scenes or pictures of one face that were not trained on.
        seed: fixes darkness and noise.
    """
    rng = np.random.default_rng(seed)
    lit: list[bool] = []
    dark: list[bool] = []
    for example in examples:
        image = read_image(example.path)
        for box, label in _labelled_faces(example, image, finder):
            night = darken(image, box, rng)
            bare = label == Label.NO_MASK
            lit.append(called_masked(classifier, image, box) != bare)
            dark.append(called_masked(classifier, night, box) != bare)
    return DarkReport(
        lit=share(sum(lit), len(lit)),
        dark=share(sum(dark), len(dark)),
        lost=_paired_loss(np.array(lit), np.array(dark), seed),
    )


def _labelled_faces(
    example: Example, image: Image, finder: Detector
) -> list[tuple[NDArray[np.float32], int]]:
    if not example.whole:
        large = sizes_px(example.boxes) >= LARGE_PX
        pairs = zip(example.boxes[large], example.label_values[large], strict=True)
        return [(box, int(label)) for box, label in pairs]
    height, width = image.shape[:2]
    boxes = finder.detect(image).boxes[:1]
    box = boxes[0] if len(boxes) else np.array([0, 0, width, height], np.float32)
    return [(box, int(example.labels[0]))]


def darken(image: Image, box: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Return the picture as if taken in so little light that the face is below 40.

    Light falls by one factor; the sensor then adds shot noise, which grows with the
    root of the light, and read noise, which does not (Healey and Kondepudy 1994); the
    file is compressed as cameras do.

    Args:
        image: `(h, w, 3)` uint8 BGR.
        box: `(4,)` the face whose luminance counts.
        rng: decides how dark, and the noise.
    """
    x1, y1, x2, y2 = np.clip(np.rint(box).astype(int), 0, None)
    face = cv2.cvtColor(image[y1 : y2 + 1, x1 : x2 + 1], cv2.COLOR_BGR2GRAY)
    wanted = rng.uniform(_DARKEST, DARK_LUMINANCE - 2)
    factor = min(1.0, wanted / max(float(face.mean()), 1.0))
    light = image.astype(np.float32) * factor
    noise = rng.normal(size=image.shape) * np.sqrt(0.15 * light + 2.0)
    night = np.clip(light + noise, 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", night, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _paired_loss(
    before: NDArray[np.bool_], after: NDArray[np.bool_], seed: int
) -> Estimate:
    """Return the mean of `before - after`, drawing whole faces anew."""
    n = len(before)
    if not n:
        return Estimate(np.nan, np.nan, np.nan, 0)
    loss = before.astype(np.float64) - after
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    return percentile_estimate(float(loss.mean()), loss[drawn].mean(axis=1), n)
