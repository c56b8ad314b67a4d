"""Are the faces of a scene found, and labelled right?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from maskdet.analyzer import Analyzer, pipeline_of
from maskdet.boxes import sizes_px
from maskdet.datasets import Example
from maskdet.evaluation.judged import LARGE_PX, MIN_IOU, Judged, median, read_example
from maskdet.evaluation.precision import class_precisions, face_precision
from maskdet.metrics.detection import match_faces
from maskdet.metrics.estimate import Estimate, share
from maskdet.metrics.labelling import Json, Labelling
from maskdet.metrics.numbers import Numbers, numbers
from maskdet.types import Image, Scene, Settings
from maskdet.wording import counted

FLOOR_SCORE = 0.02
"""Faces from this score on enter the curve; below, they would change its tail only."""


@dataclass(frozen=True, eq=False)
class DetectionReport:
    """How well an analyzer detects and classifies the faces of a data set.

    Examples:
        >>> report = maskdet.evaluate("scenes.json")
        >>> print(report.recall)
        1.000 [0.646, 1.000] n=7

    Attributes:
        images: number of images.
        ap: average precision of `faces`, of each class and their `mean`; a detection
            counts for its most likely class only, with its detection score.
        ap_large: the same, with faces smaller than `LARGE_PX` ignored.
        ap_every: of each class and their `mean`, where a detection counts for every
            class, with its score times the probability of that class.
        ap_every_large: the same, with faces smaller than `LARGE_PX` ignored.
        recall: fraction of the large faces that are detected, at the thresholds.
        precision: fraction of the detections that are faces of any size, at the
            thresholds.
        judged: predictions for the detected large faces, and where they are.
        median_ms: time of one image, at the thresholds, in milliseconds.
        pipeline: who detected and who classified, in one line.
    """

    images: int
    ap: dict[str, Estimate]
    ap_large: dict[str, Estimate]
    ap_every: dict[str, Estimate]
    ap_every_large: dict[str, Estimate]
    recall: Estimate
    precision: Estimate
    judged: Judged
    median_ms: float
    pipeline: str = ""

    def __str__(self) -> str:
        """Return a table of average precision, recall and precision."""
        rows = {f"AP {name}": value for name, value in self.ap.items()}
        large = f">= {LARGE_PX:g} px"
        rows |= {f"AP {name}, {large}": value for name, value in self.ap_large.items()}
        rows |= {f"recall, {large}": self.recall, "precision": self.precision}
        lines = [f"{name:24} {value}" for name, value in rows.items()]
        return "\n".join([f"{counted(self.images, 'image')}, IoU {MIN_IOU}", *lines])

    @property
    def labels(self) -> Labelling:
        """The answers for the large faces found, as a user sees them."""
        return self.judged.answers.labelling

    @cached_property
    def numbers(self) -> Numbers:
        """Every number about these answers."""
        return numbers(self.labels)

    def to_json(self) -> Json:
        """Return every number with its interval."""
        return {
            "images": self.images,
            "pipeline": self.pipeline,
            "ap": _rounded(self.ap),
            "ap_large": _rounded(self.ap_large),
            "ap_every_class": _rounded(self.ap_every),
            "ap_every_class_large": _rounded(self.ap_every_large),
            "large_px": LARGE_PX,
            "recall": self.recall.rounded(),
            "precision": self.precision.rounded(),
            "labels": self.labels.to_json(),
            "numbers": self.numbers.to_json(),
            "median_ms": round(self.median_ms, 2),
        }


def evaluate_detection(
    analyzer: Analyzer, examples: Iterable[Example], settings: Settings
) -> DetectionReport:
    """Measure an analyzer on scenes with true boxes and labels.

    Each picture is analysed twice: for the curves with every face from `FLOOR_SCORE`
    on, of any size, and, timed, as a user would see it. A face counts for its most
    likely class only, with the score of the face: see `precision` for this rule and
    the other one, which the report has too. A face that matches a box of unknown class
    (`Example.ignored`) is neither right nor wrong.

    Args:
        analyzer: finds and labels.
        examples: the scenes.
        settings: what a user would see: for recall, precision and labels. The
            curves take only `nms_iou` from it.
    """
    looks = [_look(analyzer, example, settings) for example in examples]
    known, scenes = [one.example for one in looks], [one.every for one in looks]
    recall, precision = _as_shown(known, [one.shown for one in looks])
    every, every_large = (
        class_precisions(known, scenes, min_px, "every") for min_px in (0.0, LARGE_PX)
    )
    return DetectionReport(
        images=len(known),
        ap=_precisions(known, scenes, 0.0),
        ap_large=_precisions(known, scenes, LARGE_PX),
        ap_every=every,
        ap_every_large=every_large,
        recall=recall,
        precision=precision,
        judged=Judged.joined([one.judged for one in looks]),
        median_ms=median([one.took_ms for one in looks]),
        pipeline=pipeline_of(analyzer),
    )


@dataclass(frozen=True, eq=False)
class _Looked:
    """A scene, every face found in it, what a user sees, and how long that took."""

    example: Example
    every: Scene
    shown: Scene
    judged: Judged
    took_ms: float


def _look(analyzer: Analyzer, example: Example, settings: Settings) -> _Looked:
    floor = dataclasses.replace(
        settings, min_score=FLOOR_SCORE, min_face_px=1, min_confidence=0
    )
    image = read_example(example)
    # The timed call comes second, when everything of this size is warm.
    every = analyzer.analyze(image, floor)
    started = perf_counter()
    shown = analyzer.analyze(image, settings)
    took_ms = (perf_counter() - started) * 1e3
    judged = judge_found(example, image, shown, min_px=LARGE_PX)
    return _Looked(example, every, shown, judged, took_ms)


def judge_found(
    example: Example, image: Image, seen: Scene, *, min_px: float
) -> Judged:
    """Return the answers for the faces found that match a true box.

    Args:
        example: the true boxes and labels of the picture.
        image: the picture.
        seen: what was found in it.
        min_px: true boxes with a smaller side do not count.
    """
    rows, matched = _found(example, seen, min_px)
    truths = example.label_values[matched]
    boxes = seen.faces.boxes[rows]
    return Judged.of(example, image, boxes, truths, seen.probs[rows])


def _found(
    example: Example, seen: Scene, min_px: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of the faces found, and of the true boxes that they match."""
    matched = _matched(example, seen)
    rows = np.flatnonzero((matched >= 0) & (matched < len(example.boxes)))
    rows = rows[sizes_px(example.boxes)[matched[rows]] >= min_px]
    return rows, matched[rows]


