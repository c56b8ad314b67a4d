"""Run an analyzer over labelled pictures and measure what it found and said.

Three questions, each with its own report:

- `evaluate_detection`: are the faces of a scene found, and labelled right?
- `evaluate_boxes`: given the true boxes, is the label right? (the classifier alone)
- `evaluate_faces`: in pictures of one face, is the label right?

Each report holds its answers as `Judged`: what was said of which face.
`collect_answers` asks one classifier all three and returns what a run keeps.

"Mask against no mask" counts an incorrectly worn mask as a mask; see
`metrics.labelling`.
"""

from __future__ import annotations

from maskdet.evaluation.collecting import collect_answers
from maskdet.evaluation.judged import LARGE_PX, MIN_IOU, Judged
from maskdet.evaluation.labels import LabelsReport, evaluate_boxes, evaluate_faces
from maskdet.evaluation.scenes import FLOOR_SCORE, DetectionReport, evaluate_detection

__all__ = [
    "FLOOR_SCORE",
    "LARGE_PX",
    "MIN_IOU",
    "DetectionReport",
    "Judged",
    "LabelsReport",
    "collect_answers",
    "evaluate_boxes",
    "evaluate_detection",
    "evaluate_faces",
]
