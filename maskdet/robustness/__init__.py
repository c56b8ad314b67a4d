"""Tests that our own code makes from labelled faces: does the answer stay right?

Nobody has labelled enough images of hands before mouths, or of faces at night. So
`hard` and `dark` change faces whose label is known, in a way that must not change it.
`evaluate_lookalikes` draws clear shields and printed mouths, after which it must not be
sure. `groups` asks whether some people are told wrong more often than others. `empty`
shows an analyzer images without a face and counts the faces that it sees. `pasted`
makes scenes of portraits: small faces of people whom no scene of the training showed.
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
