"""Evaluate analyzers and classifiers on labelled images.

- `evaluate_detection`: detection and classification of the faces in scenes.
- `evaluate_boxes`: classification of true boxes (the classifier alone).
- `evaluate_faces`: classification of images of one face.

Each report has the predictions of all faces as `scoring.FacePredictions`.
`collect_predictions` collects those of one classifier on all data sets of a training
run. "Mask against no mask" counts an incorrectly worn mask as a mask; see
`metrics.classification`.
"""

from __future__ import annotations

from maskdet.evaluation.classification import (
    LARGE_PX,
    ClassificationReport,
    collect_predictions,
    evaluate_boxes,
    evaluate_faces,
)
from maskdet.evaluation.detection import DetectionReport, evaluate_detection

__all__ = [
    "LARGE_PX",
    "ClassificationReport",
    "DetectionReport",
    "collect_predictions",
    "evaluate_boxes",
    "evaluate_detection",
    "evaluate_faces",
]
