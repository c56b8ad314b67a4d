"""Run an analyzer over labelled images and measure what it found and said.

Three questions, each with its own report:

- `evaluate_detection`: are the faces of a scene found, and labelled right?
- `evaluate_boxes`: given the true boxes, is the label right? (the classifier alone)
- `evaluate_faces`: in images of one face, is the label right?

Each report holds its answers as `FacePredictions`: what was said of which face.
`collect_predictions` asks one classifier all three and returns what a run keeps.

"Mask against no mask" counts an incorrectly worn mask as a mask; see
`metrics.labelling`.
"""

from __future__ import annotations

from maskdet.evaluation.classification import (
    ClassificationReport,
    collect_predictions,
    evaluate_boxes,
    evaluate_faces,
)
from maskdet.evaluation.detection import (
    MIN_CURVE_SCORE,
    DetectionReport,
    evaluate_detection,
)
from maskdet.evaluation.matching import LARGE_PX, MIN_IOU, FacePredictions

__all__ = [
    "LARGE_PX",
    "MIN_CURVE_SCORE",
    "MIN_IOU",
    "ClassificationReport",
    "DetectionReport",
    "FacePredictions",
    "collect_predictions",
    "evaluate_boxes",
    "evaluate_detection",
    "evaluate_faces",
]