def _matched(example: Example, seen: Scene) -> NDArray[np.int64]:
    """Return the box of each face found: the true ones, then the ignored ones."""
    boxes = np.concatenate([example.boxes, example.ignored])
    ignored = np.arange(len(boxes)) >= len(example.boxes)
    return match_faces(seen.faces, boxes, min_iou=MIN_IOU, ignored=ignored)


def _precisions(
    examples: list[Example], scenes: list[Scene], min_px: float
) -> dict[str, Estimate]:
    everyone = face_precision(examples, scenes, min_px)
    return {"faces": everyone, **class_precisions(examples, scenes, min_px)}


def _rounded(table: dict[str, Estimate]) -> Json:
    return {name: value.rounded() for name, value in table.items()}


def _as_shown(
    examples: list[Example], scenes: list[Scene]
) -> tuple[Estimate, Estimate]:
    """Return recall and precision of the faces that a user sees."""
    large = found_large = shown = right = 0
    for example, seen in zip(examples, scenes, strict=True):
        large += int((sizes_px(example.boxes) >= LARGE_PX).sum())
        found_large += len(_found(example, seen, LARGE_PX)[0])
        shown += int((_matched(example, seen) < len(example.boxes)).sum())
        right += len(_found(example, seen, 0.0)[0])
    return share(found_large, large), share(right, shown)
