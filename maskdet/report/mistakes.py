"""The worst mistakes: faces whose wrong label was given most surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskdet.classifier import crop_face
from maskdet.evaluation import Judged
from maskdet.media import read_image
from maskdet.metrics.labelling import Json
from maskdet.report.grids import CELL_PX, picture_grid
from maskdet.style import DEFAULT_STYLE, Style, percent
from maskdet.types import CLASSES, Image, Label

MOST_MISTAKES = 36
"""In one grid: as many as a person looks at."""


@dataclass(frozen=True)
class Mistake:
    """One face that was labelled wrongly.

    Attributes:
        path: its picture.
        box: where it is, `x1, y1, x2, y2` in pixels.
        truth: what it is.
        said: what was said.
        probability: how surely, in [0, 1].
    """

    path: Path
    box: tuple[float, float, float, float]
    truth: Label
    said: Label
    probability: float

    def to_json(self) -> Json:
        """Return it with the name of its file only: folders say who works where."""
        return {
            "file": self.path.name,
            "box": [round(side, 1) for side in self.box],
            "truth": self.truth.key,
            "said": self.said.key,
            "probability": round(self.probability, 4),
        }


def worst_mistakes(judged: Judged, *, most: int = MOST_MISTAKES) -> list[Mistake]:
    """Return the mistakes among the three states, highest wrong probability first."""
    probs, truths = judged.answers.probs, judged.answers.truths
    said = probs.argmax(axis=1)
    wrong = np.flatnonzero(said != truths)
    order = wrong[np.argsort(-probs[wrong, said[wrong]], kind="stable")]
    mistakes = []
    for row in order[:most]:
        x1, y1, x2, y2 = (float(side) for side in judged.boxes[row])
        mistakes.append(
            Mistake(
                path=judged.paths[row],
                box=(x1, y1, x2, y2),
                truth=CLASSES[truths[row]],
                said=CLASSES[said[row]],
                probability=float(probs[row, said[row]]),
            )
        )
    return mistakes


def mistakes_grid(
    mistakes: Sequence[Mistake], *, columns: int = 6, style: Style = DEFAULT_STYLE
) -> Image:
    """Return the faces, each with truth and label, as the classifier saw them.

    Args:
        mistakes: the faces.
        columns: pictures in a row.
        style: names of the classes.

    Raises:
        ValueError: a picture cannot be read any more.
    """
    crops, captions, style = [], [], style.drawable()
    for one in mistakes:
        box = np.array(one.box, np.float32)
        crops.append(crop_face(read_image(one.path), box, CELL_PX))
        said = f"{percent(one.probability)} {style.title(one.said)}"
        captions.append(f"{style.title(one.truth)}, said\n{said}")
    return picture_grid(crops, captions, columns=columns)
