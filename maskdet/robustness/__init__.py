"""Robustness benchmarks on modified and synthetic images.

- `occlusion` and `low_light` modify labelled faces without changing their class: hands
  and other objects at the mouth, darkness with noise.
- `lookalikes` adds clear shields and printed mouths, which must lower the confidence.
- `subgroups` compares the accuracy between groups of people.
- `false_positives` counts detections on images without faces.
- `small_faces` pastes portraits into scenes: small faces of people who are not in the
  training scenes.
"""

from __future__ import annotations

from maskdet.robustness.false_positives import (
    FalsePositiveReport,
    NegativeImageReport,
    evaluate_false_positives,
    evaluate_negative_images,
)
from maskdet.robustness.lookalikes import LookalikeReport, evaluate_lookalikes
from maskdet.robustness.low_light import LowLightReport, darken, evaluate_low_light
from maskdet.robustness.occlusion import OcclusionReport, evaluate_occlusion
from maskdet.robustness.small_faces import SmallFaceReport, evaluate_small_faces
from maskdet.robustness.subgroups import (
    SubgroupReport,
    compare_subgroups,
    read_subgroups,
)

__all__ = [
    "FalsePositiveReport",
    "LookalikeReport",
    "LowLightReport",
    "NegativeImageReport",
    "OcclusionReport",
    "SmallFaceReport",
    "SubgroupReport",
    "compare_subgroups",
    "darken",
    "evaluate_false_positives",
    "evaluate_lookalikes",
    "evaluate_low_light",
    "evaluate_negative_images",
    "evaluate_occlusion",
    "evaluate_small_faces",
    "read_subgroups",
]
