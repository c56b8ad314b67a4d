"""Average precision of scenes: of all faces, of each class, and of small ones or not.

Which class a face counts for is a choice, and papers seldom say which they made:

- `likeliest`: a face counts for its most likely class only, with the score of the
  face. A box has one class, as in VOC's and COCO's rules, so a face that is labelled
  wrongly is missing in its own class and a false alarm in another. The open numbers
  of AIZOO's network, to within 0.006, come out of this rule.
- `every`: a face counts for every class, with its score times the probability of that
  class, as the validation of YOLO's networks does ("multi label"). A wrong label that
  was not sure costs little, so these numbers are higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from maskdet.boxes import Boxes
from maskdet.datasets import Example
from maskdet.evaluation.judged import MIN_IOU
from maskdet.metrics.detection import (
    DetectionMatches,
    match_detections,
    mean_average_precision,
)
from maskdet.metrics.estimate import Estimate
from maskdet.types import CLASSES, Faces, Label, Scene

ClassRule: TypeAlias = Literal["likeliest", "every"]
"""Which classes a face counts for; see above."""


def face_average_precision(
    examples: Sequence[Example], scenes: Sequence[Scene], min_px: float
) -> Estimate:
    """Return the average precision of the faces, whatever their class.

    Args:
        examples: the true boxes.
        scenes: what was found in the same pictures.
        min_px: true boxes with a smaller side do not count.
    """
    detections = [scene.faces for scene in scenes]
    ground_truth = [example.boxes for example in examples]
    return mean_average_precision(
        [_match_examples(examples, detections, ground_truth, min_px)]
    )


def class_average_precisions(
    examples: Sequence[Example],
    scenes: Sequence[Scene],
    min_px: float,
    rule: ClassRule = "likeliest",
) -> dict[str, Estimate]:
    """Return the average precision of each class, and their `mean`.

    Args:
        examples: the true boxes and labels.
        scenes: what was found in the same pictures.
        min_px: true boxes with a smaller side do not count.
        rule: which classes a face counts for.
    """
    classes: list[DetectionMatches] = []
    for label in CLASSES:
        detections = [_faces_of_class(scene, label, rule) for scene in scenes]
        ground_truth = [
            example.boxes[example.label_values == label] for example in examples
        ]
        classes.append(_match_examples(examples, detections, ground_truth, min_px))
    class_aps = {
        label.key: mean_average_precision([matches])
        for label, matches in zip(CLASSES, classes, strict=True)
    }
    return {**class_aps, "mean": mean_average_precision(classes)}


def _match_examples(
    examples: Sequence[Example],
    detections: Sequence[Faces],
    ground_truth: Sequence[Boxes],
    min_px: float,
) -> DetectionMatches:
    """Match faces to truths; those on a box of unknown class count neither way."""
    ignored = [example.ignore_boxes for example in examples]
    return match_detections(
        detections, ground_truth, min_iou=MIN_IOU, min_px=min_px, ignored=ignored
    )


def _faces_of_class(scene: Scene, label: Label, rule: ClassRule) -> Faces:
    """Return the faces that count for a class, with the scores that they have there."""
    if rule == "likeliest":
        return scene.faces[scene.probs.argmax(axis=1) == label]
    return Faces(scene.faces.boxes, scene.faces.scores * scene.probs[:, label])
