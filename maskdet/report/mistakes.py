"""The worst mistakes: faces whose wrong label was given most surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskdet.classifier import crop_face
from maskdet.evaluation import FacePredictions
from maskdet.media import read_image
from maskdet.metrics.labelling import Json
from maskdet.report.grids import CELL_PX, image_grid
from maskdet.style import DEFAULT_STYLE, Style, format_percent
from maskdet.types import CLASSES, Image, Label

MAX_MISTAKES = 36
"""In one grid: as many as a person looks at."""


@dataclass(frozen=True)
class Mistake:
    """One face that was labelled wrongly.

    Attributes:
        path: its picture.
        box: where it is, `x1, y1, x2, y2` in pixels.
        ground_truth: what it is.
        predicted: what was said.
        probability: how surely, in [0, 1].
    """

    path: Path
    box: tuple[float, float, float, float]
    ground_truth: Label
    predicted: Label
    probability: float

    def to_json(self) -> Json:
        """Return it with the name of its file only: folders say who works where."""
        return {
            "file": self.path.name,
            "box": [round(side, 1) for side in self.box],
            "truth": self.ground_truth.key,
            "said": self.predicted.key,
            "probability": round(self.probability, 4),
        }


def worst_mistakes(
    face_predictions: FacePredictions, *, limit: int = MAX_MISTAKES
) -> list[Mistake]:
    """Return the mistakes among the three states, highest wrong probability first."""
    probs, ground_truth = (
        face_predictions.predictions.probs,
        face_predictions.predictions.ground_truth,
    )
    predicted = probs.argmax(axis=1)
    wrong = np.flatnonzero(predicted != ground_truth)
    order = wrong[np.argsort(-probs[wrong, predicted[wrong]], kind="stable")]
    mistakes = []
    for row in order[:limit]:
        x1, y1, x2, y2 = (float(side) for side in face_predictions.boxes[row])
        mistakes.append(
            Mistake(
                path=face_predictions.paths[row],
                box=(x1, y1, x2, y2),
                ground_truth=CLASSES[ground_truth[row]],
                predicted=CLASSES[predicted[row]],
                probability=float(probs[row, predicted[row]]),
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
    crops, captions, style = [], [], style.to_drawable()
    for mistake in mistakes:
        box = np.array(mistake.box, np.float32)
        crops.append(crop_face(read_image(mistake.path), box, CELL_PX))
        prediction_text = (
            f"{format_percent(mistake.probability)} {style.title(mistake.predicted)}"
        )
        captions.append(f"{style.title(mistake.ground_truth)}, said\n{prediction_text}")
    return image_grid(crops, captions, columns=columns)
